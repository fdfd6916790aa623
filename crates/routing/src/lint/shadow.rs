use std::collections::BTreeMap;

use http::Method;
use seawall_config::Diagnostics;

use super::Parsed;
use crate::condition::{Condition, Kind};
use crate::pattern::Segment;
use crate::router::MethodTable;

/// Regexes that find something in every path, in the spellings that people use.
const ALWAYS: [&str; 12] = ["", ".*", ".+", ".", "^", "^.*", "^.*$", "^.+$", "/", "^/", "^/.*", "^/.*$"];

/// Reports routes of one site that never match, or not for all the methods they list.
pub(super) fn check(routes: &[Option<Parsed<'_>>], out: &mut Diagnostics) {
    for (index, route) in routes.iter().enumerate() {
        let Some(route) = route else { continue };
        if !check_same_condition(index, route, routes, out) {
            check_hidden(index, route, routes, out);
        }
    }
}

/// Routes with the very same path condition share it by method. Returns whether anything was reported.
fn check_same_condition(
    index: usize,
    route: &Parsed<'_>,
    routes: &[Option<Parsed<'_>>],
    out: &mut Diagnostics,
) -> bool {
    let mut table = MethodTable::default();
    for (other, parsed) in routes.iter().enumerate() {
        if let Some(parsed) = parsed
            && parsed.matcher.condition.same_as(&route.matcher.condition)
        {
            table.add(other, &parsed.matcher.methods);
        }
    }
    // Which of its methods other routes take, by the route that takes them.
    let mut lost: BTreeMap<usize, Vec<&Method>> = BTreeMap::new();
    for method in &route.matcher.methods {
        if let Some(owner) = table.find(method).filter(|owner| *owner != index) {
            lost.entry(owner).or_default().push(method);
        }
    }
    if route.matcher.methods.is_empty()
        && let Some(owner) = table.any().filter(|owner| *owner != index)
    {
        lost.insert(owner, Vec::new());
    }
    let Some((owner, _)) = lost.first_key_value() else { return false };
    let Some(Some(first)) = routes.get(*owner) else { return false };
    let lost_count: usize = lost.values().map(Vec::len).sum();
    if lost_count == route.matcher.methods.len() {
        out.warning(route.at, format!("the route never matches: `{}` has the same condition", first.at))
            .hint("remove one of the two, or give this one other `methods`");
    } else {
        let names: Vec<&str> = lost.values().flatten().map(|method| method.as_str()).collect();
        let names = names.join(", ");
        out.warning(
            &route.at.key("methods"),
            format!("the route never takes {names}: `{}`, with the same condition, does", first.at),
        );
    }
    true
}

/// Reports a route that another one with another condition, but without methods, hides.
fn check_hidden(index: usize, route: &Parsed<'_>, routes: &[Option<Parsed<'_>>], out: &mut Diagnostics) {
    let hider = routes.iter().enumerate().filter_map(|(i, other)| Some((i, other.as_ref()?))).find(
        |(other_index, other)| {
            *other_index != index
                && other.matcher.methods.is_empty()
                && hides(&other.matcher.condition, *other_index < index, &route.matcher.condition)
        },
    );
    if let Some((_, hider)) = hider {
        out.warning(
            route.at,
            format!(
                "the route never matches: {} at `{}` goes before it and covers every path it covers",
                hider.matcher.condition, hider.at
            ),
        )
        .hint("`exact` goes before `pattern`, that before `regex`, that before `path`, whatever the order in the file");
    }
}

/// Whether `condition` goes before `hidden` for every path that `hidden` covers. Only what can be decided:
/// `false` is no proof that `hidden` is reached.
fn hides(condition: &Condition, earlier: bool, hidden: &Condition) -> bool {
    match (&condition.0, &hidden.0) {
        (Kind::Pattern(pattern), Kind::Regex(_)) => pattern.segments() == [Segment::Rest],
        (Kind::Pattern(pattern), Kind::Prefix(prefix)) => covers_below(pattern.segments(), prefix),
        (Kind::Regex(regex), Kind::Regex(other)) => {
            earlier && regex.as_str() != other.as_str() && ALWAYS.contains(&regex.as_str())
        }
        (Kind::Regex(regex), Kind::Prefix(_)) => ALWAYS.contains(&regex.as_str()),
        _ => false,
    }
}

/// Whether a pattern covers `prefix` and everything below it.
fn covers_below(segments: &[Segment], prefix: &str) -> bool {
    let Some((Segment::Rest, head)) = segments.split_last() else { return false };
    if head.is_empty() {
        return true;
    }
    // The prefix itself has no slash at the end, so the rest must begin within it.
    let parts: Vec<&str> = prefix.split('/').skip(1).collect();
    parts.len() > head.len()
        && head.iter().zip(parts).all(|(segment, part)| match segment {
            Segment::Literal(own) => own == part,
            Segment::One => !part.is_empty(),
            Segment::Rest => false,
        })
}
