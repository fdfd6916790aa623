//! Purges: how many of what, and how long they took.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::family::{Families, Spec, Specs};
use super::histogram::{Distribution, HistogramCells};

/// What was named, soft or hard, and what came of it. The words are fixed lists of the code.
type Labels = [&'static str; 3];

/// What is counted about purges.
#[derive(Default)]
pub(super) struct PurgeMetrics {
    counts: Mutex<BTreeMap<Labels, u64>>,
    took: HistogramCells,
}

impl PurgeMetrics {
    pub(super) fn count(&self, by: &'static str, soft: bool, ok: bool, took: Duration) {
        let labels = [by, if soft { "soft" } else { "hard" }, if ok { "ok" } else { "failed" }];
        *self.counts.lock().entry(labels).or_default() += 1;
        self.took.observe(took);
    }
}

static PURGES: Spec<3> = Spec::counter(
    "seawall_purges_total",
    "Names purged: URLs, keys, tags, prefixes, hosts, everything.",
    ["by", "mode", "result"],
);
static TOOK: Spec<0> = Spec::histogram(
    "seawall_purge_duration_seconds",
    "Time until a purge was acknowledged; with a disk, until it was synced.",
    [],
);

pub(super) fn specs() -> Specs {
    vec![&PURGES, &TOOK]
}

pub(super) fn read(purges: &PurgeMetrics, out: &mut Families) {
    {
        let mut family = out.family(&PURGES);
        for (labels, count) in purges.counts.lock().iter() {
            family.sample(*labels, *count);
        }
    }
    let took = Distribution::of(std::iter::once(&purges.took));
    if !took.is_empty() {
        out.family(&TOOK).distribution([], &took);
    }
}
