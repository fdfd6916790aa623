//! From checked settings to a running plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pingora::cache::lock::CacheKeyLockImpl;
use seawall_caching::{CachePolicy, PolicyError};
use seawall_compress::CompressPolicy;
use seawall_files::{FilesError, FilesOrigin};
use seawall_guard::Limits;
use seawall_proxy::{
    Action, CachePlan, Collapse, FactsCodec, Forwarding, ForwardingError, Plan, RefreshLimits, Refreshes,
    RoutePlan, SitePlan, UpstreamKind, UpstreamPlan, Zone, ZoneLimits,
};
use seawall_routing::{
    HeaderOpsError, HeaderTarget, Redirect, RedirectError, Rewrite, RewriteError, Router, RouterBuilder,
    RouterError, SiteRoutes, StaticError,
};
use seawall_store::{Store, StoreError, StoreSettings};
use seawall_telemetry::metrics::Metrics;
use seawall_telemetry::{AccessLog, AccessLogError};
use seawall_upstream::{Pool, PoolError, Resolve, SystemResolver};

use crate::settings::{CacheSettings, DEFAULT_ZONE, RouteSettings, Settings, SiteSettings};

/// Why a plan cannot be built. [`crate::check`] reports nearly all of it earlier, with its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("upstream `{name}`: {source}")]
    Files { name: String, source: FilesError },
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error("route `{0}` leads to the upstream `{1}`, which does not exist")]
    NoUpstream(String, String),
    #[error("route `{0}` has no action")]
    NoAction(String),
    #[error(transparent)]
    Router(#[from] RouterError),
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    #[error(transparent)]
    Headers(#[from] HeaderOpsError),
    #[error(transparent)]
    Static(#[from] StaticError),
    #[error(transparent)]
    Cache(#[from] PolicyError),
    #[error("cache zone `{zone}`: {source}")]
    Store { zone: String, source: StoreError },
    #[error(transparent)]
    Forwarding(#[from] ForwardingError),
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
}

/// The upstreams of a plan by name.
pub(crate) type Upstreams = BTreeMap<String, Arc<UpstreamPlan>>;

/// A plan, and what the process must keep running for it.
pub(crate) struct Built {
    pub(crate) plan: Plan,
    pub(crate) upstreams: Upstreams,
}

/// What a plan shares with those before and after it.
pub(crate) struct Parts<'a> {
    pub(crate) generation: u64,
    pub(crate) engine: &'a Engine,
    pub(crate) metrics: &'a Arc<Metrics>,
    pub(crate) access_log: &'a Arc<AccessLog>,
    pub(crate) draining: &'a Arc<AtomicBool>,
}

/// Builds what the settings describe; starts nothing. Pools of `old` that did not change are taken over as they are,
/// those that did hand on what they know of their servers.
pub(crate) fn build(settings: &Settings, old: &Upstreams, parts: Parts<'_>) -> Result<Built, PlanError> {
    let upstreams = succeed(settings, old, parts.metrics)?;
    let limits = Limits::new(&settings.limits);
    let router = router(settings, &upstreams, parts.metrics, &limits, &parts.engine.zones)?;
    let plan = Plan {
        generation: parts.generation,
        router,
        forwarding: Forwarding::new(&settings.forwarding)?,
        cache: parts.engine.plan(&settings.cache),
        unrouted: parts.metrics.route("none", "none"),
        access_log: Arc::clone(parts.access_log),
        metrics: Arc::clone(parts.metrics),
        draining: Arc::clone(parts.draining),
        limits,
    };
    Ok(Built { plan, upstreams })
}

/// The pools and folders. `explain` needs them without the rest.
pub(crate) fn upstreams(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Upstreams, PlanError> {
    succeed(settings, &Upstreams::default(), metrics)
}

/// The same, after those of `old`.
fn succeed(settings: &Settings, old: &Upstreams, metrics: &Arc<Metrics>) -> Result<Upstreams, PlanError> {
    let system: Arc<dyn Resolve> = Arc::new(SystemResolver::default());
    settings
        .upstreams
        .iter()
        .map(|(name, upstream)| {
            let kind = match &upstream.files {
                // Opened anew each time: the folder may be another one under the same name.
                Some(files) => UpstreamKind::Files(Box::new(
                    FilesOrigin::new(files)
                        .map_err(|source| PlanError::Files { name: name.clone(), source })?,
                )),
                None => {
                    let servers = &upstream.dns.servers;
                    let resolver = match servers.is_empty() {
                        true => Arc::clone(&system),
                        false => Arc::new(SystemResolver::asking(servers.iter().map(|server| server.0))),
                    };
                    let before = old.get(name).and_then(|plan| plan.pool());
                    if let Some(pool) = before.filter(|pool| pool.is_built_from(upstream)) {
                        UpstreamKind::Pool(Arc::clone(pool))
                    } else {
                        let before = before.map(Arc::as_ref);
                        UpstreamKind::Pool(Arc::new(Pool::replacing(before, name, upstream, resolver)?))
                    }
                }
            };
            let plan = UpstreamPlan { name: name.as_str().into(), kind, metrics: metrics.upstream(name) };
            Ok((name.clone(), Arc::new(plan)))
        })
        .collect()
}

/// The router over all sites. `zones`: those there are, or none when nothing is served.
pub(crate) fn router(
    settings: &Settings,
    upstreams: &Upstreams,
    metrics: &Arc<Metrics>,
    limits: &Limits,
    zones: &[&'static Zone],
) -> Result<Router<SitePlan, Arc<RoutePlan>>, PlanError> {
    let mut builder = RouterBuilder::new();
    for (i, site) in settings.sites.iter().enumerate() {
        let name: Arc<str> = site_name(site, i).into();
        let mut routes = SiteRoutes::new(SitePlan { name: Arc::clone(&name) });
        routes.hosts = site.hosts.to_vec();
        routes.default = site.default;
        for route in &site.routes {
            let mut plan = route_plan(route, settings, &name, upstreams, metrics, limits)?;
            plan.zone = zone_of(zones, route.zone(site));
            routes.route(route.matching(), Arc::new(plan));
        }
        builder.site(routes);
    }
    Ok(builder.build()?)
}

/// The name of a site in metrics and logs.
pub(crate) fn site_name(site: &SiteSettings, index: usize) -> String {
    site.name
        .clone()
        .or_else(|| site.hosts.first().map(ToString::to_string))
        .unwrap_or_else(|| if site.default { "default".into() } else { format!("site-{index}") })
}

fn route_plan(
    route: &RouteSettings,
    settings: &Settings,
    site: &Arc<str>,
    upstreams: &Upstreams,
    metrics: &Arc<Metrics>,
    limits: &Limits,
) -> Result<RoutePlan, PlanError> {
    let name = route.label();
    let redirect =
        route.redirect.as_ref().map(|redirect| Redirect::new(redirect).map(Box::new)).transpose()?;
    let (action, to_https) = if let Some(upstream) = &route.upstream {
        let found = upstreams.get(upstream).cloned();
        let found = found.ok_or_else(|| PlanError::NoUpstream(name.clone(), upstream.clone()))?;
        (Action::Forward(found), redirect)
    } else if let Some(respond) = &route.respond {
        (Action::Respond(Box::new(respond.compile()?)), redirect)
    } else if let Some(redirect) = redirect {
        (Action::Redirect(redirect), None)
    } else {
        return Err(PlanError::NoAction(name));
    };
    let cache = route
        .cache
        .as_ref()
        .filter(|cache| cache.enabled)
        .map(|cache| CachePolicy::with_default_profile(cache, settings.cache.profile));
    let compress = route.compress.as_ref().or(settings.compress.as_ref());
    Ok(RoutePlan {
        site: Arc::clone(site),
        metrics: metrics.route(site, &name),
        name: name.into(),
        action,
        to_https,
        rewrite: route.rewrite.as_ref().map(Rewrite::new).transpose()?,
        request_headers: route
            .request_headers
            .as_ref()
            .map(|ops| ops.compile(HeaderTarget::Request))
            .transpose()?,
        response_headers: route
            .response_headers
            .as_ref()
            .map(|ops| ops.compile(HeaderTarget::Response))
            .transpose()?,
        cache: cache.transpose()?,
        zone: None,
        compress: compress.and_then(|compress| CompressPolicy::new(compress)),
        max_body: route.max_body.map_or(limits.max_body, |size| size.bytes()),
    })
}

/// The zone of this name; the default one when it is not there yet.
fn zone_of(zones: &[&'static Zone], name: &str) -> Option<&'static Zone> {
    zones.iter().find(|zone| *zone.name == *name).or(zones.first()).copied()
}

/// The parts of the cache that live as long as the process: Pingora takes them by `&'static`.
#[derive(Clone)]
pub(crate) struct Engine {
    /// The default zone is the first.
    pub(crate) zones: Arc<[&'static Zone]>,
    pub(crate) refreshes: &'static Refreshes,
    lock: &'static CacheKeyLockImpl,
}

impl Engine {
    /// Made once: what is made here is never given back.
    pub(crate) fn new(settings: &CacheSettings) -> Result<Self, PlanError> {
        let open = |name: &str, store: &StoreSettings| -> Result<&'static Zone, PlanError> {
            let failed = |source| PlanError::Store { zone: name.to_owned(), source };
            let limits = ZoneLimits {
                max_object: store.max_object.as_usize(),
                indexed_parts: settings.indexed_parts,
                max_parts: settings.max_parts as usize,
                uncacheable_keys: settings.uncacheable_keys,
                search_paths: settings.no_vary_search_paths,
            };
            let store = Store::open(store, Arc::new(FactsCodec)).map_err(failed)?;
            Ok(Zone::leak(name, store, limits))
        };
        let mut zones = vec![open(DEFAULT_ZONE, &settings.store())?];
        for zone in &settings.zones {
            zones.push(open(&zone.name, &zone.store(settings))?);
        }
        Ok(Self {
            zones: zones.into(),
            refreshes: Refreshes::leak(),
            lock: Collapse::leak(settings.collapse.fetch.duration()),
        })
    }

    /// The cache under these settings.
    fn plan(&self, settings: &CacheSettings) -> CachePlan {
        CachePlan {
            zones: Arc::clone(&self.zones),
            lock: settings.collapse.enabled.then_some(self.lock),
            lock_wait: settings.collapse.wait.duration(),
            refreshes: self.refreshes,
            refresh_limits: RefreshLimits {
                all: settings.collapse.refreshes,
                upstream: settings.collapse.upstream_refreshes,
            },
            purge_allow: settings.purge.allow.iter().collect(),
            show_key: settings.purge.show_key,
            tags: settings.purge.tags(),
            fast_path: settings.fast_path,
        }
    }

    /// Writes what waits to be written, so that a process that opens the same folders from now on finds it.
    pub(crate) fn seal(&self) {
        self.each(|zone| zone.store.seal());
    }

    /// Leaves the disks to a process that has opened the same folders meanwhile.
    pub(crate) fn step_down(&self) {
        self.each(|zone| zone.store.step_down());
    }

    /// Writes what waits to be written, and ends.
    pub(crate) fn close(&self) {
        self.each(|zone| zone.store.close());
    }

    /// Whether everything that was on the disks at the start has been looked through.
    pub(crate) fn is_recovered(&self) -> bool {
        self.zones.iter().all(|zone| zone.store.is_recovered())
    }

    /// In all zones at once: one with much to write must not keep the others waiting.
    fn each(&self, work: impl Fn(&Zone) + Sync) {
        let work = &work;
        std::thread::scope(|scope| {
            let (first, others) = (self.zones.first(), self.zones.iter().skip(1));
            for zone in others {
                let started = std::thread::Builder::new().spawn_scoped(scope, move || work(zone));
                if started.is_err() {
                    work(zone);
                }
            }
            first.into_iter().for_each(|zone| work(zone));
        });
    }
}
