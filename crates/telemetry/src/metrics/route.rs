//! What a route counts about its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use once_cell::race::OnceBox;

use super::family::{Families, Family, Spec, Specs};
use super::histogram::{Distribution, HistogramCells};
use super::labels::{CacheResult, METHODS, STATUS_CLASSES, method_index, status_index};
use crate::stripe::Striped;

/// One finished request, as the counters want it.
#[derive(Debug, Clone)]
pub struct RequestSample<'a> {
    /// The method as received.
    pub method: &'a Method,
    /// The status sent; 0 when the client left before there was one.
    pub status: u16,
    /// How the cache took part.
    pub cache: CacheResult,
    /// From the first byte of the head to the last byte of the answer.
    pub duration: Duration,
    /// From the first byte of the head to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// What of it was spent on the upstream, all tries together; `None` when it was not asked.
    pub upstream: Option<Duration>,
    /// Bytes of the body received.
    pub bytes_received: u64,
    /// Bytes of the body sent.
    pub bytes_sent: u64,
}

const RESULTS: usize = CacheResult::ALL.len();
/// Requests of one method by status class and cache result.
type Row = [AtomicU64; STATUS_CLASSES.len() * RESULTS];

/// The counters of one route on one stripe of threads. A row exists once its method was seen: most routes see
/// two or three, and the whole table would be four kilobytes a stripe.
#[derive(Default)]
struct Cells {
    requests: [OnceBox<Row>; METHODS.len()],
    duration: HistogramCells,
    first_byte: HistogramCells,
    upstream: HistogramCells,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
}

/// The handle of one route, held by the plan. Its series are exposed as long as a handle lives.
pub struct RouteMetrics {
    site: String,
    route: String,
    cells: Striped<Cells>,
    collapsed: AtomicU64,
}

impl RouteMetrics {
    pub(super) fn new(site: &str, route: &str) -> Self {
        Self {
            site: site.to_owned(),
            route: route.to_owned(),
            cells: Striped::default(),
            collapsed: AtomicU64::new(0),
        }
    }

    /// Counts one finished request: nine additions to memory that other cores seldom write, no label, no lock.
    pub fn record(&self, sample: &RequestSample<'_>) {
        let cells = self.cells.mine();
        let row = cells.requests[method_index(sample.method)]
            .get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        row[status_index(sample.status) * RESULTS + sample.cache as usize].fetch_add(1, Ordering::Relaxed);
        cells.duration.observe(sample.duration);
        if let Some(first_byte) = sample.first_byte {
            cells.first_byte.observe(first_byte);
        }
        if let Some(upstream) = sample.upstream {
            cells.upstream.observe(upstream);
        }
        cells.bytes_received.fetch_add(sample.bytes_received, Ordering::Relaxed);
        cells.bytes_sent.fetch_add(sample.bytes_sent, Ordering::Relaxed);
    }

    /// Counts a request that waited for another one's fill instead of asking the origin itself.
    pub fn collapsed(&self) {
        self.collapsed.fetch_add(1, Ordering::Relaxed);
    }

    fn labels(&self) -> [&str; 2] {
        [&self.site, &self.route]
    }

    fn sum(&self, cell: impl Fn(&Cells) -> &AtomicU64) -> u64 {
        self.cells.iter().map(|cells| cell(cells).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    /// Requests by (method, status class, cache result), the zeros left out.
    fn requests(&self) -> Vec<([usize; 3], u64)> {
        let mut found = Vec::new();
        for method in 0..METHODS.len() {
            let rows: Vec<&Row> =
                self.cells.iter().filter_map(|cells| cells.requests[method].get()).collect();
            for cell in 0..STATUS_CLASSES.len() * RESULTS {
                let count =
                    rows.iter().map(|row| row[cell].load(Ordering::Relaxed)).fold(0, u64::wrapping_add);
                if count > 0 {
                    found.push(([method, cell / RESULTS, cell % RESULTS], count));
                }
            }
        }
        found
    }
}

const SITE_ROUTE: [&str; 2] = ["site", "route"];

static REQUESTS: Spec<5> = Spec::counter(
    "seawall_http_requests_total",
    "Requests answered.",
    ["site", "route", "method", "status_class", "cache"],
);
static DURATION: Spec<2> = Spec::histogram(
    "seawall_http_request_duration_seconds",
    "From the first byte of a request to the last byte of its answer.",
    SITE_ROUTE,
);
static FIRST_BYTE: Spec<2> = Spec::histogram(
    "seawall_http_time_to_first_byte_seconds",
    "From the first byte of a request to the first byte of its answer.",
    SITE_ROUTE,
);
static UPSTREAM: Spec<2> = Spec::histogram(
    "seawall_http_upstream_duration_seconds",
    "Time spent on the upstream by requests that asked it, all tries together.",
    SITE_ROUTE,
);
static BYTES_RECEIVED: Spec<2> =
    Spec::counter("seawall_http_request_bytes_total", "Bytes of request bodies received.", SITE_ROUTE);
static BYTES_SENT: Spec<2> =
    Spec::counter("seawall_http_response_bytes_total", "Bytes of response bodies sent.", SITE_ROUTE);
static COLLAPSED: Spec<2> = Spec::counter(
    "seawall_cache_collapsed_requests_total",
    "Requests that waited for another one's fill instead of asking the origin.",
    SITE_ROUTE,
);

pub(super) fn specs() -> Specs {
    vec![&REQUESTS, &DURATION, &FIRST_BYTE, &UPSTREAM, &BYTES_RECEIVED, &BYTES_SENT, &COLLAPSED]
}

/// Reads the families of all routes.
pub(super) fn read(routes: &[Arc<RouteMetrics>], out: &mut Families) {
    let mut family = out.family(&REQUESTS);
    for route in routes {
        let [site, name] = route.labels();
        for ([method, status, cache], count) in route.requests() {
            let (method, status) = (METHODS[method], STATUS_CLASSES[status]);
            family.sample([site, name, method, status, CacheResult::ALL[cache].label()], count);
        }
    }
    distributions(routes, out.family(&DURATION), |cells| &cells.duration);
    distributions(routes, out.family(&FIRST_BYTE), |cells| &cells.first_byte);
    distributions(routes, out.family(&UPSTREAM), |cells| &cells.upstream);
    totals(routes, out.family(&BYTES_RECEIVED), |route| route.sum(|cells| &cells.bytes_received));
    totals(routes, out.family(&BYTES_SENT), |route| route.sum(|cells| &cells.bytes_sent));
    totals(routes, out.family(&COLLAPSED), |route| route.collapsed.load(Ordering::Relaxed));
}

fn distributions(
    routes: &[Arc<RouteMetrics>],
    mut family: Family<'_, 2>,
    cells: fn(&Cells) -> &HistogramCells,
) {
    for route in routes {
        let seen = Distribution::of(route.cells.iter().map(cells));
        if !seen.is_empty() {
            family.distribution(route.labels(), &seen);
        }
    }
}

fn totals(routes: &[Arc<RouteMetrics>], mut family: Family<'_, 2>, count: fn(&RouteMetrics) -> u64) {
    for route in routes {
        family.sample(route.labels(), count(route));
    }
}
