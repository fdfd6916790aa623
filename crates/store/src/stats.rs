//! What the store counts. Readers add to stripes of their own, so that counting a hit contends with nobody.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const STRIPES: usize = 16;

/// A counter line of its own, so that two cores do not fight over one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line {
    hits: AtomicU64,
    streamed: AtomicU64,
    misses: AtomicU64,
}

fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES;
    }
    MINE.with(|mine| *mine)
}

/// The running counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    lines: [Line; STRIPES],
    pub(crate) inserts: AtomicU64,
    pub(crate) evicted_small: AtomicU64,
    pub(crate) evicted_main: AtomicU64,
    pub(crate) evicted_bytes: AtomicU64,
    pub(crate) too_large: AtomicU64,
    pub(crate) no_room: AtomicU64,
    pub(crate) fills_started: AtomicU64,
    pub(crate) fills_failed: AtomicU64,
    pub(crate) length_mismatches: AtomicU64,
    pub(crate) fills_overtaken: AtomicU64,
    pub(crate) fills_purged: AtomicU64,
    pub(crate) variants_dropped: AtomicU64,
    pub(crate) purges: AtomicU64,
    pub(crate) purged_objects: AtomicU64,
    pub(crate) soft_purges: AtomicU64,
    pub(crate) expired_objects: AtomicU64,
    pub(crate) refreshed: AtomicU64,
    pub(crate) promoted: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(crate) fn hit(&self) {
        count(&self.lines[stripe()].hits);
    }

    pub(crate) fn streamed(&self) {
        count(&self.lines[stripe()].streamed);
    }

    pub(crate) fn miss(&self) {
        count(&self.lines[stripe()].misses);
    }

    fn sum(&self, pick: impl Fn(&Line) -> &AtomicU64) -> u64 {
        self.lines.iter().map(|line| pick(line).load(Relaxed)).fold(0, u64::wrapping_add)
    }

    /// The counters as numbers; what the queues hold is left at zero.
    pub(crate) fn snapshot(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        Stats {
            hits: self.sum(|line| &line.hits),
            streamed_hits: self.sum(|line| &line.streamed),
            misses: self.sum(|line| &line.misses),
            inserts: get(&self.inserts),
            evicted_small: get(&self.evicted_small),
            evicted_main: get(&self.evicted_main),
            evicted_bytes: get(&self.evicted_bytes),
            rejected_too_large: get(&self.too_large),
            rejected_no_room: get(&self.no_room),
            fills_started: get(&self.fills_started),
            fills_failed: get(&self.fills_failed),
            length_mismatches: get(&self.length_mismatches),
            fills_overtaken: get(&self.fills_overtaken),
            fills_purged: get(&self.fills_purged),
            variants_dropped: get(&self.variants_dropped),
            purges: get(&self.purges),
            purged_objects: get(&self.purged_objects),
            soft_purges: get(&self.soft_purges),
            expired_objects: get(&self.expired_objects),
            refreshed: get(&self.refreshed),
            promoted: get(&self.promoted),
            ..Stats::default()
        }
    }
}

/// The state of the memory tier at one moment. Counters count since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Complete objects held now.
    pub objects: u64,
    /// Bytes charged now: objects and fills, with headers and bookkeeping.
    pub bytes: u64,
    /// The bound on `bytes`.
    pub capacity_bytes: u64,
    /// Bytes charged for fills, contained in `bytes`.
    pub fill_bytes: u64,
    /// Bytes charged for objects that are stored no more and still read, contained in `bytes`.
    pub pinned_bytes: u64,
    /// Objects in the small queue (newcomers).
    pub small_objects: u64,
    /// Bytes in the small queue.
    pub small_bytes: u64,
    /// Objects in the main queue.
    pub main_objects: u64,
    /// Bytes in the main queue.
    pub main_bytes: u64,
    /// Evicted keys still remembered.
    pub ghosts: u64,
    /// Purges still remembered against racing fills.
    pub remembered_purges: u64,
    /// Fills running now, with those that only pass through.
    pub fills_in_flight: u64,
    /// Lookups that found a complete object.
    pub hits: u64,
    /// Lookups that joined a running fill.
    pub streamed_hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Objects stored.
    pub inserts: u64,
    /// Objects evicted from the small queue.
    pub evicted_small: u64,
    /// Objects evicted from the main queue.
    pub evicted_main: u64,
    /// Bytes evicted from both.
    pub evicted_bytes: u64,
    /// Responses not stored because they are larger than `max_object`.
    pub rejected_too_large: u64,
    /// Responses not stored because fills held all the room, or too many were running.
    pub rejected_no_room: u64,
    /// Fills begun.
    pub fills_started: u64,
    /// Fills that broke off or had the wrong length.
    pub fills_failed: u64,
    /// Fills whose body did not have the length its header said; contained in `fills_failed`.
    pub length_mismatches: u64,
    /// Complete fills not stored because a newer one was, or because they are variants of an older primary.
    pub fills_overtaken: u64,
    /// Complete fills not stored because their key was purged after their request began.
    pub fills_purged: u64,
    /// Variants removed because their URL had too many.
    pub variants_dropped: u64,
    /// Purges asked for.
    pub purges: u64,
    /// Objects they removed.
    pub purged_objects: u64,
    /// Soft purges asked for.
    pub soft_purges: u64,
    /// Objects they marked stale.
    pub expired_objects: u64,
    /// Objects refreshed by a 304.
    pub refreshed: u64,
    /// Objects brought up from a disk; contained in no other count of what came in.
    pub promoted: u64,
}
