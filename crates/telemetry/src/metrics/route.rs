//! What a route counts about its requests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;

use super::exposition::Exposition;
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
    requests: [OnceLock<Box<Row>>; METHODS.len()],
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

    fn labels(&self) -> [(&'static str, &str); 2] {
        [("site", self.site.as_str()), ("route", self.route.as_str())]
    }

    fn sum(&self, cell: impl Fn(&Cells) -> &AtomicU64) -> u64 {
        self.cells.iter().map(|cells| cell(cells).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    /// Requests by (method, status class, cache result), the zeros left out.
    fn requests(&self) -> Vec<([usize; 3], u64)> {
        let mut found = Vec::new();
        for method in 0..METHODS.len() {
            let rows: Vec<&Row> =
                self.cells.iter().filter_map(|cells| cells.requests[method].get()).map(Box::as_ref).collect();
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

/// The name, the help and the value of a counter.
type Counter = (&'static str, &'static str, fn(&RouteMetrics) -> u64);

/// Writes the families of all routes.
pub(super) fn write(routes: &[std::sync::Arc<RouteMetrics>], out: &mut Exposition) {
    let mut family = out.counter("seawall_http_requests_total", "Requests answered.");
    for route in routes {
        let [site, name] = route.labels();
        for ([method, status, cache], count) in route.requests() {
            let method = ("method", METHODS[method]);
            let status = ("status_class", STATUS_CLASSES[status]);
            let cache = ("cache", CacheResult::ALL[cache].label());
            family.sample(&[site, name, method, status, cache], count);
        }
    }
    distributions(
        routes,
        out,
        "seawall_http_request_duration_seconds",
        "From the first byte of a request to the last byte of its answer.",
        |cells| &cells.duration,
    );
    distributions(
        routes,
        out,
        "seawall_http_time_to_first_byte_seconds",
        "From the first byte of a request to the first byte of its answer.",
        |cells| &cells.first_byte,
    );
    distributions(
        routes,
        out,
        "seawall_http_upstream_duration_seconds",
        "Time spent on the upstream by requests that asked it, all tries together.",
        |cells| &cells.upstream,
    );
    let counters: [Counter; 3] = [
        ("seawall_http_request_bytes_total", "Bytes of request bodies received.", |route| {
            route.sum(|cells| &cells.bytes_received)
        }),
        ("seawall_http_response_bytes_total", "Bytes of response bodies sent.", |route| {
            route.sum(|cells| &cells.bytes_sent)
        }),
        (
            "seawall_cache_collapsed_requests_total",
            "Requests that waited for another one's fill instead of asking the origin.",
            |route| route.collapsed.load(Ordering::Relaxed),
        ),
    ];
    for (name, help, read) in counters {
        let mut family = out.counter(name, help);
        for route in routes {
            family.sample(&route.labels(), read(route));
        }
    }
}

fn distributions(
    routes: &[std::sync::Arc<RouteMetrics>],
    out: &mut Exposition,
    name: &'static str,
    help: &'static str,
    cells: fn(&Cells) -> &HistogramCells,
) {
    let mut family = out.histogram(name, help);
    for route in routes {
        let seen = Distribution::of(route.cells.iter().map(cells));
        if !seen.is_empty() {
            family.distribution(&route.labels(), &seen);
        }
    }
}
