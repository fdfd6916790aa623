//! Routes that no request can reach, because an earlier one takes all of theirs.

use seawall_config::Diagnostics;

use super::Parsed;

/// Warns of each route with the condition of an earlier one that takes the same methods.
///
/// Only equal conditions are judged: whether one regex covers another is not decidable in general, and longer
/// prefixes, patterns and exact paths go before shorter ones by themselves.
pub(super) fn check(routes: &[Option<Parsed<'_>>], out: &mut Diagnostics) {
    for (i, route) in routes.iter().enumerate() {
        let Some(route) = route else { continue };
        let text = route.matcher.condition.to_string();
        let before = routes.iter().take(i).flatten().find(|earlier| {
            earlier.matcher.condition.to_string() == text
                && covers(&earlier.matcher.methods, &route.matcher.methods)
        });
        if let Some(earlier) = before {
            out.error(route.at, format!("no request reaches this route: an earlier one has the same {text}"))
                .hint(format!(
                    "`{}` takes them all; remove one, or tell them apart with `methods`",
                    earlier.at
                ));
        }
    }
}

/// Whether a route of the methods `earlier` leaves nothing to one of `later`; empty means all methods.
fn covers(earlier: &[http::Method], later: &[http::Method]) -> bool {
    match (earlier.is_empty(), later.is_empty()) {
        (true, true) => true,
        // A route that lists its methods goes before one that takes all.
        (true, false) | (false, true) => false,
        (false, false) => later.iter().all(|method| earlier.contains(method)),
    }
}
