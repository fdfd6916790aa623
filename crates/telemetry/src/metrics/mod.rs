//! Numbers for Prometheus.
//!
//! [`Metrics`] hands out a handle per route, listener and upstream when a plan is built; the plan keeps it, and a request
//! counts on it without looking anything up. The registry itself holds the handles weakly: when the last plan
//! that names a site is gone, with the last request that ran under it, so are its series. A plan that is built while the
//! old one lives gets the same handles for the same names, so counters do not jump on a reload.
//!
//! State that other crates keep (pools, store, certificates) is asked for at a scrape through the source traits.

mod app;
mod exposition;
mod histogram;
mod labels;
mod listener;
mod process;
mod reasons;
mod route;
mod samples;
mod table;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};

pub use app::MetricsApp;
pub use labels::{CacheResult, RetryReason, TlsResult, TlsVersion, UpstreamResult};
pub use listener::{ListenerMetrics, OpenConnection};
pub use reasons::ReasonCounter;
pub use route::{RequestSample, RouteMetrics};
pub use samples::{
    ByCause, CertificateSample, CertificateSource, NameSample, PoolSource, ServerSample, StoreSample,
    StoreSource,
};
pub use upstream::UpstreamMetrics;

use crate::access_log::AccessLog;
use crate::stripe::Striped;
use exposition::Exposition;
use samples::unix_seconds;
use table::Table;

/// What was built, for `seawall_build_info`.
#[derive(Debug, Clone, Copy)]
pub struct BuildInfo {
    /// The version of Seawall.
    pub version: &'static str,
    /// The revision it was built from; may be empty.
    pub revision: &'static str,
    /// The version of Pingora.
    pub pingora: &'static str,
}

/// What the last load of the configuration came to.
#[derive(Debug, Clone, Copy)]
struct Loaded {
    generation: u64,
    at: SystemTime,
    took: Duration,
}

#[derive(Default)]
struct Sources {
    pools: Option<Arc<dyn PoolSource>>,
    store: Option<Arc<dyn StoreSource>>,
    certificates: Option<Arc<dyn CertificateSource>>,
    access_log: Option<Arc<AccessLog>>,
}

/// The registry.
pub struct Metrics {
    build: BuildInfo,
    started: SystemTime,
    routes: Table<[String; 2], RouteMetrics>,
    listeners: Table<String, ListenerMetrics>,
    upstreams: Table<String, UpstreamMetrics>,
    refused: ReasonCounter,
    uncacheable: ReasonCounter,
    in_flight: Striped<AtomicI64>,
    loaded: Mutex<Option<Loaded>>,
    loads: [AtomicU64; 2],
    sources: RwLock<Sources>,
}

impl Metrics {
    /// An empty registry; make it early, its birth is the start time of the process.
    #[must_use]
    pub fn new(build: BuildInfo) -> Self {
        Self {
            build,
            started: SystemTime::now(),
            routes: Table::default(),
            listeners: Table::default(),
            upstreams: Table::default(),
            refused: ReasonCounter::default(),
            uncacheable: ReasonCounter::default(),
            in_flight: Striped::default(),
            loaded: Mutex::new(None),
            loads: Default::default(),
            sources: RwLock::default(),
        }
    }

    /// The handle of a route. Both names must come from the configuration. Keep it: when the last copy goes, the series go.
    #[must_use]
    pub fn route(&self, site: &str, route: &str) -> Arc<RouteMetrics> {
        self.routes.get([site.to_owned(), route.to_owned()], || RouteMetrics::new(site, route))
    }

    /// The handle of a listener, named by its address. Keep it: when the last copy goes, the series go.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        self.listeners.get(name.to_owned(), || ListenerMetrics::new(name))
    }

    /// The handle of an upstream. Keep it: when the last copy goes, the series go.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.upstreams.get(name.to_owned(), || UpstreamMetrics::new(name))
    }

    /// Requests refused before they had a route, by reason: bad heads, limits, unknown hosts.
    #[must_use]
    pub fn refused(&self) -> &ReasonCounter {
        &self.refused
    }

    /// Responses that passed through without being stored, by reason.
    #[must_use]
    pub fn uncacheable(&self) -> &ReasonCounter {
        &self.uncacheable
    }

    /// Counts a request as running; pair it with [`Self::request_ended`], on any thread.
    pub fn request_began(&self) {
        self.in_flight.mine().fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request as over.
    pub fn request_ended(&self) {
        self.in_flight.mine().fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests running now.
    #[must_use]
    pub fn requests_in_flight(&self) -> i64 {
        self.in_flight.iter().map(|cell| cell.load(Ordering::Relaxed)).fold(0, i64::wrapping_add)
    }

    /// Notes that a configuration took effect: its number (1 is the first) and how long it took to read and check.
    pub fn config_loaded(&self, generation: u64, took: Duration) {
        *self.loaded.lock() = Some(Loaded { generation, at: SystemTime::now(), took });
        self.loads[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a configuration was refused and the old one stays.
    pub fn config_refused(&self) {
        self.loads[1].fetch_add(1, Ordering::Relaxed);
    }

    /// Where scrapes find the pools from now on.
    pub fn watch_pools(&self, source: Arc<dyn PoolSource>) {
        self.sources.write().pools = Some(source);
    }

    /// Where scrapes find the store from now on.
    pub fn watch_store(&self, source: Arc<dyn StoreSource>) {
        self.sources.write().store = Some(source);
    }

    /// Where scrapes find the certificates from now on.
    pub fn watch_certificates(&self, source: Arc<dyn CertificateSource>) {
        self.sources.write().certificates = Some(source);
    }

    /// The access log whose losses scrapes report from now on.
    pub fn watch_access_log(&self, log: Arc<AccessLog>) {
        self.sources.write().access_log = Some(log);
    }

    /// The answer to a scrape. It reads `/proc` and calls the sources: keep it off the threads that serve requests.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = Exposition::default();
        route::write(&self.routes.all(), &mut out);
        out.gauge("seawall_http_requests_in_flight", "Requests running now.")
            .sample(&[], self.requests_in_flight());
        let mut family =
            out.counter("seawall_http_requests_refused_total", "Requests refused before they had a route.");
        self.refused.write(&mut family, &[]);
        let mut family =
            out.counter("seawall_cache_uncacheable_total", "Responses that passed without being stored.");
        self.uncacheable.write(&mut family, &[]);
        listener::write(&self.listeners.all(), &mut out);
        upstream::write(&self.upstreams.all(), &mut out);
        self.write_sources(&mut out);
        self.write_config(&mut out);
        out.counter(
            "seawall_log_suppressed_lines_total",
            "Lines of the process log held back as repetitions.",
        )
        .sample(&[], crate::process_log::suppressed());
        process::write(self.started, &mut out);
        out.finish()
    }

    fn write_sources(&self, out: &mut Exposition) {
        // Taken out of the lock first: a source may take its time.
        let (pools, store, certificates, log) = {
            let sources = self.sources.read();
            (
                sources.pools.clone(),
                sources.store.clone(),
                sources.certificates.clone(),
                sources.access_log.clone(),
            )
        };
        if let Some(pools) = pools {
            samples::write_pools(pools.as_ref(), out);
        }
        if let Some(store) = store {
            samples::write_store(store.as_ref(), out);
        }
        if let Some(certificates) = certificates {
            samples::write_certificates(certificates.as_ref(), out);
        }
        if let Some(log) = log {
            let stats = log.stats();
            out.counter("seawall_access_log_lines_total", "Lines written.").sample(&[], stats.written);
            out.counter(
                "seawall_access_log_dropped_lines_total",
                "Lines lost: no room in memory, or a stuck disk.",
            )
            .sample(&[], stats.dropped);
            out.counter("seawall_access_log_write_errors_total", "Writes that failed; they are tried again.")
                .sample(&[], stats.write_errors);
            out.gauge("seawall_access_log_buffered_bytes", "Bytes waiting to be written.")
                .sample(&[], stats.buffered_bytes);
        }
    }

    fn write_config(&self, out: &mut Exposition) {
        let loaded = *self.loaded.lock();
        if let Some(loaded) = loaded {
            out.gauge("seawall_config_generation", "The number of the configuration in effect.")
                .sample(&[], loaded.generation);
            out.gauge("seawall_config_loaded_timestamp_seconds", "When it took effect.")
                .sample(&[], unix_seconds(loaded.at));
            out.gauge("seawall_config_load_duration_seconds", "How long it took to read and check.")
                .sample(&[], loaded.took.as_secs_f64());
        }
        let mut family = out.counter("seawall_config_loads_total", "Configurations read.");
        for (count, result) in self.loads.iter().zip(["ok", "refused"]) {
            family.sample(&[("result", result)], count.load(Ordering::Relaxed));
        }
        let BuildInfo { version, revision, pingora } = self.build;
        out.gauge("seawall_build_info", "What was built; the value is always 1.")
            .sample(&[("version", version), ("revision", revision), ("pingora", pingora)], 1u64);
    }
}

#[cfg(test)]
mod tests;
