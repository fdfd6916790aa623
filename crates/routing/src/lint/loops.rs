use http::Method;
use seawall_config::{Diagnostics, Path};

use super::{Parsed, SiteView};
use crate::{
    HostPattern, Outcome, Redirect, RequestParts, Router, RouterBuilder, SiteRoutes, normalize_host,
    normalize_path,
};

/// How many redirects are followed. Browsers give up at about 20; a chain of this length is a circle, or as
/// bad as one.
const HOPS: usize = 10;

type Redirects<'v> = Router<(), (&'v Path, Option<Redirect>)>;

/// Reports redirects that lead back to themselves, found by following one sample request for each.
pub(super) fn check(sites: &[SiteView<'_>], parsed: Vec<Vec<Option<Parsed<'_>>>>, out: &mut Diagnostics) {
    let mut builder = RouterBuilder::new();
    let mut starts = Vec::new();
    for (index, (site, routes)) in sites.iter().zip(parsed).enumerate() {
        let mut built = SiteRoutes::new(());
        built.hosts = site.hosts.to_vec();
        built.default = site.default;
        for (number, (view, route)) in site.routes.iter().zip(routes).enumerate() {
            let Some(Parsed { at, matcher, redirect }) = route else { return };
            if redirect.is_some()
                && let Some(path) = matcher.condition.sample()
            {
                let method = matcher.methods.first().unwrap_or(&Method::GET).clone();
                let hosts = site.hosts.iter().map(sample_host).chain(site.default.then(stranger));
                starts.extend(hosts.map(|host| (index, number, host, method.clone(), path.clone())));
            }
            built.route(view.matching.clone(), (at, redirect));
        }
        builder.site(built);
    }
    let Ok(router) = builder.build() else { return };
    let mut reported = None;
    for (site, route, host, method, path) in starts {
        if reported == Some((site, route)) {
            continue;
        }
        // A sample that another route takes says nothing about this one.
        let own = matches!(router.find(&host, &method, &path), Outcome::Route(found) if (found.site_index, found.route_index) == (site, route));
        if !own {
            continue;
        }
        if let Some(trail) = follow(&router, host.clone(), &method, path)
            && let Some((at, _)) = router.route(site, route)
        {
            reported = Some((site, route));
            out.warning(&at.key("redirect"), format!("the redirect goes in a circle: {trail}"))
                .hint("let the target lie outside of what the route covers, or use `https: true` to change only the scheme");
        }
    }
}

/// A host that only the default site has (RFC 6761 §6.4).
fn stranger() -> String {
    "host.invalid".to_owned()
}

/// Some host that a pattern covers.
fn sample_host(host: &HostPattern) -> String {
    let text = host.to_string();
    match text.strip_prefix('*') {
        Some("") => stranger(),
        Some(below) => format!("any{below}"),
        None => text.trim_matches(['[', ']']).to_owned(),
    }
}

/// Follows redirects as a client would; the first addresses when they do not end.
fn follow(router: &Redirects<'_>, host: String, method: &Method, path: String) -> Option<String> {
    let mut here = Address { tls: false, host, path, query: None };
    let mut trail = vec![here.to_string()];
    for _ in 0..HOPS {
        let Outcome::Route(found) = router.find(&here.host, method, &here.path) else { return None };
        let redirect = found.route.1.as_ref()?;
        let Address { tls, host, path, query } = &here;
        let request = RequestParts { tls: *tls, host, path, query: query.as_deref() };
        here = here.join(&redirect.location_text(&request, &found.captures)?)?;
        trail.push(here.to_string());
    }
    trail.truncate(3);
    Some(format!("{} → …", trail.join(" → ")))
}

struct Address {
    tls: bool,
    host: String,
    path: String,
    query: Option<String>,
}

impl Address {
    /// Where `location` leads from here.
    fn join(&self, location: &str) -> Option<Self> {
        let location = location.split('#').next().unwrap_or_default();
        let (tls, host, rest) = if location.starts_with('/') {
            (self.tls, self.host.clone(), location)
        } else {
            let (scheme, after) = location.split_once("://")?;
            let end = after.find(['/', '?']).unwrap_or(after.len());
            let (authority, rest) = after.split_at(end);
            // Another port may be another server altogether.
            if authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())) {
                return None;
            }
            (scheme == "https", normalize_host(authority).ok()?.into_owned(), rest)
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let path = normalize_path(if path.is_empty() { "/" } else { path }).ok()?.into_owned();
        Some(Self { tls, host, path, query })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.host, self.path)?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}
