//! The ways out of the store on request, and changes to what is stored.

use std::sync::Arc;
use std::time::SystemTime;

use pingora_cache::key::CompactCacheKey;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_error::Result;

use super::{Epoch, MemoryStore};
use crate::entry::Object;
use crate::head::Head;
use crate::purged::Verdict;
use crate::shard::{Shard, State};
use crate::stats::count;
use crate::storage::Names;

/// Attempts to put a refreshed header in place while others change the same object.
const REFRESH_ATTEMPTS: usize = 4;

impl MemoryStore {
    /// Purges `key`, and with a primary key all its variants: what is there, and what was requested so far.
    /// Whether anything was there.
    pub(crate) fn remove(&self, key: &CompactCacheKey) -> bool {
        count(&self.counters.purges);
        let names = Names::of(key);
        let shard = self.shard(names.family);
        let mut state = shard.lock();
        state.purged.hard(names.key, self.advance_epoch());
        state.forget_outgrown(names.key);
        let hidden = self.hide_fills_of(&state, names);
        let removed = self.members(&state, names).into_iter().filter(|member| {
            let removed = self.remove_object(shard, &mut state, *member);
            if removed {
                count(&self.counters.purged_objects);
            }
            removed
        });
        removed.count() > 0 || hidden
    }

    /// Removes the object of `key`, and only that.
    pub(crate) fn remove_one(&self, key: &CompactCacheKey) -> bool {
        let names = Names::of(key);
        let shard = self.shard(names.family);
        let mut state = shard.lock();
        self.remove_object(shard, &mut state, names.key)
    }

    /// Removes everything, and keeps out what was requested so far. Hands out how many objects went.
    ///
    /// Takes time in proportion to the number of objects, a shard at a time.
    pub fn clear(&self) -> u64 {
        let epoch = self.advance_epoch();
        let mut removed = 0u64;
        for shard in &self.shards {
            let mut state = shard.lock();
            state.purged.everything(epoch);
            for fill in state.fills.values() {
                self.hide_fill(fill);
            }
            for entry in state.queues.drain() {
                self.clear_entry(shard, &mut state, &entry);
                removed = removed.saturating_add(1);
            }
        }
        removed
    }

    /// Everything that a purge of `names` means: the key, and the variants of a primary key.
    fn members(&self, state: &State, names: Names) -> Vec<u128> {
        let mut members = if names.key == names.family { state.family(names.family) } else { Vec::new() };
        members.push(names.key);
        members
    }

    /// Hides the running fills that a purge of `names` means. Whether there were any.
    fn hide_fills_of(&self, state: &State, names: Names) -> bool {
        let mut any = false;
        for fill in state.fills.values() {
            if fill.key == names.key || fill.family == names.key {
                self.hide_fill(fill);
                any = true;
            }
        }
        any
    }

    /// Takes the object of `key` out. The caller holds its shard.
    pub(super) fn remove_object(&self, shard: &Shard, state: &mut State, key: u128) -> bool {
        let Some(entry) = self.entry(key) else { return false };
        let Some(object) = entry.object() else { return false };
        state.queues.remove(&entry, object.weight);
        self.clear_entry(shard, state, &entry);
        true
    }

    /// Removes the variants that a primary object of this provenance hides from Pingora for good.
    pub(super) fn drop_hidden_variants(
        &self,
        shard: &Shard,
        state: &mut State,
        family: u128,
        provenance: SystemTime,
    ) {
        for variant in state.family(family) {
            let object = self.entry(variant).and_then(|entry| entry.object());
            if object.is_some_and(|object| object.head.created() < provenance) {
                self.remove_object(shard, state, variant);
            }
        }
    }

    /// Marks `key` stale from now on, and with a primary key all its variants: what is there, and what was
    /// requested so far. Whether anything was there.
    pub(crate) fn expire_now(&self, key: &CompactCacheKey) -> bool {
        count(&self.counters.soft_purges);
        let (names, now) = (Names::of(key), SystemTime::now());
        let mut state = self.shard(names.family).lock();
        state.purged.soft(names.key, self.advance_epoch(), now);
        let mut any = false;
        for fill in state.fills.values() {
            if fill.key == names.key || fill.family == names.key {
                fill.expire_at(now);
                any = true;
            }
        }
        for member in self.members(&state, names) {
            let Some(entry) = self.entry(member) else { continue };
            let Some(object) = entry.object() else { continue };
            let mut head = Head::clone(&object.head);
            head.expire_at(now);
            entry.swap_object(Some(Arc::new(object.with_head(head, object.weight, object.epoch))));
            count(&self.counters.expired_objects);
            any = true;
        }
        any
    }

    /// Puts the header of a 304 in place. False when its object is gone or is another one by now.
    ///
    /// # Errors
    /// When the header cannot be copied.
    pub(crate) fn refresh(&self, key: &CacheKey, meta: &CacheMeta) -> Result<bool> {
        let names = Names::of(key);
        let epoch = meta.extensions().get::<Epoch>().copied().unwrap_or_else(|| self.epoch());
        let head = Head::freeze(meta)?;
        for _ in 0..REFRESH_ATTEMPTS {
            let Some(object) = self.entry(names.key).and_then(|entry| entry.object()) else {
                return Ok(false);
            };
            // A revalidation keeps the time of admission: it tells which object was revalidated.
            if object.head.created() != head.created() {
                return Ok(false);
            }
            let weight = Object::weigh(&head, &object.body, names.key != names.family);
            let more = weight.saturating_sub(object.weight);
            if more > 0 && !(self.fits(more) && self.take(more)) {
                return Ok(false);
            }
            match self.replace_head(names, &object, head.clone(), epoch, weight) {
                Replaced::Yes => return Ok(true),
                Replaced::Purged => {
                    self.ledger.give_back(more);
                    return Ok(false);
                }
                Replaced::Changed => self.ledger.give_back(more),
            }
        }
        Ok(false)
    }

    /// Puts `head` in the place of the one of `object`, if that is still the one stored. Bytes for growth
    /// are charged already; bytes that come free are given back.
    fn replace_head(
        &self,
        names: Names,
        object: &Arc<Object>,
        mut head: Head,
        epoch: Epoch,
        weight: u64,
    ) -> Replaced {
        let shard = self.shard(names.family);
        let mut state = shard.lock();
        match self.verdict(&state, names, &head, epoch.0) {
            Verdict::Gone => return Replaced::Purged,
            Verdict::StaleSince(instant) => head.expire_at(instant),
            Verdict::Valid => {}
        }
        let Some(entry) = self.entry(names.key) else { return Replaced::Changed };
        if !entry.object().is_some_and(|now| Arc::ptr_eq(&now, object)) {
            return Replaced::Changed;
        }
        entry.swap_object(Some(Arc::new(object.with_head(head, weight, epoch.0.max(object.epoch)))));
        state.queues.reweigh(&entry, object.weight, weight);
        shard.loaded(weight);
        shard.unloaded(object.weight);
        self.ledger.give_back(object.weight.saturating_sub(weight));
        count(&self.counters.refreshed);
        Replaced::Yes
    }
}

/// What became of a new header.
enum Replaced {
    Yes,
    /// A purge since the revalidation began forbids it.
    Purged,
    /// The object is another one than before.
    Changed,
}
