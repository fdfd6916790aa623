//! Why a request takes its route, for `seawall explain`.
//!
//! It looks at every route with the conditions themselves and not through the router's tables, so that it
//! can tell about those that were not taken; the tests hold the two against each other.

use std::cmp::Ordering;

use http::Method;

use super::{Route, Router};
use crate::Matcher;

/// A site or route that was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The number of the site; none when the host is unknown.
    pub site: Option<usize>,
    /// The number of the route within the site; none when it is about the site.
    pub route: Option<usize>,
    /// Whether this is the route (or, without `route`, the site) that the request takes.
    pub taken: bool,
    /// One sentence for a reader, no full stop.
    pub verdict: String,
}

impl<S, R> Router<S, R> {
    /// The site of the host and all its routes in the order of precedence, each with why it was taken or not.
    #[must_use]
    pub fn explain(&self, host: &str, method: &Method, path: &str) -> Vec<Considered> {
        let Some((index, site)) = self.hosts.find(host).and_then(|i| Some((i, self.sites.get(i)?))) else {
            let verdict = format!("no site has the host `{host}` and there is no default site: 421");
            return vec![Considered { site: None, route: None, taken: false, verdict }];
        };
        let verdict = self.why_site(host);
        let mut all = vec![Considered { site: Some(index), route: None, taken: true, verdict }];
        let mut taken = None;
        for (number, route) in in_order(&site.routes, method) {
            let (takes, verdict) = verdict_of(&route.matcher, method, path, taken);
            if takes {
                taken = Some(number);
            }
            all.push(Considered { site: Some(index), route: Some(number), taken: takes, verdict });
        }
        all
    }

    fn why_site(&self, host: &str) -> String {
        if self.hosts.is_exact(host) {
            return format!("the site names the host `{host}`");
        }
        match self.hosts.wildcard(host) {
            Some((above, _)) => {
                format!("no site names the host `{host}`; `*.{above}` is the longest wildcard over it")
            }
            None => format!("no site has the host `{host}`; this is the default site"),
        }
    }
}

fn verdict_of(matcher: &Matcher, method: &Method, path: &str, taken: Option<usize>) -> (bool, String) {
    let condition = &matcher.condition;
    if !condition.matches(path) {
        return (false, format!("{condition} does not cover the path `{path}`"));
    }
    let rank = method_rank(matcher, method);
    if rank == MethodRank::Refused {
        let methods: Vec<&str> = matcher.methods.iter().map(Method::as_str).collect();
        return (false, format!("{condition} covers the path, but takes only {}", methods.join(", ")));
    }
    if let Some(taken) = taken {
        return (false, format!("{condition} covers the path, but route {taken} goes before it"));
    }
    let how = match rank {
        MethodRank::Implied => " and takes HEAD with GET",
        MethodRank::Listed => " and lists the method",
        MethodRank::Any | MethodRank::Refused => "",
    };
    (true, format!("{condition} covers the path{how}: taken"))
}

/// How a route takes a method; the order is the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MethodRank {
    Listed,
    Implied,
    Any,
    Refused,
}

fn method_rank(matcher: &Matcher, method: &Method) -> MethodRank {
    if matcher.methods.is_empty() {
        MethodRank::Any
    } else if matcher.methods.contains(method) {
        MethodRank::Listed
    } else if method == Method::HEAD && matcher.methods.contains(&Method::GET) {
        MethodRank::Implied
    } else {
        MethodRank::Refused
    }
}

fn in_order<'r, R>(routes: &'r [Route<R>], method: &Method) -> Vec<(usize, &'r Route<R>)> {
    // A regex stands where the first one with the same text stands.
    let place = |number: usize| {
        let own = &routes[number].matcher.condition;
        routes.iter().position(|route| route.matcher.condition.same_as(own)).unwrap_or(number)
    };
    let mut order: Vec<(usize, usize, &Route<R>)> =
        routes.iter().enumerate().map(|(number, route)| (number, place(number), route)).collect();
    order.sort_by(|(a_number, a_place, a), (b_number, b_place, b)| -> Ordering {
        let (a, b) = (&a.matcher, &b.matcher);
        a.condition
            .precedence(&b.condition)
            .then(a_place.cmp(b_place))
            .then(method_rank(a, method).cmp(&method_rank(b, method)))
            .then(a_number.cmp(b_number))
    });
    order.into_iter().map(|(number, _, route)| (number, route)).collect()
}
