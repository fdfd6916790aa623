//! What is wrong with the sites as a whole: hosts twice, routes that never match, redirects in a circle.

mod hosts;
mod loops;
mod shadow;

#[cfg(test)]
mod tests;

use seawall_config::{Diagnostics, Path};

use crate::{HostPattern, Matcher, Redirect, RedirectSettings, Rewrite, RewriteSettings, RouteMatch};

/// A site as the root configuration has it.
#[derive(Debug, Clone)]
pub struct SiteView<'a> {
    /// The place of the site; `hosts` lies below it.
    pub at: Path,
    /// Its hosts.
    pub hosts: &'a [HostPattern],
    /// Whether it takes the hosts that no site has.
    pub default: bool,
    /// Its routes, in order.
    pub routes: Vec<RouteView<'a>>,
}

/// A route as the root configuration has it.
#[derive(Debug, Clone)]
pub struct RouteView<'a> {
    /// The place of the route; `exact`, `path`, `pattern`, `regex`, `methods`, `redirect` and `rewrite` lie
    /// below it.
    pub at: Path,
    /// What it asks of a request.
    pub matching: RouteMatch,
    /// Its redirect.
    pub redirect: Option<&'a RedirectSettings>,
    /// Its rewrite.
    pub rewrite: Option<&'a RewriteSettings>,
}

/// A route whose conditions parse.
struct Parsed<'v> {
    at: &'v Path,
    matcher: Matcher,
    redirect: Option<Redirect>,
}

/// Reports what is wrong with the hosts, conditions, redirects and rewrites of all sites: everything their
/// own `check` finds, and what shows only when they are seen together.
pub fn check_sites(sites: &[SiteView<'_>], out: &mut Diagnostics) {
    let hosts_clash = hosts::check(sites, out);
    let mut parsed = Vec::with_capacity(sites.len());
    for site in sites {
        if site.routes.is_empty() {
            out.warning(&site.at, "the site has no routes, so every request gets a 404")
                .hint("add a route such as `{ path: /, upstream: … }`");
        }
        let routes: Vec<Option<Parsed<'_>>> =
            site.routes.iter().map(|route| check_route(route, out)).collect();
        shadow::check(&routes, out);
        parsed.push(routes);
    }
    // Circles are followed with a real router, which needs every part of the configuration to hold.
    if !hosts_clash && parsed.iter().flatten().all(Option::is_some) {
        loops::check(sites, parsed, out);
    }
}

fn check_route<'v>(route: &'v RouteView<'_>, out: &mut Diagnostics) -> Option<Parsed<'v>> {
    route.matching.check(&route.at, out);
    if let Some(redirect) = route.redirect {
        redirect.check(&route.at.key("redirect"), out);
    }
    if let Some(rewrite) = route.rewrite {
        rewrite.check(&route.at.key("rewrite"), out);
    }
    let matcher = route.matching.compile().ok()?;
    let redirect = route.redirect.map(Redirect::new).and_then(Result::ok);
    let rewrite = route.rewrite.map(Rewrite::new).and_then(Result::ok);
    for name in redirect.iter().flat_map(Redirect::wanted_captures) {
        check_capture(name, &matcher, &route.at.key("redirect").key("to"), out);
    }
    for name in rewrite.iter().flat_map(Rewrite::wanted_captures) {
        check_capture(name, &matcher, &route.at.key("rewrite").key("path"), out);
    }
    Some(Parsed { at: &route.at, matcher, redirect })
}

fn check_capture(name: &str, matcher: &Matcher, at: &Path, out: &mut Diagnostics) {
    let names = matcher.condition.names();
    if names.iter().any(|own| **own == *name) {
        return;
    }
    let found = out.error(at, format!("the route captures nothing named `{name}`"));
    match seawall_config::did_you_mean(name, names.iter().map(|own| &**own)) {
        Some(near) => found.hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => {
            found.hint("captures come from `pattern` (`/users/{id}`) or the groups of `regex`")
        }
        None => found.hint(format!("it captures {}", names.join(", "))),
    };
}
