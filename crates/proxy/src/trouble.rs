//! What became of the latest attempt to renew a stored response, known to all who hold it.
//!
//! Requests that wait for an attempt under way share its failure as they would have shared its answer: asking in their
//! turn would make them wait for one failure after the other, and after some Pingora sends them past the store, where
//! nothing stale can stand in.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Where times are counted from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How an origin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It answers 5xx.
    Answered,
    /// It cannot be reached, or does not finish its answer.
    Disconnected,
}

/// When this response last stood in for its origin, in nanoseconds; zero is never.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    answered: AtomicU64,
    disconnected: AtomicU64,
}

impl Trouble {
    /// The response stands in now.
    pub(crate) fn note(&self, failing: Failing) {
        let at = match failing {
            Failing::Answered => &self.answered,
            Failing::Disconnected => &self.disconnected,
        };
        at.store(nanos(Instant::now()), Relaxed);
    }

    /// How the origin failed since then, if it did.
    pub(crate) fn since(&self, then: Instant) -> Option<Failing> {
        let then = nanos(then);
        if self.answered.load(Relaxed) >= then {
            return Some(Failing::Answered);
        }
        (self.disconnected.load(Relaxed) >= then).then_some(Failing::Disconnected)
    }
}

/// At least one.
fn nanos(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*ORIGIN).as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_later_counts() {
        let trouble = Trouble::default();
        let before = Instant::now();
        assert_eq!(trouble.since(before), None);
        trouble.note(Failing::Disconnected);
        assert_eq!(trouble.since(before), Some(Failing::Disconnected));
        let between = Instant::now();
        while Instant::now() == between {}
        assert_eq!(trouble.since(Instant::now()), None);
        trouble.note(Failing::Answered);
        assert_eq!(trouble.since(before), Some(Failing::Answered));
    }
}
