use super::hosts::HostTable;
use super::paths::PathTable;
use super::{Route, Router, Site};
use crate::{HostPattern, MatchError, RouteMatch};

/// A site on its way into a [`Router`].
#[derive(Debug)]
pub struct SiteRoutes<S, R> {
    /// What a found route brings along of the site.
    pub payload: S,
    /// The hosts of the site.
    pub hosts: Vec<HostPattern>,
    /// Whether it takes the hosts that no site has; the host `*` means the same.
    pub default: bool,
    /// The routes in the order of the file.
    pub routes: Vec<(RouteMatch, R)>,
}

impl<S, R> SiteRoutes<S, R> {
    /// A site without hosts and routes.
    #[must_use]
    pub fn new(payload: S) -> Self {
        Self { payload, hosts: Vec::new(), default: false, routes: Vec::new() }
    }

    /// Adds a route after the others.
    pub fn route(&mut self, matching: RouteMatch, payload: R) {
        self.routes.push((matching, payload));
    }
}

/// Why no router can be built. [`check_sites`](crate::check_sites) finds all of them, with their places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// A route's condition is bad.
    #[error("site {site}, route {route}: {source}")]
    Route {
        /// The number of the site.
        site: usize,
        /// The number of the route within the site.
        route: usize,
        /// What is wrong with it.
        source: MatchError,
    },
    /// Two sites have one host.
    #[error("site {site}: the host `{host}` belongs to another site already")]
    DuplicateHost {
        /// The number of the later site.
        site: usize,
        /// The host.
        host: HostPattern,
    },
    /// Two sites want the hosts that no site has.
    #[error("site {site}: another site is the default site already")]
    TwoDefaults {
        /// The number of the later site.
        site: usize,
    },
}

/// Collects sites and makes a [`Router`] of them.
#[derive(Debug)]
pub struct RouterBuilder<S, R> {
    sites: Vec<SiteRoutes<S, R>>,
}

impl<S, R> Default for RouterBuilder<S, R> {
    fn default() -> Self {
        Self { sites: Vec::new() }
    }
}

impl<S, R> RouterBuilder<S, R> {
    /// Without sites; every host is unknown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a site after the others and tells its number.
    pub fn site(&mut self, site: SiteRoutes<S, R>) -> usize {
        self.sites.push(site);
        self.sites.len() - 1
    }

    /// Makes the router.
    ///
    /// # Errors
    /// When a route's condition is bad, two sites have one host, or two are the default.
    pub fn build(self) -> Result<Router<S, R>, RouterError> {
        let mut hosts = HostTable::default();
        let mut sites = Vec::with_capacity(self.sites.len());
        for (index, site) in self.sites.into_iter().enumerate() {
            for host in &site.hosts {
                if !hosts.add(host, index) {
                    return Err(if host.is_any() {
                        RouterError::TwoDefaults { site: index }
                    } else {
                        RouterError::DuplicateHost { site: index, host: host.clone() }
                    });
                }
            }
            if site.default && !hosts.set_default(index) {
                return Err(RouterError::TwoDefaults { site: index });
            }
            sites.push(build_site(index, site)?);
        }
        Ok(Router { hosts, sites })
    }
}

fn build_site<S, R>(site: usize, from: SiteRoutes<S, R>) -> Result<Site<S, R>, RouterError> {
    let mut paths = PathTable::default();
    let mut routes = Vec::with_capacity(from.routes.len());
    for (route, (matching, payload)) in from.routes.into_iter().enumerate() {
        let matcher = matching.compile().map_err(|source| RouterError::Route { site, route, source })?;
        paths.add(route, &matcher);
        routes.push(Route { payload, matcher });
    }
    Ok(Site { payload: from.payload, routes, paths })
}
