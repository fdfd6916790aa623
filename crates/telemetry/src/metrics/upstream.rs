//! What an upstream counts about the tries made at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::family::{Families, Spec, Specs};
use super::histogram::{Distribution, HistogramCells};
use super::labels::{RetryReason, SHOWN_RESULTS, UPSTREAM_RESULTS, UpstreamResult};
use crate::stripe::Striped;

#[derive(Default)]
struct Cells {
    results: [AtomicU64; UPSTREAM_RESULTS.len()],
    connections: [AtomicU64; 2],
    first_byte: HistogramCells,
}

/// The handle of one upstream. Its series are exposed as long as a handle lives.
pub struct UpstreamMetrics {
    name: String,
    cells: Striped<Cells>,
    retries: [AtomicU64; RetryReason::ALL.len()],
    budget_exhausted: AtomicU64,
    no_server: AtomicU64,
}

impl UpstreamMetrics {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cells: Striped::default(),
            retries: Default::default(),
            budget_exhausted: AtomicU64::new(0),
            no_server: AtomicU64::new(0),
        }
    }

    /// Counts a finished try; `first_byte` is the time from sending the head to the head of the answer.
    pub fn tried(&self, result: UpstreamResult, first_byte: Option<Duration>) {
        let cells = self.cells.mine();
        cells.results[result.index()].fetch_add(1, Ordering::Relaxed);
        if let Some(first_byte) = first_byte {
            cells.first_byte.observe(first_byte);
        }
    }

    /// Counts a connection taken for a try, new or kept from an earlier one.
    pub fn connected(&self, reused: bool) {
        self.cells.mine().connections[usize::from(reused)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts another try for the same request.
    pub fn retried(&self, reason: RetryReason) {
        self.retries[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a retry that the budget forbade.
    pub fn budget_exhausted(&self) {
        self.budget_exhausted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that found no usable server.
    pub fn no_server(&self) {
        self.no_server.fetch_add(1, Ordering::Relaxed);
    }

    fn sum(&self, cell: impl Fn(&Cells) -> &AtomicU64) -> u64 {
        self.cells.iter().map(|cells| cell(cells).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

static REQUESTS: Spec<2> = Spec::counter(
    "seawall_upstream_requests_total",
    "Tries at servers, by how they ended.",
    ["upstream", "result"],
);
static CONNECTIONS: Spec<2> = Spec::counter(
    "seawall_upstream_connections_total",
    "Connections taken for tries: opened anew or reused.",
    ["upstream", "state"],
);
static FIRST_BYTE: Spec<1> = Spec::histogram(
    "seawall_upstream_first_byte_seconds",
    "From sending a request to a server to the head of its answer.",
    ["upstream"],
);
static RETRIES: Spec<2> = Spec::counter(
    "seawall_upstream_retries_total",
    "Second and later tries for a request.",
    ["upstream", "reason"],
);
static BUDGET_EXHAUSTED: Spec<1> = Spec::counter(
    "seawall_upstream_retry_budget_exhausted_total",
    "Retries that the budget forbade.",
    ["upstream"],
);
static NO_SERVER: Spec<1> =
    Spec::counter("seawall_upstream_no_server_total", "Requests that found no usable server.", ["upstream"]);

pub(super) fn specs() -> Specs {
    vec![&REQUESTS, &CONNECTIONS, &FIRST_BYTE, &RETRIES, &BUDGET_EXHAUSTED, &NO_SERVER]
}

/// Reads the families of all upstreams.
pub(super) fn read(upstreams: &[Arc<UpstreamMetrics>], out: &mut Families) {
    let mut family = out.family(&REQUESTS);
    for upstream in upstreams {
        for (i, result) in UPSTREAM_RESULTS.iter().enumerate() {
            let count = upstream.sum(|cells| &cells.results[i]);
            // Failures are shown from the start: an alert needs the zero before the first.
            if count > 0 || i >= SHOWN_RESULTS {
                family.sample([&upstream.name, result], count);
            }
        }
    }
    let mut family = out.family(&CONNECTIONS);
    for upstream in upstreams {
        for (i, state) in ["new", "reused"].into_iter().enumerate() {
            family.sample([&upstream.name, state], upstream.sum(|cells| &cells.connections[i]));
        }
    }
    let mut family = out.family(&FIRST_BYTE);
    for upstream in upstreams {
        let seen = Distribution::of(upstream.cells.iter().map(|cells| &cells.first_byte));
        if !seen.is_empty() {
            family.distribution([&upstream.name], &seen);
        }
    }
    let mut family = out.family(&RETRIES);
    for upstream in upstreams {
        for reason in RetryReason::ALL {
            let count = upstream.retries[reason as usize].load(Ordering::Relaxed);
            family.sample([&upstream.name, reason.label()], count);
        }
    }
    let mut family = out.family(&BUDGET_EXHAUSTED);
    for upstream in upstreams {
        family.sample([&upstream.name], upstream.budget_exhausted.load(Ordering::Relaxed));
    }
    let mut family = out.family(&NO_SERVER);
    for upstream in upstreams {
        family.sample([&upstream.name], upstream.no_server.load(Ordering::Relaxed));
    }
}
