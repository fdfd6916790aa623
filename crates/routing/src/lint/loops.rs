//! Redirects that lead back to themselves, where that can be told without knowing the request.

use seawall_config::Diagnostics;

use super::{Parsed, SiteView};
use crate::{Captures, RequestParts};

/// Reports redirects of an exact path whose target is that path again, on a host of the same site.
pub(super) fn check(sites: &[SiteView<'_>], parsed: Vec<Vec<Option<Parsed<'_>>>>, out: &mut Diagnostics) {
    for (site, routes) in sites.iter().zip(parsed) {
        let Some(host) = site.hosts.iter().find_map(|host| host.exact()) else { continue };
        for (view, route) in site.routes.iter().zip(routes) {
            let (Some(path), Some(route)) = (view.matching.exact.as_deref(), route) else { continue };
            let Some(redirect) = route.redirect else { continue };
            // Over TLS already: a redirect to https would otherwise look like a circle.
            let parts = RequestParts { tls: true, host, path, query: None };
            let Some(location) = redirect.location(&parts, &Captures::default()) else { continue };
            let to = location.to_str().unwrap_or_default();
            let own = [path.to_owned(), format!("https://{host}{path}")];
            let https_only = view.redirect.is_some_and(|settings| settings.https);
            if own.iter().any(|own| own == to) && !https_only {
                out.error(&route.at.key("redirect"), format!("the redirect leads to its own path `{path}`"))
                    .hint("browsers follow it until they give up; name another path");
            }
        }
    }
}
