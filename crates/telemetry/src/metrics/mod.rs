//! Numbers for Prometheus.
//!
//! [`Metrics`] hands out a handle per route, listener and upstream when a plan is built; the plan keeps it, and a request
//! counts on it without looking anything up. The registry itself holds the handles weakly: when the last plan
//! that names a site is gone, with the last request that ran under it, so are its series. A plan that is built while the
//! old one lives gets the same handles for the same names, so counters do not jump on a reload.
//!
//! State that other crates keep (pools, store, certificates) is asked for at a scrape through the source traits.

mod app;
mod compression;
mod config;
mod control;
mod disks;
mod family;
mod histogram;
mod labels;
mod listener;
mod process;
mod purges;
mod reasons;
mod refreshes;
mod route;
mod samples;
mod sources;
mod table;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use prometheus::{Registry, TextEncoder};

pub use app::MetricsApp;
pub use compression::{CompressionMetrics, CompressionSample};
pub use config::BuildInfo;
pub use control::ReadinessSource;
pub use family::FamilyInfo;
pub use labels::{CacheResult, RetryReason, TlsResult, TlsVersion, UpstreamResult};
pub use listener::{ListenerMetrics, OpenConnection};
pub use reasons::ReasonCounter;
pub use route::{RequestSample, RouteMetrics};
pub use samples::{
    ByCause, CertificateSample, CertificateSource, DiskSample, NameSample, PartsSample, PoolSample,
    PoolSource, RefreshSample, ServerSample, StoreSample, StoreSource,
};
pub use upstream::UpstreamMetrics;

use crate::access_log::AccessLog;
use crate::stripe::Striped;
use config::ConfigMetrics;
use control::ControlMetrics;
use family::{Families, Group, Spec, Specs};
use purges::PurgeMetrics;
use sources::Sources;
use table::Table;

/// All numbers, behind one registry.
pub struct Metrics {
    registry: Registry,
    shared: Arc<Shared>,
}

/// What requests count on and scrapes read.
struct Shared {
    started: SystemTime,
    routes: Table<[String; 2], RouteMetrics>,
    listeners: Table<String, ListenerMetrics>,
    upstreams: Table<String, UpstreamMetrics>,
    refused: ReasonCounter,
    uncacheable: ReasonCounter,
    background_fills: ReasonCounter,
    compression: CompressionMetrics,
    in_flight: Striped<AtomicI64>,
    fast_hits: Striped<AtomicI64>,
    tunnels: Striped<AtomicI64>,
    tunnels_idle: AtomicU64,
    config: ConfigMetrics,
    control: ControlMetrics,
    purges: PurgeMetrics,
    sources: Sources,
}

static IN_FLIGHT: Spec<0> = Spec::gauge("seawall_http_requests_in_flight", "Requests running now.", []);
static FAST_HITS: Spec<0> =
    Spec::counter("seawall_cache_fast_hits_total", "Hits answered by `cache.fast_path`.", []);
static TUNNELS: Spec<0> = Spec::gauge("seawall_http_tunnels", "WebSockets open now.", []);
static TUNNELS_IDLE: Spec<0> = Spec::counter(
    "seawall_http_tunnels_idle_total",
    "WebSockets closed because they carried nothing for `timeouts.tunnel`.",
    [],
);
static REFUSED: Spec<1> = Spec::counter(
    "seawall_http_requests_refused_total",
    "Requests refused before they had a route.",
    ["reason"],
);
static UNCACHEABLE: Spec<1> = Spec::counter(
    "seawall_cache_uncacheable_total",
    "Responses that passed without being stored.",
    ["reason"],
);
static BACKGROUND_FILLS: Spec<1> = Spec::counter(
    "seawall_cache_background_fills_total",
    "Responses on their way into the store whose own client left, by what became of them.",
    ["result"],
);
static SUPPRESSED: Spec<0> = Spec::counter(
    "seawall_log_suppressed_lines_total",
    "Lines of the process log held back as repetitions.",
    [],
);

/// The specs of a group of families, and how to read it.
type GroupPlan = (fn() -> Specs, fn(&Shared, &mut Families));

/// Each becomes a collector of the registry.
static GROUPS: [GroupPlan; 10] = [
    (route::specs, |shared, out| route::read(&shared.routes.all(), out)),
    (listener::specs, |shared, out| listener::read(&shared.listeners.all(), out)),
    (upstream::specs, |shared, out| upstream::read(&shared.upstreams.all(), out)),
    (sources::specs, |shared, out| sources::read(&shared.sources, out)),
    (config::specs, |shared, out| config::read(&shared.config, out)),
    (control::specs, |shared, out| control::read(&shared.control, out)),
    (compression::specs, |shared, out| compression::read(&shared.compression, out)),
    (purges::specs, |shared, out| purges::read(&shared.purges, out)),
    (process::specs, |shared, out| process::read(shared.started, out)),
    (
        || {
            vec![
                &IN_FLIGHT,
                &FAST_HITS,
                &TUNNELS,
                &TUNNELS_IDLE,
                &REFUSED,
                &UNCACHEABLE,
                &BACKGROUND_FILLS,
                &SUPPRESSED,
            ]
        },
        |shared, out| {
            out.single(&IN_FLIGHT, sum(&shared.in_flight));
            out.single(&FAST_HITS, sum(&shared.fast_hits));
            out.single(&TUNNELS, sum(&shared.tunnels));
            out.single(&TUNNELS_IDLE, shared.tunnels_idle.load(Ordering::Relaxed));
            shared.refused.read(&mut out.family(&REFUSED), |reason| [reason]);
            shared.uncacheable.read(&mut out.family(&UNCACHEABLE), |reason| [reason]);
            shared.background_fills.read(&mut out.family(&BACKGROUND_FILLS), |result| [result]);
            out.single(&SUPPRESSED, crate::process_log::suppressed());
        },
    ),
];

impl Metrics {
    /// All numbers at nothing; make it early, its birth is the start time of the process.
    ///
    /// # Panics
    /// When two families have one name, or a name is none: a slip in this crate that no test would let pass.
    #[must_use]
    #[expect(clippy::expect_used, reason = "what is registered is constant: it always fails or never")]
    pub fn new(build: BuildInfo) -> Self {
        let background_fills = ReasonCounter::default();
        background_fills.expect(["finished", "stopped", "failed"]);
        let shared = Arc::new(Shared {
            started: SystemTime::now(),
            routes: Table::default(),
            listeners: Table::default(),
            upstreams: Table::default(),
            refused: ReasonCounter::default(),
            uncacheable: ReasonCounter::default(),
            background_fills,
            compression: CompressionMetrics::new(),
            in_flight: Striped::default(),
            fast_hits: Striped::default(),
            tunnels: Striped::default(),
            tunnels_idle: AtomicU64::new(0),
            config: ConfigMetrics::new(build),
            control: ControlMetrics::new(),
            purges: PurgeMetrics::default(),
            sources: Sources::default(),
        });
        let registry = register(&shared).expect("the families of this crate are well formed");
        Self { registry, shared }
    }

    /// Every family there can be; which of them a scrape shows depends on what happened.
    #[must_use]
    pub fn families() -> Vec<FamilyInfo> {
        let mut families: Vec<_> =
            GROUPS.iter().flat_map(|(specs, _)| specs()).map(family::Described::info).collect();
        families.sort_by_key(|family| family.name);
        families
    }

    /// The handle of a route. Both names must come from the configuration. Keep it: when the last copy goes, the series go.
    #[must_use]
    pub fn route(&self, site: &str, route: &str) -> Arc<RouteMetrics> {
        self.shared.routes.get([site.to_owned(), route.to_owned()], || RouteMetrics::new(site, route))
    }

    /// The handle of a listener, named by its address. Keep it: when the last copy goes, the series go.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        self.shared.listeners.get(name.to_owned(), || ListenerMetrics::new(name))
    }

    /// The handle of an upstream. Keep it: when the last copy goes, the series go.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.shared.upstreams.get(name.to_owned(), || UpstreamMetrics::new(name))
    }

    /// Requests refused before they had a route, by reason: bad heads, limits, unknown hosts.
    #[must_use]
    pub fn refused(&self) -> &ReasonCounter {
        &self.shared.refused
    }

    /// Responses on their way into the store whose own client left, by what became of them.
    #[must_use]
    pub fn background_fills(&self) -> &ReasonCounter {
        &self.shared.background_fills
    }

    /// Responses that passed through without being stored, by reason.
    #[must_use]
    pub fn uncacheable(&self) -> &ReasonCounter {
        &self.shared.uncacheable
    }

    /// What is counted about compression.
    #[must_use]
    pub fn compression(&self) -> &CompressionMetrics {
        &self.shared.compression
    }

    /// Counts a request as running; pair it with [`Self::request_ended`], on any thread.
    pub fn request_began(&self) {
        self.shared.in_flight.mine().fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request as over.
    pub fn request_ended(&self) {
        self.shared.in_flight.mine().fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests running now.
    #[must_use]
    pub fn requests_in_flight(&self) -> i64 {
        sum(&self.shared.in_flight)
    }

    /// Counts a hit that was answered before Pingora's cache began.
    pub fn fast_hit(&self) {
        self.shared.fast_hits.mine().fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a WebSocket as open; pair it with [`Self::tunnel_ended`], on any thread.
    pub fn tunnel_began(&self) {
        self.shared.tunnels.mine().fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a WebSocket as closed.
    pub fn tunnel_ended(&self) {
        self.shared.tunnels.mine().fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a WebSocket that is closed for its silence.
    pub fn tunnel_idle(&self) {
        self.shared.tunnels_idle.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a configuration took effect: its number (1 is the first) and how long it took to read and check.
    pub fn config_loaded(&self, generation: u64, took: Duration) {
        self.shared.config.loaded(generation, took);
    }

    /// Notes that a configuration was refused and the old one stays.
    pub fn config_refused(&self) {
        self.shared.config.refused();
    }

    /// Whether the process wants requests, and the word for its state; for `/readyz`.
    #[must_use]
    pub fn readiness(&self) -> (bool, &'static str) {
        self.shared.control.readiness()
    }

    /// Who says whether the process wants requests from now on.
    pub fn watch_readiness(&self, source: Arc<dyn ReadinessSource>) {
        self.shared.control.watch(source);
    }

    /// Counts an answer of the control API.
    pub fn admin_answered(&self, request: &'static str, status: u16) {
        self.shared.control.admin_answered(request, status);
    }

    /// Counts files of a certificate that changed: `ok` when they are used, else refused.
    pub fn certificate_renewed(&self, ok: bool) {
        self.shared.control.renewals.inc(if ok { "ok" } else { "refused" });
    }

    /// Counts a purge of one name, and how long it took until it was acknowledged.
    pub fn purged(&self, by: &'static str, soft: bool, ok: bool, took: Duration) {
        self.shared.purges.count(by, soft, ok, took);
    }

    /// Counts an attempt to hand over to a new process.
    pub fn upgraded(&self, ok: bool) {
        self.shared.control.upgrades.inc(if ok { "ok" } else { "failed" });
    }

    /// Notes whether the file of ticket keys could be used.
    pub fn ticket_keys(&self, ok: bool) {
        self.shared.control.tickets(ok);
    }

    /// Where scrapes find the pools from now on.
    pub fn watch_pools(&self, source: Arc<dyn PoolSource>) {
        *self.shared.sources.pools.write() = Some(source);
    }

    /// Where scrapes find the store from now on.
    pub fn watch_store(&self, source: Arc<dyn StoreSource>) {
        *self.shared.sources.store.write() = Some(source);
    }

    /// Where scrapes find the certificates from now on.
    pub fn watch_certificates(&self, source: Arc<dyn CertificateSource>) {
        *self.shared.sources.certificates.write() = Some(source);
    }

    /// The access log whose losses scrapes report from now on.
    pub fn watch_access_log(&self, log: Arc<AccessLog>) {
        *self.shared.sources.access_log.write() = Some(log);
    }

    /// The answer to a scrape. It reads `/proc` and calls the sources: keep it off the threads that serve requests.
    ///
    /// # Errors
    /// Never in practice: the encoder refuses families without samples, which the registry leaves out.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn sum(cells: &Striped<AtomicI64>) -> i64 {
    cells.iter().map(|cell| cell.load(Ordering::Relaxed)).fold(0, i64::wrapping_add)
}

fn register(shared: &Arc<Shared>) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    for (specs, read) in &GROUPS {
        registry.register(Box::new(Group::new(&specs(), Arc::clone(shared), *read)?))?;
    }
    Ok(registry)
}

#[cfg(test)]
mod tests;
