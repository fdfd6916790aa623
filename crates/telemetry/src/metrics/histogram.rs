//! Latency distributions at two additions an observation.
//!
//! The `prometheus` crate's histogram costs three atomic additions and a compare-and-swap loop on a float,
//! all on lines that every worker shares; it is the reference in the tests. Here the count is the sum of the buckets, the sum is whole microseconds, and
//! the caller keeps a copy per stripe of threads (see [`crate::stripe`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper end of a bucket.
pub(crate) struct Bound {
    nanos: u64,
}

impl Bound {
    const fn micros(micros: u64) -> Self {
        Self { nanos: micros * 1_000 }
    }

    /// The bound as the `le` label has it.
    pub(crate) fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }
}

/// From half a millisecond, below which a cache hit lies, to a minute, above which somebody has given up.
pub(crate) const BOUNDS: [Bound; 16] = [
    Bound::micros(500),
    Bound::micros(1_000),
    Bound::micros(2_500),
    Bound::micros(5_000),
    Bound::micros(10_000),
    Bound::micros(25_000),
    Bound::micros(50_000),
    Bound::micros(100_000),
    Bound::micros(250_000),
    Bound::micros(500_000),
    Bound::micros(1_000_000),
    Bound::micros(2_500_000),
    Bound::micros(5_000_000),
    Bound::micros(10_000_000),
    Bound::micros(30_000_000),
    Bound::micros(60_000_000),
];

/// What was observed, in buckets.
#[derive(Default)]
pub(crate) struct HistogramCells {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl HistogramCells {
    /// Counts one duration.
    pub(crate) fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| bound.nanos < nanos);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        // Rounded, not cut: a hit takes tens of microseconds, and cutting would bias the sum by half a one.
        let micros = nanos.saturating_add(500) / 1_000;
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// A reading of one or more [`HistogramCells`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Distribution {
    /// Not cumulative; the last is what exceeds every bound.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    pub(crate) sum_seconds: f64,
}

impl Distribution {
    /// Adds up the stripes of a histogram.
    pub(crate) fn of<'a>(stripes: impl Iterator<Item = &'a HistogramCells>) -> Self {
        let (mut buckets, mut micros) = ([0u64; BOUNDS.len() + 1], 0u64);
        for cells in stripes {
            for (sum, cell) in buckets.iter_mut().zip(&cells.buckets) {
                *sum = sum.wrapping_add(cell.load(Ordering::Relaxed));
            }
            micros = micros.wrapping_add(cells.sum_micros.load(Ordering::Relaxed));
        }
        Self { buckets, sum_seconds: micros as f64 / 1e6 }
    }

    /// Whether nothing was observed.
    pub(crate) fn is_empty(&self) -> bool {
        self.buckets.iter().all(|count| *count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Distribution, HistogramCells};
    use crate::metrics::family::{Families, Group, Spec};
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::time::Duration;

    static H: Spec<0> = Spec::histogram("h", "Help.", []);

    /// Dashboards and recorded rules name them: a bound that prints differently is another series.
    #[test]
    fn the_bounds_print_as_people_write_them() {
        let printed: Vec<String> = BOUNDS.iter().map(|bound| bound.seconds().to_string()).collect();
        assert_eq!(
            printed.join(" "),
            "0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60"
        );
        assert!(BOUNDS.is_sorted_by(|a, b| a.nanos < b.nanos));
    }

    fn text(collector: Box<dyn prometheus::core::Collector>) -> String {
        let registry = prometheus::Registry::new();
        registry.register(collector).unwrap();
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    /// Everything but the comments and the sum, which is a float in the reference.
    fn buckets(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with('#') && !line.contains("_sum")).collect()
    }

    proptest! {
        /// The reference is the `prometheus` crate's histogram with the same bounds.
        #[test]
        fn counts_like_the_reference(
            micros in prop::collection::vec(
                prop_oneof![0u64..3_000, 0u64..90_000_000, prop::sample::select(&[500u64, 1_000, 60_000_000][..])],
                0..60,
            )
        ) {
            let bounds = BOUNDS.iter().map(|bound| bound.seconds()).collect();
            let options = prometheus::HistogramOpts::new("h", "Help.").buckets(bounds);
            let reference = prometheus::Histogram::with_opts(options).unwrap();
            let stripes = [HistogramCells::default(), HistogramCells::default()];
            for (i, micros) in micros.iter().enumerate() {
                stripes[i % 2].observe(Duration::from_micros(*micros));
                reference.observe(*micros as f64 / 1e6);
            }
            let seen = Distribution::of(stripes.iter());
            prop_assert!((seen.sum_seconds - reference.get_sample_sum()).abs() < 1e-6);
            prop_assert_eq!(seen.is_empty(), micros.is_empty());

            let expected = text(Box::new(reference));
            let read = |seen: &Distribution, out: &mut Families| out.family(&H).distribution([], seen);
            let ours = text(Box::new(Group::new(&vec![&H], Arc::new(seen), read).unwrap()));
            prop_assert_eq!(buckets(&ours), buckets(&expected));
        }
    }

    #[test]
    fn the_longest_duration_does_not_overflow() {
        let cells = HistogramCells::default();
        cells.observe(Duration::MAX);
        assert_eq!(Distribution::of([&cells].into_iter()).buckets[BOUNDS.len()], 1);
    }
}
