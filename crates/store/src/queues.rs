//! S3-FIFO: three first-in-first-out queues that tell one-hit wonders from content worth keeping.
//!
//! New objects wait in *small* (a twentieth of the bytes). Those hit at least once there move on to *main*,
//! the others leave, and only a *ghost* of their key remains; whoever comes back while its ghost is
//! remembered goes straight to main. Main gives every object as many further rounds as it was hit, up to
//! three. A scan therefore washes through the small queue and leaves main alone, and a hit never moves
//! anything (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).
//!
//! The paper takes a tenth and two hits. `make hit-ratio` on twelve traces, four sizes each, in the mean (objects % /
//! bytes %): a tenth and two hits 34.2 / 39.7, a tenth and one hit 34.8 / 40.1, a twentieth and one hit 35.1 / 40.4, a
//! fifth and one hit 34.3 / 39.4. Twice the ghosts make no difference.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::{Entry, Place};
use crate::ghost::Ghost;

/// Hits in the small queue that earn a place in main.
const WORTH_KEEPING: u8 = 1;
/// A queue drops its dead items when they outnumber the live ones and this.
const COMPACT_FROM: usize = 64;
/// Ghosts a shard may always keep, however few objects it holds.
const MIN_GHOSTS: usize = 64;

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<(u64, Arc<Entry>)>,
    live: usize,
    bytes: u64,
}

impl Queue {
    /// Takes the oldest live entry out. Items whose ticket was withdrawn are skipped.
    fn pop(&mut self) -> Option<Arc<Entry>> {
        while let Some((ticket, entry)) = self.items.pop_front() {
            if entry.ticket() == ticket {
                return Some(entry);
            }
        }
        // Nothing was alive: say so, or the caller would look here again.
        self.live = 0;
        None
    }

    /// Forgets withdrawn items once they are the majority, so that their number is bounded.
    fn compact(&mut self) {
        if self.items.len() > self.live.saturating_mul(2).saturating_add(COMPACT_FROM) {
            self.items.retain(|(ticket, entry)| entry.ticket() == *ticket);
        }
    }

    fn left(&mut self, weight: u64) {
        self.live = self.live.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(weight);
    }
}

/// Which queue an entry was evicted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Small,
    Main,
}

/// How much lies in each queue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sizes {
    pub(crate) small_objects: u64,
    pub(crate) small_bytes: u64,
    pub(crate) main_objects: u64,
    pub(crate) main_bytes: u64,
    pub(crate) ghosts: u64,
}

/// The queues of one shard. The weight of an entry is that of its object, told by the caller.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    small: Queue,
    main: Queue,
    ghost: Ghost,
    small_target: u64,
    tickets: u64,
}

fn weight(entry: &Entry) -> u64 {
    entry.object().map_or(0, |object| object.weight)
}

impl Queues {
    /// Queues that share out `bytes`, a twentieth of it for newcomers.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { small_target: bytes / 20, ..Self::default() }
    }

    /// Queues `entry`, whose object weighs `weight`.
    pub(crate) fn insert(&mut self, entry: &Arc<Entry>, weight: u64) {
        entry.set_hits(0);
        let place = if self.ghost.take(entry.key) { Place::Main } else { Place::Small };
        self.push(Arc::clone(entry), place, weight);
    }

    fn push(&mut self, entry: Arc<Entry>, place: Place, weight: u64) {
        self.tickets = self.tickets.wrapping_add(1);
        entry.set_place(place, self.tickets);
        let queue = if place == Place::Main { &mut self.main } else { &mut self.small };
        queue.items.push_back((self.tickets, entry));
        queue.live = queue.live.saturating_add(1);
        queue.bytes = queue.bytes.saturating_add(weight);
    }

    /// The object of `entry` now weighs `new` instead of `old`; its place in the queue stays.
    pub(crate) fn reweigh(&mut self, entry: &Entry, old: u64, new: u64) {
        let queue = if entry.place() == Place::Main { &mut self.main } else { &mut self.small };
        queue.bytes = queue.bytes.saturating_sub(old).saturating_add(new);
    }

    /// Takes `entry` out of its queue, wherever it stands.
    pub(crate) fn remove(&mut self, entry: &Entry, weight: u64) {
        let queue = match entry.place() {
            Place::Nowhere => return,
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        };
        queue.left(weight);
        entry.set_place(Place::Nowhere, 0);
        queue.compact();
        self.trim_ghosts();
    }

    /// Takes every entry out, and forgets the ghosts.
    pub(crate) fn drain(&mut self) -> Vec<Arc<Entry>> {
        let mut all = Vec::with_capacity(self.small.live.saturating_add(self.main.live));
        for queue in [&mut self.small, &mut self.main] {
            while let Some(entry) = queue.pop() {
                entry.set_place(Place::Nowhere, 0);
                all.push(entry);
            }
            *queue = Queue::default();
        }
        self.ghost = Ghost::default();
        all
    }

    /// Chooses the entry to lose and takes it out of its queue.
    pub(crate) fn evict(&mut self) -> Option<(Arc<Entry>, From)> {
        loop {
            if self.small.live > 0 && (self.small.bytes > self.small_target || self.main.live == 0) {
                if let Some(entry) = self.step_small() {
                    return Some((entry, From::Small));
                }
            } else if self.main.live > 0 {
                if let Some(entry) = self.step_main() {
                    return Some((entry, From::Main));
                }
            } else {
                return None;
            }
        }
    }

    fn step_small(&mut self) -> Option<Arc<Entry>> {
        let entry = self.small.pop()?;
        let weight = weight(&entry);
        self.small.left(weight);
        if entry.hits() >= WORTH_KEEPING {
            entry.set_hits(0);
            self.push(entry, Place::Main, weight);
            return None;
        }
        entry.set_place(Place::Nowhere, 0);
        self.ghost.put(entry.key);
        self.trim_ghosts();
        Some(entry)
    }

    fn step_main(&mut self) -> Option<Arc<Entry>> {
        let entry = self.main.pop()?;
        let weight = weight(&entry);
        self.main.left(weight);
        let hits = entry.hits();
        if hits > 0 {
            entry.set_hits(hits - 1);
            self.push(entry, Place::Main, weight);
            return None;
        }
        entry.set_place(Place::Nowhere, 0);
        Some(entry)
    }

    /// One ghost per live object is paid for in the object's overhead.
    fn trim_ghosts(&mut self) {
        self.ghost.trim(self.small.live.saturating_add(self.main.live).max(MIN_GHOSTS));
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            small_objects: self.small.live as u64,
            small_bytes: self.small.bytes,
            main_objects: self.main.live as u64,
            main_bytes: self.main.bytes,
            ghosts: self.ghost.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests;
