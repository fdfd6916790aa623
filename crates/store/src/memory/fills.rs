//! The way into the store: begin, grow, finish or fail.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use pingora_cache::storage::MissHandler;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;

use super::{Epoch, MemoryStore, Refusal};
use crate::body::{Body, Builder};
use crate::disk::spill::{Spill, SpillError};
use crate::disk::{Link, OnDisk, Until};
use crate::entry::{OBJECT_OVERHEAD, Object, VARIANT_OVERHEAD};
use crate::fill::{Fill, Sealed};
use crate::head::{Head, content_length};
use crate::miss::Miss;
use crate::purged::Verdict;
use crate::shard::{Shard, State};
use crate::stats::count;
use crate::storage::Names;

/// A complete fill that lookups find until this is dropped.
#[derive(Debug)]
struct Shown {
    store: &'static MemoryStore,
    fill: Arc<Fill>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.store.hide(&self.fill);
    }
}

const REFUSED: ErrorType = ErrorType::Custom("cache fill refused");

impl MemoryStore {
    /// [`Store::refusal`](crate::Store::refusal), in memory.
    #[must_use]
    pub fn refusal(&self, key: &CacheKey, header: &ResponseHeader) -> Option<Refusal> {
        let (names, length) = (Names::of(key), content_length(header));
        let refusal = self.judge_size(names, length).or_else(|| self.judge_large(names, length));
        self.count_refusal(names.family, refusal);
        refusal
    }

    pub(super) fn judge_size(&self, names: Names, length: Option<u64>) -> Option<Refusal> {
        match length {
            Some(length) if length > self.max_object => return Some(Refusal::TooLarge),
            Some(length) if length > self.memory_object && self.disk_of(names.family).is_none() => {
                return Some(Refusal::TooLarge);
            }
            Some(length) if length > self.memory_object => {}
            Some(length) if Builder::cost_of(length) > self.ledger.fill_capacity() => {
                return Some(Refusal::NoRoom);
            }
            Some(_) => {}
            None if self.shard(names.family).lock().is_outgrown(names.key) => return Some(Refusal::TooLarge),
            None => {}
        }
        (self.fills.load(Relaxed) >= self.max_fills).then_some(Refusal::NoRoom)
    }

    fn count_refusal(&self, family: u128, refusal: Option<Refusal>) {
        match refusal {
            Some(Refusal::TooLarge) => count(&self.counters.too_large),
            Some(Refusal::NoRoom) => count(&self.counters.no_room),
            Some(Refusal::FirstRequest) => {
                if let Some(disk) = self.disk_of(family) {
                    disk.count_first_request();
                }
            }
            None => {}
        }
    }

    fn refuse<T>(&self, family: u128, refusal: Refusal) -> Result<T> {
        self.count_refusal(family, Some(refusal));
        Error::e_explain(REFUSED, refusal.to_string())
    }

    /// Starts to store a response.
    ///
    /// # Errors
    /// When it is [refused](Refusal). Pingora then passes it through uncached.
    pub(crate) fn begin_fill(&'static self, key: &CacheKey, meta: &CacheMeta) -> Result<MissHandler> {
        let names = Names::of(key);
        let length = content_length(meta.response_header());
        if let Some(refusal) = self.judge_size(names, length) {
            return self.refuse(names.family, refusal);
        }
        let to_disk = self.admits(names);
        if !to_disk && length.is_some_and(|length| length > self.memory_object) {
            return self.refuse(names.family, Refusal::FirstRequest);
        }
        let epoch = meta.extensions().get::<Epoch>().copied().unwrap_or_else(|| self.epoch());
        let head = Arc::new(Head::freeze(meta)?);
        let base = OBJECT_OVERHEAD.saturating_add(VARIANT_OVERHEAD).saturating_add(head.bytes());
        // What goes into a file is not charged for as a whole.
        let body = length.filter(|length| *length <= self.memory_object).map(Builder::cost_of);
        let held = base.saturating_add(body.unwrap_or(0));
        if !self.enter_fills() {
            return self.refuse(names.family, Refusal::NoRoom);
        }
        if !self.charge_fill(held) {
            self.fills.fetch_sub(1, Relaxed);
            return self.refuse(names.family, Refusal::NoRoom);
        }
        count(&self.counters.fills_started);
        let id = self.next_fill.fetch_add(1, Relaxed);
        let fill = Arc::new(Fill::new(id, names, epoch.0, head, self.pass_window, to_disk));
        self.show_fill(names, &fill);
        Ok(Box::new(Miss::new(self, fill, base, body)))
    }

    fn enter_fills(&self) -> bool {
        let enter = |now: usize| (now < self.max_fills).then(|| now.saturating_add(1));
        self.fills.fetch_update(Relaxed, Relaxed, enter).is_ok()
    }

    /// Registers `fill`, and shows it to lookups unless a purge or a newer fill forbids it.
    fn show_fill(&self, names: Names, fill: &Arc<Fill>) {
        let mut state = self.shard(names.family).lock();
        state.fills.insert(fill.id, Arc::clone(fill));
        match self.verdict(&state, names, &fill.head, fill.epoch) {
            Verdict::Gone => return,
            Verdict::StaleSince(instant) => fill.expire_at(instant),
            Verdict::Valid => {}
        }
        let entry = self.entry_or_new(names);
        if entry.fill().is_none_or(|shown| shown.id < fill.id) {
            entry.show_fill(Some(Arc::clone(fill)));
        }
    }

    /// Charges `bytes` more for a fill; false when there is no room for them.
    pub(crate) fn charge_fill(&self, bytes: u64) -> bool {
        if !self.ledger.earmark(bytes) {
            return false;
        }
        // What is earmarked fits once all objects are gone, unless too much is read that is stored no more.
        if self.fits(0) && self.take(bytes) {
            return true;
        }
        self.ledger.unmark(bytes);
        false
    }

    /// Gives back what was charged for a fill.
    pub(crate) fn release_fill(&self, held: u64) {
        self.ledger.unmark(held);
        self.ledger.give_back(held);
    }

    /// `fill` turned out to be larger than `max_object`.
    pub(crate) fn outgrew(&self, fill: &Fill) {
        count(&self.counters.too_large);
        let mut state = self.shard(fill.family).lock();
        state.outgrew(fill.key);
        self.hide_fill(fill);
    }

    /// `fill` outgrew memory, and the disk does not take it.
    pub(crate) fn not_taken(&self, fill: &Fill) {
        self.count_refusal(fill.family, Some(Refusal::FirstRequest));
        self.hide(fill);
    }

    /// `fill` cannot grow any further.
    pub(crate) fn no_room_for(&self, fill: &Fill) {
        count(&self.counters.no_room);
        let _state = self.shard(fill.family).lock();
        self.hide_fill(fill);
    }

    /// The file of `fill` cannot be written any further: nobody else shall join it.
    pub(crate) fn lost_file(&self, fill: &Fill, error: &SpillError) {
        if let Some(disk) = self.disk_of(fill.family) {
            disk.count_detached(error);
        }
        self.hide(fill);
    }

    /// No lookup finds `fill` any more.
    pub(crate) fn hide(&self, fill: &Fill) {
        let _state = self.shard(fill.family).lock();
        self.hide_fill(fill);
    }

    /// No lookup finds `fill` any more. The caller holds the shard.
    pub(super) fn hide_fill(&self, fill: &Fill) {
        if let Some(entry) = self.entry(fill.key)
            && entry.fill().is_some_and(|shown| shown.id == fill.id)
        {
            entry.show_fill(None);
            self.tidy(&entry);
        }
    }

    /// `fill` broke off.
    pub(crate) fn drop_fill(&self, fill: &Fill, held: u64) {
        count(&self.counters.fills_failed);
        {
            let mut state = self.shard(fill.family).lock();
            state.fills.remove(&fill.id);
            self.hide_fill(fill);
        }
        self.release_fill(held);
        self.fills.fetch_sub(1, Relaxed);
    }

    /// All of `fill` is there: stores it, unless a purge or a newer object forbids it. Hands out the bytes
    /// charged for it from now on. Lookups find a fill that went into a file until the disk's index has it.
    pub(crate) fn finish_fill(&'static self, fill: &Arc<Fill>, held: u64) -> u64 {
        let sealed = fill.seal();
        let shard = self.shard(fill.family);
        // Dropped behind the lock, which it takes.
        let unlinked: Option<Until>;
        // Readers have it whether it is stored or not.
        let mut read = Weak::new();
        let kept = {
            let mut state = shard.lock();
            state.fills.remove(&fill.id);
            match sealed {
                Sealed::Memory(body) => {
                    unlinked = None;
                    read = Arc::downgrade(&body);
                    let kept = self.store_object(shard, &mut state, fill, body, held);
                    self.hide_fill(fill);
                    kept
                }
                Sealed::File(spill) => {
                    let shown = Box::new(Shown { store: self, fill: Arc::clone(fill) });
                    unlinked = self.store_file(shard, &mut state, fill, &spill, shown).err();
                    0
                }
                Sealed::Nothing => {
                    unlinked = None;
                    self.hide_fill(fill);
                    0
                }
            }
        };
        drop(unlinked);
        self.ledger.unmark(held);
        if kept == 0 {
            self.pinned.let_go(&self.ledger, read, held);
        } else {
            self.ledger.give_back(held.saturating_sub(kept));
        }
        self.fills.fetch_sub(1, Relaxed);
        kept
    }

    /// The header that `fill` is stored with; none when a purge or a newer object forbids it.
    fn admit(&self, state: &State, fill: &Fill) -> Option<Arc<Head>> {
        let names = Names { key: fill.key, family: fill.family };
        let since = match self.verdict(state, names, &fill.head, fill.epoch) {
            Verdict::Gone => {
                count(&self.counters.fills_purged);
                return None;
            }
            Verdict::StaleSince(instant) => Some(instant),
            Verdict::Valid => fill.stale_since(),
        };
        let before = self.entry(fill.key).and_then(|entry| entry.object());
        let newer = before.is_some_and(|before| before.fill > fill.id);
        if newer || fill.is_overtaken() || self.is_hidden_variant(fill) {
            count(&self.counters.fills_overtaken);
            return None;
        }
        let mut head = Arc::clone(&fill.head);
        if let Some(since) = since {
            Arc::make_mut(&mut head).expire_at(since);
        }
        Some(head)
    }

    /// Makes the file of `spill` the object of its key, on disk. `shown` comes back when that is not to be.
    fn store_file(
        &self,
        shard: &Shard,
        state: &mut State,
        fill: &Fill,
        spill: &Spill,
        shown: Until,
    ) -> std::result::Result<(), Until> {
        let Some(head) = self.admit(state, fill) else { return Err(shown) };
        // What is in memory is older.
        self.remove_object(shard, state, fill.key);
        self.overtake_older(state, fill);
        if fill.key == fill.family {
            self.drop_hidden_variants(shard, state, fill.family, head.provenance());
        }
        let names = Names { key: fill.key, family: fill.family };
        let link = Link { names, seq: fill.id, epoch: fill.epoch, head, body_len: fill.progress().len };
        spill.disk().link(link, shown)?;
        spill.keep();
        Ok(())
    }

    fn overtake_older(&self, state: &State, fill: &Fill) {
        for older in state.fills.values().filter(|other| other.key == fill.key && other.id < fill.id) {
            older.overtake();
        }
    }

    /// Whether what was found on disk is worth a place: it was read before, and fits.
    pub(crate) fn wants(&self, found: &OnDisk) -> bool {
        found.reads > 0 && found.body_len <= self.memory_object
    }

    /// Keeps in memory what was found on disk, where it stays too, with its `body`. None when there is no room, or something
    /// newer is there. `epoch` is a moment before it was looked for.
    pub(crate) fn promote(
        &self,
        names: Names,
        found: &OnDisk,
        body: Body,
        epoch: u64,
    ) -> Option<Arc<Object>> {
        let mut head = found.meta.freeze().ok()?;
        head.set_labels(found.labels.clone());
        let (seq, valid_to) = (found.seq, found.epoch);
        let variant = names.key != names.family;
        let weight = Object::weigh(&head, &body, variant);
        if !(self.fits(weight) && self.take(weight)) {
            return None;
        }
        let shard = self.shard(names.family);
        let mut state = shard.lock();
        let labels = head.labels().names().iter().copied();
        let valid = state.purged.judge(names.key, names.family, epoch) == Verdict::Valid
            && self.purges.judge([names.key, names.family].into_iter().chain(labels), valid_to)
                != Verdict::Gone;
        let entry = self.entry_or_new(names);
        if !valid || entry.object().is_some() || entry.fill().is_some() {
            self.tidy(&entry);
            self.ledger.give_back(weight);
            return None;
        }
        let limit = self.most_like(&head);
        let (head, body) = (Arc::new(head), Arc::new(body));
        let object =
            Arc::new(Object { head, body, fill: seq, weight, epoch: valid_to, judged: AtomicU64::new(0) });
        entry.swap_object(Some(Arc::clone(&object)));
        entry.set_trial(false);
        shard.loaded(weight);
        state.queues.insert(&entry, weight);
        if variant {
            for old in state.join_family(names.family, names.key, limit) {
                count(&self.counters.variants_dropped);
                self.remove_object(shard, &mut state, old);
            }
        }
        count(&self.counters.promoted);
        Some(object)
    }

    /// How many variants of one URL are kept that are like this one.
    fn most_like(&self, head: &Head) -> usize {
        if head.is_part() { self.max_parts } else { head.variant_limit().unwrap_or(self.max_variants) }
    }

    fn store_object(&self, shard: &Shard, state: &mut State, fill: &Fill, body: Arc<Body>, held: u64) -> u64 {
        let names = Names { key: fill.key, family: fill.family };
        let Some(head) = self.admit(state, fill) else { return 0 };
        let entry = self.entry_or_new(names);
        let before = entry.object();
        // Never more than was charged, whatever the allocator did.
        let weight = Object::weigh(&head, &body, entry.is_variant()).min(held);
        let provenance = head.provenance();
        let (id, epoch) = (fill.id, fill.epoch);
        let object = Arc::new(Object { head, body, fill: id, weight, epoch, judged: 0.into() });
        self.offer(&entry, &object, fill, before.is_some());
        entry.swap_object(Some(object));
        shard.loaded(weight);
        if let Some(before) = before {
            state.queues.reweigh(&entry, before.weight, weight);
            shard.unloaded(before.weight);
            self.let_go(before);
        } else {
            state.queues.insert(&entry, weight);
        }
        count(&self.counters.inserts);
        self.overtake_older(state, fill);
        if entry.is_variant() {
            for variant in state.join_family(fill.family, fill.key, self.most_like(&fill.head)) {
                count(&self.counters.variants_dropped);
                self.remove_object(shard, state, variant);
            }
        } else {
            self.drop_hidden_variants(shard, state, fill.family, provenance);
        }
        weight
    }

    /// Whether `fill` is a variant that its primary object hides from Pingora: nobody would ever find it.
    fn is_hidden_variant(&self, fill: &Fill) -> bool {
        let primary = || self.entry(fill.family).and_then(|entry| entry.object());
        fill.key != fill.family
            && primary().is_some_and(|primary| fill.head.created() < primary.head.provenance())
    }
}
