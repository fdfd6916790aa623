//! Responses compressed on their way from an origin.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::family::{Families, Spec, Specs};
use super::reasons::ReasonCounter;

/// The codings there are, by their names in HTTP.
const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// What is counted about compression.
#[derive(Default)]
pub struct CompressionMetrics {
    running: AtomicI64,
    memory: AtomicU64,
    capacity: AtomicU64,
    by_coding: [OfCoding; CODINGS.len()],
    passed: ReasonCounter,
}

#[derive(Default)]
struct OfCoding {
    complete: AtomicU64,
    aborted: AtomicU64,
    content_bytes: AtomicU64,
    coded_bytes: AtomicU64,
    nanoseconds: AtomicU64,
}

/// One body that went through an encoder.
#[derive(Debug, Clone, Copy)]
pub struct CompressionSample {
    /// The coding, by its name in HTTP.
    pub coding: &'static str,
    /// Whether its end was reached.
    pub complete: bool,
    /// Bytes that went in.
    pub content_bytes: u64,
    /// Bytes that came out.
    pub coded_bytes: u64,
    /// Time spent in the encoder.
    pub took: Duration,
}

impl CompressionSample {
    /// One that broke off before its first byte.
    #[must_use]
    pub fn nothing(coding: &'static str) -> Self {
        Self { coding, complete: false, content_bytes: 0, coded_bytes: 0, took: Duration::ZERO }
    }
}

impl OfCoding {
    fn count(&self, sample: &CompressionSample) {
        let how = if sample.complete { &self.complete } else { &self.aborted };
        how.fetch_add(1, Ordering::Relaxed);
        self.content_bytes.fetch_add(sample.content_bytes, Ordering::Relaxed);
        self.coded_bytes.fetch_add(sample.coded_bytes, Ordering::Relaxed);
        let nanoseconds = u64::try_from(sample.took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl CompressionMetrics {
    pub(super) fn new() -> Self {
        let metrics = Self::default();
        // Of the others their owner knows.
        metrics.passed.expect(["not_accepted", "busy", "empty"]);
        metrics
    }

    /// Bytes that encoders may hold together.
    pub fn set_capacity(&self, bytes: u64) {
        self.capacity.store(bytes, Ordering::Relaxed);
    }

    /// Takes this much memory for one more body; false when there is not enough. Pair it with [`Self::ended`].
    #[must_use]
    pub fn begin(&self, bytes: u64) -> bool {
        let capacity = self.capacity.load(Ordering::Relaxed);
        let more = |held: u64| held.checked_add(bytes).filter(|held| *held <= capacity);
        let taken = self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if taken {
            self.running.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Counts the body and gives back the memory taken for it.
    pub fn ended(&self, bytes: u64, sample: &CompressionSample) {
        if let Some(of) = CODINGS.iter().position(|coding| *coding == sample.coding) {
            self.by_coding[of].count(sample);
        }
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
        // The last: who sees it idle sees all counts.
        self.running.fetch_sub(1, Ordering::Release);
    }

    /// Responses of routes that compress which passed as they came, by reason.
    #[must_use]
    pub fn passed(&self) -> &ReasonCounter {
        &self.passed
    }
}

static TOTAL: Spec<2> = Spec::counter(
    "seawall_compressions_total",
    "Responses compressed on their way from an origin, never on a hit.",
    ["encoding", "result"],
);
static BYTES: Spec<2> = Spec::counter(
    "seawall_compression_bytes_total",
    "Bytes that went into encoders, and that came out.",
    ["encoding", "direction"],
);
static SECONDS: Spec<1> =
    Spec::counter("seawall_compression_seconds_total", "Time spent in encoders.", ["encoding"]);
static PASSED: Spec<1> = Spec::counter(
    "seawall_compression_passed_total",
    "Responses of routes that compress which passed as they came.",
    ["reason"],
);
static RUNNING: Spec<0> =
    Spec::gauge("seawall_compressions_in_flight", "Responses being compressed now.", []);
static MEMORY: Spec<0> =
    Spec::gauge("seawall_compression_memory_bytes", "Memory set aside for running encoders.", []);
static CAPACITY: Spec<0> = Spec::gauge(
    "seawall_compression_memory_capacity_bytes",
    "Memory that may be set aside for encoders.",
    [],
);

pub(super) fn specs() -> Specs {
    vec![&TOTAL, &BYTES, &SECONDS, &PASSED, &RUNNING, &MEMORY, &CAPACITY]
}

pub(super) fn read(metrics: &CompressionMetrics, out: &mut Families) {
    // Before the counts, which are then at least as new.
    let running = metrics.running.load(Ordering::Acquire);
    let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let each = || CODINGS.iter().zip(&metrics.by_coding);
    let mut family = out.family(&TOTAL);
    for (coding, of) in each() {
        family.sample([coding, "complete"], get(&of.complete));
        family.sample([coding, "aborted"], get(&of.aborted));
    }
    let mut family = out.family(&BYTES);
    for (coding, of) in each() {
        family.sample([coding, "in"], get(&of.content_bytes));
        family.sample([coding, "out"], get(&of.coded_bytes));
    }
    let mut family = out.family(&SECONDS);
    for (coding, of) in each() {
        family.sample([coding], Duration::from_nanos(get(&of.nanoseconds)));
    }
    metrics.passed.read(&mut out.family(&PASSED), |reason| [reason]);
    out.single(&RUNNING, running);
    out.single(&MEMORY, metrics.memory.load(Ordering::Relaxed));
    out.single(&CAPACITY, metrics.capacity.load(Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(complete: bool) -> CompressionSample {
        let took = Duration::from_millis(3);
        CompressionSample { coding: "br", complete, content_bytes: 10, coded_bytes: 4, took }
    }

    #[test]
    fn memory_is_given_back() {
        let metrics = CompressionMetrics::new();
        assert!(!metrics.begin(1), "none before a capacity is set");
        metrics.set_capacity(20);
        assert!(metrics.begin(8) && metrics.begin(12) && !metrics.begin(1));
        assert!(!metrics.begin(u64::MAX));
        metrics.ended(8, &sample(true));
        assert!(!metrics.begin(9) && metrics.begin(8));
        metrics.ended(8, &sample(false));
        let of = &metrics.by_coding[1];
        let counts = [&of.complete, &of.aborted, &of.content_bytes, &of.coded_bytes, &of.nanoseconds];
        assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [1, 1, 20, 8, 6_000_000]);
        assert_eq!(
            (metrics.memory.load(Ordering::Relaxed), metrics.running.load(Ordering::Relaxed)),
            (12, 1)
        );
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let metrics = CompressionMetrics::new();
        metrics.set_capacity(30);
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if metrics.begin(10) {
                            assert!(taken.fetch_add(1, Ordering::SeqCst) < 3);
                            taken.fetch_sub(1, Ordering::SeqCst);
                            metrics.ended(10, &sample(true));
                        }
                    }
                });
            }
        });
        assert_eq!((metrics.memory.load(Ordering::Relaxed), metrics.running.load(Ordering::Relaxed)), (0, 0));
    }
}
