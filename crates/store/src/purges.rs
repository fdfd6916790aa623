//! What was purged, as long as anything in memory or on a disk may be older.
//!
//! A purge writes one line, whatever it names and however many responses bear that name: a response counts if its epoch
//! is not before any purge of its key, its URL or one of its [labels](crate::Labels). Whoever finds a response judges it
//! once, and again after the next purge, which the [generation](Purges::generation) tells.
//!
//! The table is bounded. Lines that are older than everything there is are forgotten; when there are too many all the
//! same, the older half is, and everything older counts as purged.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::disk::record::{from_micros, micros};
use crate::purged::Verdict;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use crate::sync::{Mutex, RwLock};

/// What kind of name was purged. Names are hashes that do not meet, but for everything, which has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Scope {
    /// A URL with its variants, or one variant.
    Url = 1,
    /// All that there is.
    Everything = 2,
    /// What has this tag.
    Tag = 3,
    /// What is at and beneath a path of a host.
    Prefix = 4,
    /// What is of a host.
    Host = 5,
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

    fn add(&mut self, purge: &Purge) {
        self.scope = purge.scope;
        match purge.stale_since {
            None => self.hard = self.hard.max(purge.epoch),
            // The latest epoch says whom it meets.
            Some(since) if self.soft.is_none_or(|(epoch, _)| epoch <= purge.epoch) => {
                self.soft = Some((purge.epoch, since));
            }
            Some(_) => {}
        }
    }

    /// What it means for what is known to be valid up to `epoch`.
    fn verdict(&self, epoch: u64) -> Verdict {
        match self.soft {
            _ if self.hard > epoch => Verdict::Gone,
            Some((soft, since)) if soft > epoch => Verdict::StaleSince(from_micros(since)),
            _ => Verdict::Valid,
        }
    }
}

type Names = HashMap<u128, Mark, ahash::RandomState>;

/// Names in a part of the table, so that nobody waits while a large one grows.
const SHARD: usize = 1024;
/// The most parts.
const MAX_SHARDS: usize = 64;

/// The purges in force.
#[derive(Debug)]
pub(crate) struct Purges {
    names: Box<[RwLock<Names>]>,
    count: AtomicUsize,
    /// Purges of everything.
    everything: RwLock<Mark>,
    /// Moves on with each purge, after it is in the table.
    generation: AtomicU64,
    /// The latest epoch of what was forgotten because nothing older is left.
    forgotten: AtomicU64,
    max: usize,
    /// For each disk, and for memory at the end, the epoch before which it has nothing.
    oldest: Mutex<Vec<u64>>,
}

impl Purges {
    /// Remembers up to `max` names. Beyond that the older half is forgotten, and everything older than it purged.
    pub(crate) fn new(max: usize, disks: usize) -> Self {
        Self {
            names: (0..max.div_ceil(SHARD).clamp(1, MAX_SHARDS)).map(|_| RwLock::default()).collect(),
            count: AtomicUsize::new(0),
            everything: RwLock::default(),
            generation: AtomicU64::new(1),
            forgotten: AtomicU64::new(0),
            max: max.max(2),
            oldest: Mutex::new(vec![0; disks.saturating_add(1)]),
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "a part of a hash")]
    fn names_of(&self, name: u128) -> &RwLock<Names> {
        &self.names[(name >> 96) as usize % self.names.len()]
    }

    /// Adds a purge. It holds for every look-up that begins after this returns.
    pub(crate) fn add(&self, purge: &Purge) {
        if purge.is_of_everything() {
            self.everything.write().add(purge);
            if purge.stale_since.is_none() {
                self.retain(|mark| mark.latest() > purge.epoch);
            }
        } else {
            let mut names = self.names_of(purge.name).write();
            let before = names.len();
            names.entry(purge.name).or_default().add(purge);
            let more = names.len().saturating_sub(before);
            // Still locked: somebody who takes the name out again must not count it out before it is counted in.
            let count = self.count.fetch_add(more, SeqCst).saturating_add(more);
            drop(names);
            if count > self.max {
                self.forget_half();
            }
        }
        self.generation.fetch_add(1, SeqCst);
    }

    /// How often something was purged. What was judged in this generation need not be judged again in it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    fn retain(&self, keep: impl Fn(&Mark) -> bool) {
        for names in &self.names {
            let mut names = names.write();
            let before = names.len();
            names.retain(|_, mark| keep(mark));
            self.count.fetch_sub(before.saturating_sub(names.len()), SeqCst);
            if names.capacity() > names.len().saturating_mul(4).max(64) {
                names.shrink_to_fit();
            }
        }
    }

    fn forget_half(&self) {
        let mut epochs: Vec<u64> = Vec::with_capacity(self.max.saturating_add(1));
        for names in &self.names {
            epochs.extend(names.read().values().map(Mark::latest));
        }
        let middle = epochs.len() / 2;
        let Some(median) = (!epochs.is_empty()).then(|| *epochs.select_nth_unstable(middle).1) else {
            return;
        };
        // First the floor: whoever does not find a name any more finds the floor.
        {
            let mut everything = self.everything.write();
            everything.hard = everything.hard.max(median);
        }
        self.retain(|mark| mark.latest() > median);
    }

    /// Disk `number` has nothing older than `epoch`. Purges that are earlier than all that is stored have done their
    /// work.
    pub(crate) fn nothing_older(&self, number: usize, epoch: u64) {
        let epoch = {
            let mut oldest = self.oldest.lock();
            if let Some(known) = oldest.get_mut(number) {
                *known = epoch;
            }
            oldest.iter().copied().min().unwrap_or(0)
        };
        if self.len() > 0 {
            // First this: a fill that does not find a name any more finds it.
            self.forgotten.fetch_max(epoch, SeqCst);
            self.retain(|mark| mark.latest() > epoch);
        }
    }

    /// Memory has nothing older than `epoch`.
    pub(crate) fn nothing_older_in_memory(&self, epoch: u64) {
        let memory = self.oldest.lock().len().saturating_sub(1);
        self.nothing_older(memory, epoch);
    }

    /// What a stored object with these names is worth that is known to be valid up to `epoch`.
    pub(crate) fn judge(&self, names: impl IntoIterator<Item = u128>, epoch: u64) -> Verdict {
        let mut verdict = Verdict::Valid;
        if self.count.load(SeqCst) > 0 {
            for name in names {
                let mark = self.names_of(name).read().get(&name).copied();
                verdict = verdict.and(mark.map_or(Verdict::Valid, |mark| mark.verdict(epoch)));
                if verdict == Verdict::Gone {
                    return verdict;
                }
            }
        }
        // Last, because what is forgotten is put here before.
        verdict.and(self.everything.read().verdict(epoch))
    }

    /// What a stored object is worth as [above](Self::judge), and the generation in which that holds.
    pub(crate) fn judge_now(&self, names: impl IntoIterator<Item = u128>, epoch: u64) -> (Verdict, u64) {
        // Before the judgement: a purge in between begins another generation.
        let generation = self.generation();
        (self.judge(names, epoch), generation)
    }

    /// What a response is worth that is about to be stored and whose request began in `epoch`. Unlike what is stored,
    /// it may be older than a purge that is forgotten.
    pub(crate) fn judge_new(&self, names: impl IntoIterator<Item = u128>, epoch: u64) -> Verdict {
        match self.judge(names, epoch) {
            _ if epoch < self.forgotten.load(SeqCst) => Verdict::Gone,
            verdict => verdict,
        }
    }

    /// Names remembered.
    pub(crate) fn len(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// All of it, as purges that lead to the same state.
    pub(crate) fn all(&self) -> Vec<Purge> {
        let mut all = Vec::with_capacity(self.len().saturating_add(2));
        let mut add = |name: u128, mark: &Mark| {
            let purge = Purge { scope: mark.scope, name, epoch: mark.hard, stale_since: None };
            if mark.hard > 0 {
                all.push(purge);
            }
            if let Some((epoch, since)) = mark.soft {
                all.push(Purge { epoch, stale_since: Some(since), ..purge });
            }
        };
        add(0, &Mark { scope: Scope::Everything as u8, ..*self.everything.read() });
        for names in &self.names {
            names.read().iter().for_each(|(name, mark)| add(*name, mark));
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
        purges.add(&Purge::soft(Scope::Tag, 2, 60, then));
        assert_eq!(purges.judge([1, 2], 59), Verdict::StaleSince(then));
        assert_eq!(purges.judge([2, 7], 20), Verdict::Gone);
        purges.add(&Purge::hard(Scope::Everything, 0, 70));
        assert_eq!(purges.judge([99], 69), Verdict::Gone);
        assert_eq!(purges.judge([99], 70), Verdict::Valid);
        assert_eq!(purges.len(), 0, "everything says it all");
        purges.add(&Purge::soft(Scope::Everything, 0, 80, then));
        assert_eq!(purges.judge([99], 79), Verdict::StaleSince(then));
        assert_eq!(purges.judge([99], 69), Verdict::Gone);
        assert_eq!(purges.judge([99], 80), Verdict::Valid);
    }

    #[test]
    fn each_purge_begins_a_generation() {
        let purges = Purges::new(100, 0);
        let mut last = purges.generation();
        for purge in [
            Purge::hard(Scope::Tag, 7, 50),
            Purge::hard(Scope::Tag, 7, 51),
            Purge::soft(Scope::Everything, 0, 60, SystemTime::now()),
            Purge::hard(Scope::Everything, 0, 70),
        ] {
            purges.add(&purge);
            assert!(purges.generation() > last);
            last = purges.generation();
        }
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
    fn what_is_on_its_way_is_judged_by_what_was_forgotten_too() {
        let purges = Purges::new(100, 0);
        purges.add(&Purge::hard(Scope::Tag, 7, 50));
        purges.nothing_older_in_memory(60);
        assert_eq!(purges.len(), 0);
        assert_eq!(purges.judge([7], 55), Verdict::Valid, "what is stored is not older, as was just said");
        assert_eq!(purges.judge_new([7], 49), Verdict::Gone, "a fill that began before the purge");
        assert_eq!(purges.judge_new([7], 60), Verdict::Valid);
    }

    #[test]
    fn its_summary_leads_to_the_same_state() {
        let purges = Purges::new(100, 1);
        purges.add(&Purge::hard(Scope::Everything, 0, 10));
        purges.add(&Purge::soft(Scope::Everything, 0, 11, from_micros(4)));
        purges.add(&Purge::hard(Scope::Url, 7, 50));
        purges.add(&Purge::soft(Scope::Url, 7, 60, from_micros(5)));
        let again = Purges::new(100, 1);
        purges.all().iter().for_each(|purge| again.add(purge));
        for (name, epoch) in [(7, 9), (7, 49), (7, 50), (7, 60), (8, 9), (8, 10), (8, 11)] {
            assert_eq!(again.judge([name], epoch), purges.judge([name], epoch), "{name} {epoch}");
        }
        purges.nothing_older(0, 55);
        assert_eq!(purges.len(), 1, "memory has not said");
        purges.nothing_older_in_memory(55);
        assert_eq!(purges.len(), 1);
        purges.nothing_older(0, 60);
        assert_eq!(purges.len(), 1);
        purges.nothing_older_in_memory(60);
        assert_eq!(purges.len(), 0);
        let purges = Purges::new(100, 2);
        purges.add(&Purge::hard(Scope::Url, 7, 50));
        purges.nothing_older(1, 60);
        purges.nothing_older_in_memory(60);
        assert_eq!(purges.len(), 1, "the other disk has not said");
    }

    #[test]
    fn a_name_is_missed_by_nobody_while_the_table_is_trimmed() {
        let purges = Purges::new(64, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for name in 0..20_000u64 {
                    purges.add(&Purge::hard(Scope::Tag, u128::from(name) << 90, name + 2));
                    assert_eq!(purges.judge([u128::from(name) << 90], name + 1), Verdict::Gone);
                }
            });
            purges.add(&Purge::hard(Scope::Tag, 1, 1));
            while purges.judge([1], 20_000) == Verdict::Valid && purges.generation() < 20_000 {
                assert_eq!(purges.judge([1], 0), Verdict::Gone);
            }
        });
    }
}
