//! What was purged, as long as anything on the disk may be older.
//!
//! A purge writes one line, whatever it names: an object counts if its epoch is not before any purge of its key,
//! its URL or one of its tags. Prefixes, hosts and zones are names like any other, once records carry them.

use std::collections::HashMap;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};

use super::record::{from_micros, micros};
use crate::purged::Verdict;

/// What kind of name was purged. Only for people who read the journal: names are hashes, and do not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Scope {
    /// A URL with its variants, or one variant.
    Url = 1,
    /// All that there is.
    Everything = 2,
}

/// One purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purge {
    pub(crate) scope: u8,
    pub(crate) name: u128,
    pub(crate) epoch: u64,
    /// A soft purge: stale since then, in microseconds since 1970.
    pub(crate) stale_since: Option<u64>,
}

impl Purge {
    pub(crate) fn hard(scope: Scope, name: u128, epoch: u64) -> Self {
        Self { scope: scope as u8, name, epoch, stale_since: None }
    }

    pub(crate) fn soft(scope: Scope, name: u128, epoch: u64, since: SystemTime) -> Self {
        Self { scope: scope as u8, name, epoch, stale_since: Some(micros(since)) }
    }

    fn is_of_everything(&self) -> bool {
        self.scope == Scope::Everything as u8
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    scope: u8,
    hard: u64,
    soft: Option<(u64, u64)>,
}

impl Mark {
    fn latest(&self) -> u64 {
        self.hard.max(self.soft.map_or(0, |(epoch, _)| epoch))
    }
}

#[derive(Debug, Default)]
struct Marks {
    by_name: HashMap<u128, Mark, ahash::RandomState>,
    /// Whatever is older is purged.
    floor: u64,
}

/// The purges in force.
#[derive(Debug)]
pub(crate) struct Purges {
    marks: RwLock<Marks>,
    max: usize,
    /// For each disk, the epoch before which it has nothing.
    oldest: Mutex<Vec<u64>>,
}

impl Purges {
    /// Remembers up to `max` names. Beyond that the older half is forgotten, and everything older than it purged.
    pub(crate) fn new(max: usize, disks: usize) -> Self {
        Self { marks: RwLock::default(), max: max.max(2), oldest: Mutex::new(vec![0; disks]) }
    }

    pub(crate) fn add(&self, purge: &Purge) {
        let mut marks = self.marks.write();
        if purge.is_of_everything() {
            marks.floor = marks.floor.max(purge.epoch);
            let floor = marks.floor;
            marks.by_name.retain(|_, mark| mark.latest() > floor);
            return;
        }
        let mark = marks.by_name.entry(purge.name).or_default();
        mark.scope = purge.scope;
        match purge.stale_since {
            None => mark.hard = mark.hard.max(purge.epoch),
            // The earliest instant counts for those it meets; the latest epoch says whom it meets.
            Some(since) => {
                mark.soft = Some(match mark.soft {
                    Some((epoch, _)) if epoch > purge.epoch => return,
                    _ => (purge.epoch, since),
                });
            }
        }
        if marks.by_name.len() > self.max {
            Self::forget_half(&mut marks);
        }
    }

    fn forget_half(marks: &mut Marks) {
        let mut epochs: Vec<u64> = marks.by_name.values().map(Mark::latest).collect();
        let middle = epochs.len() / 2;
        let (_, median, _) = epochs.select_nth_unstable(middle);
        marks.floor = marks.floor.max(*median);
        let floor = marks.floor;
        marks.by_name.retain(|_, mark| mark.latest() > floor);
    }

    /// Disk `number` has nothing older than `epoch`. Purges that are earlier than all that any disk has have done
    /// their work.
    pub(crate) fn nothing_older(&self, number: usize, epoch: u64) {
        let mut oldest = self.oldest.lock();
        if let Some(known) = oldest.get_mut(number) {
            *known = epoch;
        }
        let epoch = oldest.iter().copied().min().unwrap_or(0);
        drop(oldest);
        self.forget_before(epoch);
    }

    fn forget_before(&self, epoch: u64) {
        let mut marks = self.marks.write();
        marks.by_name.retain(|_, mark| mark.latest() > epoch);
        if marks.by_name.capacity() > marks.by_name.len().saturating_mul(4).max(1024) {
            marks.by_name.shrink_to_fit();
        }
    }

    /// What an object with these names is worth that is known to be valid up to `epoch`.
    pub(crate) fn judge(&self, names: impl IntoIterator<Item = u128>, epoch: u64) -> Verdict {
        let marks = self.marks.read();
        if epoch < marks.floor {
            return Verdict::Gone;
        }
        let mut verdict = Verdict::Valid;
        if marks.by_name.is_empty() {
            return verdict;
        }
        for name in names {
            let Some(mark) = marks.by_name.get(&name) else { continue };
            if mark.hard > epoch {
                return Verdict::Gone;
            }
            if let Some((soft, since)) = mark.soft
                && soft > epoch
            {
                let since = from_micros(since);
                verdict = match verdict {
                    Verdict::StaleSince(before) => Verdict::StaleSince(before.min(since)),
                    _ => Verdict::StaleSince(since),
                };
            }
        }
        verdict
    }

    /// Names remembered.
    pub(crate) fn len(&self) -> usize {
        self.marks.read().by_name.len()
    }

    /// All of it, as purges that lead to the same state.
    pub(crate) fn all(&self) -> Vec<Purge> {
        let marks = self.marks.read();
        let mut all = Vec::with_capacity(marks.by_name.len() + 1);
        if marks.floor > 0 {
            all.push(Purge {
                scope: Scope::Everything as u8,
                name: 0,
                epoch: marks.floor,
                stale_since: None,
            });
        }
        for (name, mark) in &marks.by_name {
            let purge = Purge { scope: mark.scope, name: *name, epoch: mark.hard, stale_since: None };
            if mark.hard > 0 {
                all.push(purge);
            }
            if let Some((epoch, since)) = mark.soft {
                all.push(Purge { epoch, stale_since: Some(since), ..purge });
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_purge_of_one_of_its_names_is_gone() {
        let purges = Purges::new(100, 1);
        purges.add(&Purge::hard(Scope::Url, 7, 50));
        assert_eq!(purges.judge([1, 7], 49), Verdict::Gone);
        assert_eq!(purges.judge([1, 7], 50), Verdict::Valid);
        assert_eq!(purges.judge([1, 2], 0), Verdict::Valid);
        let then = from_micros(1_000);
        purges.add(&Purge::soft(Scope::Url, 2, 60, then));
        assert_eq!(purges.judge([1, 2], 59), Verdict::StaleSince(then));
        assert_eq!(purges.judge([2, 7], 20), Verdict::Gone);
        purges.add(&Purge::hard(Scope::Everything, 0, 70));
        assert_eq!(purges.judge([99], 69), Verdict::Gone);
        assert_eq!(purges.judge([99], 70), Verdict::Valid);
        assert_eq!(purges.len(), 0, "the floor says it all");
    }

    #[test]
    fn is_bounded_and_never_forgets_in_favour_of_the_content() {
        let purges = Purges::new(10, 1);
        for name in 0..100u64 {
            purges.add(&Purge::hard(Scope::Url, u128::from(name), name + 1));
            assert!(purges.len() <= 10);
        }
        for name in 0..100u64 {
            assert_eq!(purges.judge([u128::from(name)], name), Verdict::Gone);
        }
        assert_eq!(purges.judge([3], 100), Verdict::Valid);
    }

    #[test]
    fn its_summary_leads_to_the_same_state() {
        let purges = Purges::new(100, 1);
        purges.add(&Purge::hard(Scope::Everything, 0, 10));
        purges.add(&Purge::hard(Scope::Url, 7, 50));
        purges.add(&Purge::soft(Scope::Url, 7, 60, from_micros(5)));
        let again = Purges::new(100, 1);
        purges.all().iter().for_each(|purge| again.add(purge));
        for (name, epoch) in [(7, 9), (7, 49), (7, 50), (7, 60), (8, 9), (8, 10)] {
            assert_eq!(again.judge([name], epoch), purges.judge([name], epoch), "{name} {epoch}");
        }
        purges.nothing_older(0, 55);
        assert_eq!(purges.len(), 1);
        purges.nothing_older(0, 60);
        assert_eq!(purges.len(), 0);
        let purges = Purges::new(100, 2);
        purges.add(&Purge::hard(Scope::Url, 7, 50));
        purges.nothing_older(1, 60);
        assert_eq!(purges.len(), 1, "the other disk has not said");
    }
}
