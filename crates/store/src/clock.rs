//! The order of purges and requests: microseconds since 1970, never backwards.

use std::time::SystemTime;

use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A clock that moves only when something is purged.
///
/// A request notes the moment before it asks the origin; a purge takes a later moment than any noted before it.
/// The moments are those of the wall clock, so that they also compare across restarts and between two processes
/// that share a folder: a request never notes a moment later than its own beginning, so at worst it counts as
/// older than it is, which keeps its answer out of the store.
#[derive(Debug)]
pub(crate) struct Clock(AtomicU64);

fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(wall()))
    }

    /// The moment of the last purge, or of the start.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(SeqCst)
    }

    /// A moment later than every one noted before.
    pub(crate) fn advance(&self) -> u64 {
        let next = |last: u64| last.saturating_add(1).max(wall());
        let mut last = self.0.load(SeqCst);
        loop {
            let moment = next(last);
            match self.0.compare_exchange(last, moment, SeqCst, SeqCst) {
                Ok(_) => return moment,
                Err(now) => last = now,
            }
        }
    }

    /// Never before `moment` from now on: the last purge of an earlier run.
    pub(crate) fn not_before(&self, moment: u64) {
        self.0.fetch_max(moment, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn purges_are_later_than_what_was_noted() {
        let clock = Clock::new();
        let noted = clock.now();
        let purge = clock.advance();
        assert!(purge > noted);
        assert_eq!(clock.now(), purge, "what begins after it is not older");
        clock.not_before(purge + 1_000_000_000);
        assert!(clock.advance() > purge + 1_000_000_000, "a clock that went back");
        clock.not_before(1);
        assert!(clock.now() > purge);
    }
}
