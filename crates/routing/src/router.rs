//! From a request to its route.

mod builder;
mod explain;
mod hosts;
mod methods;
mod paths;
mod prefixes;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::ControlFlow;

use http::{HeaderValue, Method};

use crate::{Captures, Matcher};
use hosts::HostTable;
use paths::PathTable;

pub use builder::{RouterBuilder, RouterError, SiteRoutes};
pub use explain::Considered;
pub(crate) use methods::MethodTable;

/// Finds the route of a request: sites with a payload `S`, routes with a payload `R`.
///
/// It is immutable; a reload builds another one.
#[derive(Debug)]
pub struct Router<S, R> {
    hosts: HostTable,
    sites: Vec<Site<S, R>>,
}

#[derive(Debug)]
struct Site<S, R> {
    payload: S,
    routes: Vec<Route<R>>,
    paths: PathTable,
}

#[derive(Debug)]
struct Route<R> {
    payload: R,
    matcher: Matcher,
}

/// What the router has to say about a request.
#[derive(Debug)]
pub enum Outcome<'r, S, R> {
    /// It has a route.
    Route(Found<'r, S, R>),
    /// Routes cover the path, but none takes the method: 405.
    MethodNotAllowed {
        /// The number of the site in the order of the builder.
        site_index: usize,
        /// The site's payload.
        site: &'r S,
        /// The methods that the path does take.
        allow: Allow,
    },
    /// No route of the site covers the path: 404.
    NoRoute {
        /// The number of the site in the order of the builder.
        site_index: usize,
        /// The site's payload.
        site: &'r S,
    },
    /// No site has this host: 421.
    UnknownHost,
}

/// The route of a request.
#[derive(Debug)]
pub struct Found<'r, S, R> {
    /// The number of the site in the order of the builder.
    pub site_index: usize,
    /// The site's payload.
    pub site: &'r S,
    /// The number of the route within its site.
    pub route_index: usize,
    /// The route's payload.
    pub route: &'r R,
    /// What the placeholders of the pattern or the groups of the regex matched.
    pub captures: Captures,
}

/// The methods that a path takes, in alphabetical order, for `Allow` (RFC 9110 §10.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow(Vec<Method>);

impl Allow {
    /// The methods.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.0
    }

    /// The value of the `Allow` field.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        // Methods are tokens, so the text is a field value; an empty `Allow` is allowed and means none.
        HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, method) in self.0.iter().enumerate() {
            write!(f, "{}{method}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl<S, R> Router<S, R> {
    /// Finds the route; the crate's documentation gives the precedence. Takes no lock, and allocates only
    /// what a pattern or regex captured and the list of a 405.
    ///
    /// `host` comes from [`normalize_host`](crate::normalize_host) (empty when the request has none), `path`
    /// from [`normalize_path`](crate::normalize_path).
    #[must_use]
    pub fn find(&self, host: &str, method: &Method, path: &str) -> Outcome<'_, S, R> {
        let Some(site_index) = self.hosts.find(host) else { return Outcome::UnknownHost };
        let Some(site) = self.sites.get(site_index) else { return Outcome::UnknownHost };
        let found = site.paths.walk(path, &mut |table, hit| {
            let number = table.find(method);
            match number.and_then(|number| Some((number, site.routes.get(number)?))) {
                Some((number, route)) => ControlFlow::Break(Found {
                    site_index,
                    site: &site.payload,
                    route_index: number,
                    route: &route.payload,
                    captures: hit.captures(route.matcher.condition.names(), path),
                }),
                None => ControlFlow::Continue(()),
            }
        });
        match found {
            ControlFlow::Break(found) => Outcome::Route(found),
            ControlFlow::Continue(()) => site.refusal(site_index, path),
        }
    }

    /// The payload of a site.
    #[must_use]
    pub fn site(&self, site: usize) -> Option<&S> {
        self.sites.get(site).map(|site| &site.payload)
    }

    /// The payload of a route.
    #[must_use]
    pub fn route(&self, site: usize, route: usize) -> Option<&R> {
        self.sites.get(site)?.routes.get(route).map(|route| &route.payload)
    }

    /// How many sites and how many routes it has.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.sites.len(), self.sites.iter().map(|site| site.routes.len()).sum())
    }
}

impl<S, R> Site<S, R> {
    /// 405 or 404, for a path and method without a route.
    fn refusal(&self, site_index: usize, path: &str) -> Outcome<'_, S, R> {
        let mut methods: Vec<Method> = Vec::new();
        let _ = self.paths.walk(path, &mut |table, _| {
            methods.extend(table.methods().cloned());
            ControlFlow::<()>::Continue(())
        });
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        let site = &self.payload;
        if methods.is_empty() {
            Outcome::NoRoute { site_index, site }
        } else {
            Outcome::MethodNotAllowed { site_index, site, allow: Allow(methods) }
        }
    }
}
