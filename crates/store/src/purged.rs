//! What was purged lately, so that no response requested before a purge is stored after it.
//!
//! A purge removes what is there. That is not enough: a request that left for the origin before the purge
//! may bring the old content back afterwards. So every purge takes the next number of the store's
//! [`Epoch`](crate::Epoch) and leaves it here under its key. A fill carries the epoch in which its request
//! began; if its key was purged later, it is not stored (or stored as stale, after a soft purge).

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

/// Purges remembered by a shard.
const REMEMBERED: usize = 4096;

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// The epoch of the last purge.
    hard: u64,
    /// The epoch and time of the last soft purge.
    soft: Option<(u64, SystemTime)>,
}

/// What the purges since a fill's request began mean for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing happened.
    Valid,
    /// A soft purge: it may be kept, stale since then.
    StaleSince(SystemTime),
    /// A purge: it must not be stored.
    Gone,
}

impl Verdict {
    /// What both mean together.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gone, _) | (_, Self::Gone) => Self::Gone,
            (Self::StaleSince(one), Self::StaleSince(two)) => Self::StaleSince(one.min(two)),
            (Self::StaleSince(since), Self::Valid) | (Self::Valid, Self::StaleSince(since)) => {
                Self::StaleSince(since)
            }
            (Self::Valid, Self::Valid) => Self::Valid,
        }
    }
}

/// A shard's memory of its purges. Bounded: once a purge has to be forgotten, whatever was requested before
/// it counts as purged.
#[derive(Debug, Default)]
pub(crate) struct Purged {
    marks: HashMap<u128, Mark, ahash::RandomState>,
    order: VecDeque<(u128, u64)>,
    floor: u64,
}

impl Purged {
    /// `key` was purged in `epoch`.
    pub(crate) fn hard(&mut self, key: u128, epoch: u64) {
        self.mark(key, epoch, |mark| mark.hard = mark.hard.max(epoch));
    }

    /// `key` was marked stale in `epoch`, at `instant`.
    pub(crate) fn soft(&mut self, key: u128, epoch: u64, instant: SystemTime) {
        self.mark(key, epoch, |mark| mark.soft = Some((epoch, instant)));
    }

    /// Everything requested before `epoch` is purged.
    pub(crate) fn everything(&mut self, epoch: u64) {
        self.floor = self.floor.max(epoch);
        self.marks.clear();
        self.order.clear();
    }

    fn mark(&mut self, key: u128, epoch: u64, change: impl FnOnce(&mut Mark)) {
        change(self.marks.entry(key).or_default());
        self.order.push_back((key, epoch));
        while self.order.len() > REMEMBERED {
            if let Some((key, epoch)) = self.order.pop_front() {
                self.forget(key, epoch);
            }
        }
    }

    fn forget(&mut self, key: u128, epoch: u64) {
        let Some(mark) = self.marks.get(&key) else { return };
        if mark.hard.max(mark.soft.map_or(0, |(soft, _)| soft)) <= epoch {
            self.marks.remove(&key);
            self.floor = self.floor.max(epoch);
        }
    }

    /// What a fill of `key` in `family` is worth whose request began in `epoch`.
    pub(crate) fn judge(&self, key: u128, family: u128, epoch: u64) -> Verdict {
        if epoch < self.floor {
            return Verdict::Gone;
        }
        let mut verdict = Verdict::Valid;
        for name in [key, family] {
            let Some(mark) = self.marks.get(&name) else { continue };
            if mark.hard > epoch {
                return Verdict::Gone;
            }
            if let Some((soft, instant)) = mark.soft
                && soft > epoch
            {
                verdict = match verdict {
                    Verdict::StaleSince(before) => Verdict::StaleSince(before.min(instant)),
                    _ => Verdict::StaleSince(instant),
                };
            }
        }
        verdict
    }

    /// Purges remembered now.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Purged, REMEMBERED, Verdict};
    use std::time::{Duration, SystemTime};

    #[test]
    fn judges_by_epoch() {
        let mut purged = Purged::default();
        purged.hard(1, 5);
        assert_eq!(purged.judge(1, 1, 4), Verdict::Gone);
        assert_eq!(purged.judge(1, 1, 5), Verdict::Valid, "requested after the purge");
        assert_eq!(purged.judge(2, 2, 4), Verdict::Valid, "another key");
        assert_eq!(purged.judge(9, 1, 4), Verdict::Gone, "a variant goes with its family");
    }

    #[test]
    fn a_soft_purge_leaves_it_stale() {
        let mut purged = Purged::default();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        purged.soft(1, 5, then);
        assert_eq!(purged.judge(1, 1, 4), Verdict::StaleSince(then));
        assert_eq!(purged.judge(1, 1, 5), Verdict::Valid);
        purged.hard(1, 6);
        assert_eq!(purged.judge(1, 1, 5), Verdict::Gone);
    }

    #[test]
    fn what_is_forgotten_counts_as_purged() {
        let mut purged = Purged::default();
        purged.hard(1, 1);
        for i in 0..REMEMBERED as u64 {
            purged.hard(100 + u128::from(i), 2 + i);
        }
        assert!(purged.len() <= REMEMBERED);
        assert_eq!(purged.judge(1, 1, 0), Verdict::Gone);
        assert_eq!(purged.judge(7, 7, 0), Verdict::Gone, "older than anything remembered");
        assert_eq!(purged.judge(7, 7, 1), Verdict::Valid);
    }

    #[test]
    fn purging_one_key_over_and_over_stays_bounded_and_remembered() {
        let mut purged = Purged::default();
        for epoch in 1..=3 * REMEMBERED as u64 {
            purged.hard(1, epoch);
        }
        assert!(purged.order.len() <= REMEMBERED);
        assert_eq!(purged.judge(1, 1, 3 * REMEMBERED as u64 - 1), Verdict::Gone);
        assert_eq!(purged.judge(2, 2, 0), Verdict::Valid, "nothing was forgotten yet");
    }
}
