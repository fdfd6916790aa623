//! What must hold, whatever the order of events.

use std::sync::Arc;

use loom::thread;

use crate::clock::Clock;
use crate::entry::{Entry, Object};
use crate::ledger::Ledger;
use crate::purged::Verdict;
use crate::purges::{Purge, Purges, Scope};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// From now on every atomic of the process is relaxed, so that models fail.
pub fn weaken() {
    crate::sync::weaken();
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Threads are moved off the processor in the middle of something at most so often. Faults that need more are rare, and
    // all there is would take hours. LOOM_MAX_PREEMPTIONS says otherwise.
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(model);
}

/// The judgement of what a look-up found, as `MemoryStore::valid` does it: once in a generation.
fn look(purges: &Purges, judged: &AtomicU64, name: u128, epoch: u64) -> Verdict {
    if judged.load(Relaxed) == purges.generation() {
        return Verdict::Valid;
    }
    let (verdict, generation) = purges.judge_now([name], epoch);
    if verdict == Verdict::Valid {
        judged.store(generation, Relaxed);
    }
    verdict
}

/// Whoever looks while something is purged may find it or not. Who looks after the purge was answered does not,
/// whatever the others noted about it meanwhile.
pub fn an_answered_purge_holds_for_every_thread() {
    explore(|| {
        let purges = Arc::new(Purges::new(8, 0));
        let judged = Arc::new(AtomicU64::new(0));
        let reader = {
            let (purges, judged) = (Arc::clone(&purges), Arc::clone(&judged));
            thread::spawn(move || {
                look(&purges, &judged, 7, 10);
                look(&purges, &judged, 7, 10);
            })
        };
        purges.add(&Purge::hard(Scope::Tag, 7, 20));
        // Also while the other one is still at it.
        assert_eq!(look(&purges, &judged, 7, 10), Verdict::Gone, "the one who purged");
        joined(reader);
        assert_eq!(look(&purges, &judged, 7, 10), Verdict::Gone, "afterwards");
    });
}

/// A request that began before a purge brings what the origin had then. It is not stored, or at least not found.
pub fn what_is_on_its_way_does_not_survive_a_purge() {
    explore(|| {
        let (purges, clock) = (Arc::new(Purges::new(8, 0)), Arc::new(Clock::new()));
        let origin = Arc::new(AtomicU64::new(1));
        let request = {
            let (purges, clock, origin) = (Arc::clone(&purges), Arc::clone(&clock), Arc::clone(&origin));
            thread::spawn(move || {
                let epoch = clock.now();
                // It is the moment noted before it that orders this, nothing else.
                let version = origin.load(Relaxed);
                let stored = purges.judge_new([7], epoch) != Verdict::Gone;
                (stored, version, epoch)
            })
        };
        origin.store(2, Relaxed);
        purges.add(&Purge::hard(Scope::Tag, 7, clock.advance()));
        let (stored, version, epoch) = joined(request);
        let found = stored && look(&purges, &AtomicU64::new(0), 7, epoch) == Verdict::Valid;
        assert!(!found || version == 2, "what was purged is found again");
    });
}

/// A table that is full forgets, and nobody finds less purged meanwhile.
pub fn a_full_table_forgets_in_favour_of_no_content() {
    explore(|| {
        let purges = Arc::new(Purges::new(2, 0));
        purges.add(&Purge::hard(Scope::Tag, 1, 1));
        purges.add(&Purge::hard(Scope::Tag, 2, 2));
        let other = {
            let purges = Arc::clone(&purges);
            thread::spawn(move || purges.add(&Purge::hard(Scope::Tag, 3, 3)))
        };
        assert_eq!(purges.judge([1], 0), Verdict::Gone);
        joined(other);
        assert_eq!(purges.judge([1], 0), Verdict::Gone);
        assert!(purges.len() <= 2);
    });
}

/// What is forgotten because nothing older is left still meets what is on its way.
pub fn what_comes_in_meets_forgotten_purges() {
    explore(|| {
        let purges = Arc::new(Purges::new(8, 0));
        purges.add(&Purge::hard(Scope::Tag, 7, 20));
        let sweeper = {
            let purges = Arc::clone(&purges);
            thread::spawn(move || purges.nothing_older_in_memory(30))
        };
        assert_eq!(purges.judge_new([7], 10), Verdict::Gone);
        joined(sweeper);
        assert_eq!((purges.judge_new([7], 10), purges.len()), (Verdict::Gone, 0));
    });
}

/// Purges that come while others are taken out of the table: nobody sees an empty table that is not.
pub fn nobody_takes_the_table_for_empty() {
    explore(|| {
        let purges = Arc::new(Purges::new(8, 0));
        purges.add(&Purge::hard(Scope::Tag, 8, 30));
        let add = |purge: Purge| {
            let purges = Arc::clone(&purges);
            thread::spawn(move || purges.add(&purge))
        };
        // The second one takes the first out again.
        let others = [add(Purge::hard(Scope::Tag, 7, 10)), add(Purge::hard(Scope::Everything, 0, 20))];
        assert_eq!(purges.judge([8], 25), Verdict::Gone);
        others.into_iter().for_each(joined);
        assert_eq!(purges.judge([8], 25), Verdict::Gone);
        assert!(purges.len() <= 2, "{}", purges.len());
    });
}

/// No moment is given twice, and none before one that was noted.
pub fn purges_are_later_than_what_was_noted() {
    explore(|| {
        let clock = Arc::new(Clock::new());
        let other = {
            let clock = Arc::clone(&clock);
            thread::spawn(move || clock.advance())
        };
        let noted = clock.now();
        let mine = clock.advance();
        let theirs = joined(other);
        assert!(mine > noted && mine != theirs);
        assert_eq!(clock.now(), mine.max(theirs));
    });
}

/// The memory tier's bound, not even for a moment passed.
pub fn the_ledger_keeps_its_bound() {
    explore(|| {
        let ledger = Arc::new(Ledger::new(100, 50));
        let other = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || {
                let marked = ledger.earmark(30);
                if ledger.take(60) {
                    ledger.give_back(60);
                }
                marked
            })
        };
        let marked = ledger.earmark(30);
        if ledger.take(60) {
            assert!(ledger.used() <= 100);
            ledger.give_back(60);
        }
        assert!(ledger.filling() <= 50);
        assert!(joined(other) != marked, "the room for fills is enough for one of them");
        assert_eq!((ledger.used(), ledger.filling()), (0, 30));
    });
}

/// A fill becomes an object, and a look-up finds the one or the other at every moment.
pub fn a_finished_fill_is_found_without_a_gap() {
    explore(|| {
        let entry = Arc::new(Entry::new(1, 1));
        entry.show_fill(Some(Arc::default()));
        let writer = {
            let entry = Arc::clone(&entry);
            thread::spawn(move || {
                let object = Object {
                    head: Arc::default(),
                    body: Arc::default(),
                    fill: 1,
                    weight: 1,
                    epoch: 1,
                    judged: AtomicU64::new(0),
                };
                // In the order of `MemoryStore::finish_fill`.
                entry.swap_object(Some(Arc::new(object)));
                entry.show_fill(None);
            })
        };
        // In the order of `MemoryStore::find`.
        assert!(entry.fill().is_some() || entry.object().is_some(), "a miss in between");
        joined(writer);
        assert!(entry.fill().is_none() && entry.object().is_some());
    });
}

#[allow(clippy::unwrap_used, reason = "a thread of a model that panics ends the model")]
fn joined<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().unwrap()
}
