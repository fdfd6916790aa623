//! Which server would take the request, and why.

use std::fmt::Write as _;

use http::header::COOKIE;
use seawall_proxy::{UpstreamKind, UpstreamPlan};
use seawall_upstream::settings::{Balance, HashBy, HashSettings, UpstreamSettings};
use seawall_upstream::{Pool, SelectRequest};

use super::asked::Asked;

pub(super) fn describe(text: &mut String, upstream: &UpstreamPlan, request: &Asked, target: &str) {
    let _ = writeln!(text, "upstream  {}", upstream.name);
    match &upstream.kind {
        UpstreamKind::Files(_) => text.push_str("server    the built-in file origin\n"),
        UpstreamKind::Pool(pool) => choice(text, pool, request, target),
    }
}

fn choice(text: &mut String, pool: &Pool, request: &Asked, target: &str) {
    let asked = SelectRequest { uri: target, headers: &request.headers, client: request.client };
    let chosen = match pool.select(&asked, &[]) {
        Ok(selected) => {
            let _ = writeln!(
                text,
                "server    {}: {}, all being healthy",
                selected.server(),
                why(pool.settings(), request)
            );
            selected.server().to_owned()
        }
        Err(error) => {
            let _ = writeln!(text, "server    none yet: {error} (names are resolved when Seawall runs)");
            String::new()
        }
    };
    let snapshot = pool.snapshot();
    for server in snapshot.servers.iter().filter(|server| server.name != chosen) {
        let word = if server.drained {
            "drained, takes no new requests".to_owned()
        } else if server.backup {
            "a backup, for when no other can".to_owned()
        } else {
            format!("weight {}", server.weight)
        };
        let _ = writeln!(text, "          {}: {word}", server.name);
    }
    for name in snapshot.names {
        let _ = writeln!(text, "          {}: a name, each of its addresses is a server", name.host);
    }
}

/// The reason for a choice, in words.
fn why(settings: &UpstreamSettings, request: &Asked) -> String {
    match settings.balance {
        Balance::RoundRobin => "one in turn, by weight (round_robin)".to_owned(),
        Balance::Random => "one by chance, by weight (random)".to_owned(),
        Balance::LeastConn => {
            "of two by chance the one with fewer requests in flight (least_conn)".to_owned()
        }
        Balance::ConsistentHash => {
            let hash = settings.hash.as_deref().cloned().unwrap_or_default();
            format!("always this one for {} (consistent_hash)", hashed(&hash, request))
        }
    }
}

fn hashed(hash: &HashSettings, request: &Asked) -> String {
    let name = hash.name.as_deref().unwrap_or_default();
    let address = format!("the client address {}", request.client);
    match hash.by {
        HashBy::Uri => "this path and query".to_owned(),
        HashBy::ClientAddress => address,
        HashBy::Header if request.headers.contains_key(name) => format!("this value of the header `{name}`"),
        HashBy::Cookie if has_cookie(request, name) => format!("this value of the cookie `{name}`"),
        HashBy::Header => format!("{address}, the header `{name}` being absent"),
        HashBy::Cookie => format!("{address}, the cookie `{name}` being absent"),
    }
}

fn has_cookie(request: &Asked, name: &str) -> bool {
    let lines = request.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .any(|pair| pair.0.trim() == name)
}
