//! What the cache would do with the request, and by which rule.

use std::fmt::Write as _;

use seawall_caching::settings::SetCookie;
use seawall_caching::{Request, RouteCacheSettings, request};
use seawall_config::units::Span;
use seawall_proxy::RoutePlan;

use super::asked::Asked;
use crate::settings::DEFAULT_ZONE;

/// Tells the rule, which comes with the name of its zone; returns the target as it is forwarded, which the rule may change.
pub(super) fn describe(
    text: &mut String,
    route: &RoutePlan,
    rule: Option<(&RouteCacheSettings, &str)>,
    asked: &Asked,
    target: String,
) -> String {
    let (Some(policy), Some((rule, zone))) = (&route.cache, rule) else {
        text.push_str("cache     off on this route\n");
        return target;
    };
    let head = Request { method: &asked.method, headers: &asked.headers, has_body: false };
    let assessed = match policy.bypass(&asked.headers, target.as_bytes()) {
        Some(reason) => Err(reason),
        None => request::assess(&head, policy),
    };
    if let Err(reason) = assessed {
        let _ = writeln!(text, "cache     bypassed: {}", reason.as_str());
        return target;
    }
    let keyed = String::from_utf8_lossy(&policy.key().target(target.as_bytes())).into_owned();
    let authority = if asked.authority.is_empty() { &asked.host } else { &asked.authority };
    let _ = writeln!(
        text,
        "cache     looked up under {} | {} | {keyed}{}",
        asked.scheme(),
        authority.to_ascii_lowercase(),
        selectors(rule)
    );
    let _ = writeln!(text, "          fresh {}", lifetime(rule));
    for (window, when) in [
        (rule.stale_while_revalidate, "while it is fetched anew (stale_while_revalidate)"),
        (rule.stale_if_error, "while the origin fails (stale_if_error)"),
    ] {
        if !window.is_zero() {
            let _ = writeln!(text, "          stale for {window} {when}, when the origin does not say");
        }
    }
    let cookies = match policy.set_cookie() {
        SetCookie::Bypass => "not stored with Set-Cookie",
        SetCookie::Strip => "stored without its Set-Cookie",
        SetCookie::Store => "stored with its Set-Cookie",
    };
    let _ = writeln!(text, "          {cookies}");
    if zone != DEFAULT_ZONE {
        let _ = writeln!(text, "          kept in the zone {zone}");
    }
    keyed
}

/// What beside the address tells responses apart.
fn selectors(rule: &RouteCacheSettings) -> String {
    let headers = rule.key.headers.iter().map(|name| format!(" | header {name}"));
    let cookies = rule.key.cookies.iter().map(|name| format!(" | cookie {name}"));
    headers.chain(cookies).collect()
}

fn lifetime(rule: &RouteCacheSettings) -> String {
    if let Some(time) = rule.force_ttl {
        return format!("for {time}, whatever lifetime the origin gives (force_ttl)");
    }
    let mut text = "as the origin says".to_owned();
    let bounds = [(rule.min_ttl, "at least", "min_ttl"), (rule.max_ttl, "at most", "max_ttl")];
    for (time, word, key) in bounds {
        push(&mut text, time, |time| format!(", {word} {time} ({key})"));
    }
    push(&mut text, rule.ttl, |time| format!("; for {time} when it says nothing (ttl)"));
    for (status, time) in &rule.statuses {
        push(&mut text, Some(*time), |time| format!("; a {status} for {time} (statuses)"));
    }
    if rule.ttl.is_none() && rule.heuristic {
        let _ = write!(
            text,
            "; {} % of the time since Last-Modified, at most {}, when it says nothing (heuristic)",
            rule.heuristic_percent, rule.heuristic_max
        );
    }
    text
}

fn push(text: &mut String, time: Option<Span>, words: impl FnOnce(Span) -> String) {
    if let Some(time) = time {
        text.push_str(&words(time));
    }
}
