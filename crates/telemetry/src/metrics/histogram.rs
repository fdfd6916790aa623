//! Latency distributions at two additions an observation.
//!
//! The `prometheus` crate's histogram costs three atomic additions and a compare-and-swap loop on a float,
//! all on lines that every worker shares. Here the count is the sum of the buckets, the sum is whole microseconds, and
//! the caller keeps a copy per stripe of threads (see [`crate::stripe`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper end of a bucket.
pub(crate) struct Bound {
    nanos: u64,
    /// The same in seconds, as the `le` label has it.
    pub(crate) label: &'static str,
}

const fn bound(micros: u64, label: &'static str) -> Bound {
    Bound { nanos: micros * 1_000, label }
}

/// From half a millisecond, below which a cache hit lies, to a minute, above which somebody has given up.
pub(crate) const BOUNDS: [Bound; 16] = [
    bound(500, "0.0005"),
    bound(1_000, "0.001"),
    bound(2_500, "0.0025"),
    bound(5_000, "0.005"),
    bound(10_000, "0.01"),
    bound(25_000, "0.025"),
    bound(50_000, "0.05"),
    bound(100_000, "0.1"),
    bound(250_000, "0.25"),
    bound(500_000, "0.5"),
    bound(1_000_000, "1"),
    bound(2_500_000, "2.5"),
    bound(5_000_000, "5"),
    bound(10_000_000, "10"),
    bound(30_000_000, "30"),
    bound(60_000_000, "60"),
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
    use crate::metrics::exposition::Exposition;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn labels_say_what_the_bounds_are() {
        for bound in &BOUNDS {
            assert_eq!(bound.label.parse::<f64>().unwrap(), bound.nanos as f64 / 1e9);
        }
        assert!(BOUNDS.is_sorted_by(|a, b| a.nanos < b.nanos));
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
            let bounds = BOUNDS.iter().map(|b| b.nanos as f64 / 1e9).collect();
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

            let registry = prometheus::Registry::new();
            registry.register(Box::new(reference)).unwrap();
            let expected = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
            let mut out = Exposition::default();
            out.histogram("h", "Help.").distribution(&[], &seen);
            let text = out.finish();
            prop_assert_eq!(buckets(&text), buckets(&expected));
        }
    }

    #[test]
    fn the_longest_duration_does_not_overflow() {
        let cells = HistogramCells::default();
        cells.observe(Duration::MAX);
        assert_eq!(Distribution::of([&cells].into_iter()).buckets[BOUNDS.len()], 1);
    }
}
