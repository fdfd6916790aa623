//! What purges mean for what is stored: judged when it is found, once after each purge.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::MemoryStore;
use crate::entry::{Entry, Object};
use crate::fill::Fill;
use crate::head::Head;
use crate::purged::Verdict;
use crate::shard::State;
use crate::stats::count;
use crate::storage::Names;

fn all_names(key: u128, family: u128, head: &Head) -> impl Iterator<Item = u128> {
    [key, family].into_iter().chain(head.labels().names().iter().copied())
}

impl MemoryStore {
    /// What a response is worth that comes in, and whose request began in `epoch`.
    pub(super) fn verdict(&self, state: &State, names: Names, head: &Head, epoch: u64) -> Verdict {
        let of_url = state.purged.judge(names.key, names.family, epoch);
        of_url.and(self.purges.judge_new(all_names(names.key, names.family, head), epoch))
    }

    /// `object` if no purge forbids it, or what is left of it: the same, stale.
    pub(crate) fn valid(&self, entry: &Entry, object: Arc<Object>) -> Option<Arc<Object>> {
        // The usual case: nothing was purged since the last time.
        if object.judged.load(Relaxed) == self.purges.generation() {
            return Some(object);
        }
        self.settle(entry, object)
    }

    #[cold]
    fn settle(&self, entry: &Entry, object: Arc<Object>) -> Option<Arc<Object>> {
        let names = all_names(entry.key, entry.family, &object.head);
        let (verdict, generation) = self.purges.judge_now(names, object.epoch);
        let since = match verdict {
            Verdict::StaleSince(since) if object.head.fresh_until() > since => Some(since),
            Verdict::Gone => None,
            Verdict::Valid | Verdict::StaleSince(_) => {
                object.judged.store(generation, Relaxed);
                return Some(object);
            }
        };
        let shard = self.shard(entry.family);
        let mut state = shard.lock();
        let now = entry.object()?;
        if !Arc::ptr_eq(&now, &object) {
            // Another one has come; whoever finds it judges it.
            return Some(now).filter(|now| now.judged.load(Relaxed) == generation);
        }
        let Some(since) = since else {
            count(&self.counters.purged_objects);
            self.remove_object(shard, &mut state, entry.key);
            return None;
        };
        let mut head = Head::clone(&object.head);
        head.expire_at(since);
        let stale = Arc::new(object.with_head(head, object.weight, object.epoch));
        stale.judged.store(generation, Relaxed);
        entry.swap_object(Some(Arc::clone(&stale)));
        count(&self.counters.expired_objects);
        Some(stale)
    }

    /// Whether a look-up may join `fill`. A soft purge lets it, and makes what comes of it stale.
    pub(super) fn may_join(&self, fill: &Fill) -> bool {
        let generation = self.purges.generation();
        if fill.judged.load(Relaxed) == generation {
            return true;
        }
        match self.purges.judge_new(all_names(fill.key, fill.family, &fill.head), fill.epoch) {
            Verdict::Gone => {
                self.hide(fill);
                return false;
            }
            Verdict::StaleSince(since) => fill.expire_at(since),
            Verdict::Valid => {}
        }
        fill.judged.store(generation, Relaxed);
        true
    }

    /// Judges all there is, so that what is purged gives its memory back, and purges that have met everything can be
    /// forgotten. Hands out the moment before which nothing is older, and how many objects it looked at.
    pub(crate) fn sweep(&self) -> (u64, u64) {
        let moment = self.clock.now();
        // What is on its way in is judged when it comes, by purges that are still known then.
        let filling = self.shards.iter().filter_map(|shard| {
            let state = shard.lock();
            state.fills.values().map(|fill| fill.epoch).min()
        });
        let moment = filling.min().unwrap_or(moment).min(moment);
        let keys: Vec<u128> = self.table.pin().keys().copied().collect();
        let mut seen = 0u64;
        for key in keys {
            let Some(entry) = self.entry(key) else { continue };
            if let Some(object) = entry.object() {
                seen = seen.saturating_add(1);
                self.valid(&entry, object);
            }
        }
        (moment, seen)
    }

    /// The generation of purges.
    pub(crate) fn generation(&self) -> u64 {
        self.purges.generation()
    }

    /// Forgets purges before `moment`, unless a disk has something older. Hands out how many are left.
    pub(crate) fn nothing_older(&self, moment: u64) -> usize {
        self.purges.nothing_older_in_memory(moment);
        self.purges.len()
    }
}
