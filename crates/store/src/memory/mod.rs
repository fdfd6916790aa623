//! The memory tier itself: table, shards, ledger, and how they are looked up.

mod admission;
mod fills;
mod judge;
mod removal;
#[cfg(feature = "simulation")]
pub(crate) mod simulation;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

use pingora_cache::key::{CacheHashKey, HashBinary};
use pingora_cache::{CacheKey, CacheMeta, HitHandler};
use pingora_error::Result;
use seawall_config::{Diagnostics, Path, Severity};

use crate::clock::Clock;
use crate::disk::{Disk, DiskError};
use crate::disks::Disks;
use crate::entry::{Entry, Object, Place};
use crate::fill::Fill;
use crate::hit::Hit;
use crate::ledger::Ledger;
use crate::pinned::Pinned;
use crate::purges::Purges;
use crate::settings::StoreSettings;
use crate::shard::{Shard, State};
use crate::stats::{Counters, Stats};
use crate::storage::Names;

type Found = Option<(CacheMeta, HitHandler)>;

/// Why a store cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The settings cannot be meant; the text lists what is wrong with them.
    #[error("the cache settings are not usable: {0}")]
    Settings(String),
    /// A disk cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Why a response will not be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its body is larger than `max_object`, or was the last time.
    TooLarge,
    /// What is already on its way in leaves no room for it.
    NoRoom,
    /// It is too large for memory, and the disk takes only what is asked for a second time.
    FirstRequest,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "larger than `max_object`",
            Self::NoRoom => "no room beside the responses on their way in",
            Self::FirstRequest => "the disk takes it when it is asked for again",
        })
    }
}

/// A moment in the history of purges.
///
/// Take one from [`MemoryStore::epoch`] when a request begins, and put it into the extensions of the
/// [`CacheMeta`] made from the origin's answer: `meta.extensions_mut().insert(epoch)`. A purge in between
/// then keeps the answer out of the store. Without it, only purges after the answer's header count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub(crate) u64);

/// Marks the key of a part, in its extensions: when the part is not there, the whole response of the URL will do.
///
/// A part and its whole have one primary key; the part has a variance. A lookup then finds the whole too, when it is
/// fresh and has no variants. It is for requests that waited for the part while its origin sent the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrWhole;

/// The key of the whole that will do for a part, and the part's variance; none for a key that is not marked so.
pub(crate) fn whole_of(key: &CacheKey) -> Option<(CacheKey, HashBinary)> {
    let variance = key.variance_bin().filter(|_| key.extensions.get::<OrWhole>().is_some())?;
    let mut whole = key.clone();
    whole.remove_variance_key();
    Some((whole, variance))
}

/// How many objects that are stored no more are looked at for each that would have to be evicted.
const REAPED: usize = 16;

/// The memory tier: a [`Storage`](pingora_cache::storage::Storage) within one byte bound.
#[derive(Debug)]
pub struct MemoryStore {
    table: papaya::HashMap<u128, Arc<Entry>, ahash::RandomState>,
    shards: Box<[Shard]>,
    ledger: Ledger,
    pinned: Pinned,
    counters: Counters,
    clock: Arc<Clock>,
    purges: Arc<Purges>,
    disks: Option<Arc<Disks>>,
    next_fill: AtomicU64,
    fills: AtomicUsize,
    max_fills: usize,
    max_object: u64,
    memory_object: u64,
    max_variants: usize,
    max_parts: usize,
    pass_window: u64,
    /// Where the next search for something to evict starts.
    cursor: AtomicUsize,
}

impl MemoryStore {
    /// An empty store, without the disks that the settings may name.
    ///
    /// # Errors
    /// When [`StoreSettings::check`] reports an error.
    pub fn new(settings: &StoreSettings) -> std::result::Result<Self, StoreError> {
        Self::check(settings)?;
        let purges = Arc::new(Purges::new(settings.max_purges as usize, 0));
        Ok(Self::build(settings, Arc::new(Clock::new()), purges, None))
    }

    /// What is wrong with the settings, if anything is.
    pub(crate) fn check(settings: &StoreSettings) -> std::result::Result<(), StoreError> {
        let mut found = Diagnostics::default();
        settings.check(&Path::root().key("cache"), &mut found);
        if found.has_errors() {
            let texts: Vec<String> = found
                .iter()
                .filter(|d| d.severity == Severity::Error)
                .map(|d| format!("{}: {}", d.path, d.message))
                .collect();
            return Err(StoreError::Settings(texts.join("; ")));
        }
        Ok(())
    }

    /// An empty memory tier above `disks`.
    pub(crate) fn build(
        settings: &StoreSettings,
        clock: Arc<Clock>,
        purges: Arc<Purges>,
        disks: Option<Arc<Disks>>,
    ) -> Self {
        let (memory, shards) = (settings.memory.bytes(), settings.shard_count().max(1));
        let memory_object = disks.as_ref().map_or(settings.max_object, |_| settings.memory_object());
        Self {
            table: papaya::HashMap::with_hasher(ahash::RandomState::new()),
            shards: (0..shards).map(|_| Shard::new(memory / shards as u64)).collect(),
            ledger: Ledger::new(memory, settings.fill_bytes()),
            pinned: Pinned::default(),
            counters: Counters::default(),
            // Numbers of fills outlive the process on disk. Counted from the time of the start they are larger
            // than all before, unless there were more than a million fills a second.
            next_fill: AtomicU64::new(clock.now()),
            clock,
            purges,
            disks,
            fills: AtomicUsize::new(0),
            max_fills: settings.max_fills as usize,
            max_object: settings.max_object.bytes(),
            memory_object: memory_object.bytes(),
            max_variants: settings.max_variants as usize,
            max_parts: settings.max_parts as usize,
            pass_window: settings.pass_window.bytes(),
            cursor: AtomicUsize::new(0),
        }
    }

    /// An empty store that lives as long as the process, as Pingora wants it.
    ///
    /// # Errors
    /// When [`StoreSettings::check`] reports an error.
    pub fn leak(settings: &StoreSettings) -> std::result::Result<&'static Self, StoreError> {
        Ok(Box::leak(Box::new(Self::new(settings)?)))
    }

    /// The present moment in the history of purges, to be noted when a request begins.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.clock.now())
    }

    /// A moment later than every one noted before.
    fn advance_epoch(&self) -> u64 {
        self.clock.advance()
    }

    /// The largest body that is stored, in bytes.
    #[must_use]
    pub fn max_object(&self) -> u64 {
        self.max_object
    }

    /// The largest body that is kept in memory, in bytes.
    pub(crate) fn memory_object(&self) -> u64 {
        self.memory_object
    }

    /// The disk that a URL belongs to.
    pub(crate) fn disk_of(&self, family: u128) -> Option<&Arc<Disk>> {
        self.disks.as_ref()?.of(family)
    }

    /// Whether the object of `key` is in memory, and was asked for again there: what has only just come in is no better than
    /// any other newcomer.
    pub(crate) fn holds_dear(&self, key: u128) -> bool {
        let dear = |entry: &Arc<Entry>| entry.hits() > 0 || entry.place() == Place::Main;
        self.table.pin().get(&key).is_some_and(|entry| entry.object().is_some() && dear(entry))
    }

    /// Whether there is an object or a fill of `key`.
    pub(crate) fn knows(&self, key: u128) -> bool {
        self.table.pin().get(&key).is_some()
    }

    pub(crate) fn table(&self) -> &papaya::HashMap<u128, Arc<Entry>, ahash::RandomState> {
        &self.table
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    fn shard(&self, family: u128) -> &Shard {
        // The high half; the table hashes the whole key again, with a secret.
        &self.shards[(family >> 64) as usize & (self.shards.len() - 1)]
    }

    fn entry(&self, key: u128) -> Option<Arc<Entry>> {
        self.table.pin().get(&key).map(Arc::clone)
    }

    /// The entry of `names`, made if need be. The caller holds the shard.
    fn entry_or_new(&self, names: Names) -> Arc<Entry> {
        let table = self.table.pin();
        Arc::clone(table.get_or_insert_with(names.key, || Arc::new(Entry::new(names.key, names.family))))
    }

    /// Takes `entry` off the table once nothing is left in it. The caller holds the shard.
    fn tidy(&self, entry: &Entry) {
        if entry.object().is_none() && entry.fill().is_none() {
            self.table.pin().remove(&entry.key);
        }
    }

    /// What is stored under `key`: a running fill before an object, because it is newer.
    ///
    /// # Errors
    /// When Pingora cannot decode its own header internals.
    pub(crate) fn find(&self, key: &CacheKey) -> Result<Found> {
        let names = Names::of(key);
        let table = self.table.pin();
        if let Some(entry) = table.get(&names.key) {
            if let Some(fill) = entry.fill().filter(|fill| fill.is_joinable() && self.may_join(fill)) {
                self.counters.streamed();
                return Self::join(fill, false);
            }
            if let Some(object) = entry.object().and_then(|object| self.valid(entry, object)) {
                self.touch(entry);
                self.counters.hit();
                return Ok(Some((object.head.thaw()?, Hit::whole(object))));
            }
        }
        self.counters.miss();
        Ok(None)
    }

    /// Until when the response stored under `key`, or on its way there, is fresh. `None` when there is none. It counts
    /// as no use of the response.
    #[must_use]
    pub fn peek(&self, key: &CacheKey) -> Option<SystemTime> {
        let entry = self.entry(Names::of(key).key)?;
        if let Some(fill) = entry.fill().filter(|fill| fill.is_joinable() && self.may_join(fill)) {
            let fresh_until = fill.head.fresh_until();
            return Some(fill.stale_since().map_or(fresh_until, |since| since.min(fresh_until)));
        }
        let object = entry.object().and_then(|object| self.valid(&entry, object))?;
        Some(object.head.fresh_until())
    }

    /// The whole response of the URL of a part that is not there, for a key that is marked so: fresh, and the same for
    /// all requests.
    ///
    /// # Errors
    /// When Pingora cannot decode its own header internals.
    pub(crate) fn find_whole(&self, key: &CacheKey) -> Result<Found> {
        let Some((whole, variance)) = whole_of(key) else { return Ok(None) };
        let now = SystemTime::now();
        if self.peek(&whole).is_none_or(|fresh_until| fresh_until <= now) {
            return Ok(None);
        }
        let found = self.find(&whole)?.filter(|(meta, _)| meta.variance().is_none() && meta.is_fresh(now));
        Ok(found.map(|(mut meta, handler)| {
            // Pingora compares it with the key's.
            meta.set_variance_key(variance);
            (meta, handler)
        }))
    }

    /// The fill with number `id`, for the request that writes it.
    pub(crate) fn find_fill(&self, key: &CacheKey, id: u64) -> Result<Found> {
        let fill = self.shard(Names::of(key).family).lock().fills.get(&id).cloned();
        fill.map_or(Ok(None), |fill| Self::join(fill, true))
    }

    fn join(fill: Arc<Fill>, owner: bool) -> Result<Found> {
        let mut meta = fill.head.thaw()?;
        if let Some(since) = fill.stale_since() {
            meta.expire_at(since);
        }
        Ok(Some((meta, Hit::filling(fill, owner))))
    }

    /// Takes `bytes` of the capacity, evicting as needed; false when nothing is left to evict.
    ///
    /// Fills cannot be evicted. The caller has made sure that there is room beside them, or the whole store
    /// would be emptied for what does not fit anyway.
    fn take(&self, bytes: u64) -> bool {
        while !self.ledger.take(bytes) {
            let came_free = self.pinned.reap(&self.ledger, REAPED)
                || self.evict()
                || self.pinned.reap(&self.ledger, usize::MAX);
            if !came_free {
                return false;
            }
        }
        true
    }

    /// Whether `bytes` fit beside what cannot be evicted.
    fn fits(&self, bytes: u64) -> bool {
        let fits = || self.ledger.fits_beside_fills(bytes);
        fits() || (self.pinned.reap(&self.ledger, usize::MAX) && fits())
    }

    /// `object` is stored no more.
    fn let_go(&self, object: Arc<Object>) {
        let (body, weight) = (Arc::downgrade(&object.body), object.weight);
        drop(object);
        self.pinned.let_go(&self.ledger, body, weight);
    }

    /// Evicts one object; false when there is none.
    fn evict(&self) -> bool {
        let count = self.shards.len();
        let at = self.cursor.fetch_add(1, Relaxed) % count;
        let (one, other) = (at, (at + 1) % count);
        // The fuller of two neighbours, or else any that has something: with the cursor moving on, shards
        // stay about level without anybody looking at all of them.
        let first = if self.shards[one].load() >= self.shards[other].load() { one } else { other };
        (0..count).any(|step| self.evict_from(&self.shards[(first + step) % count]))
    }

    fn evict_from(&self, shard: &Shard) -> bool {
        if shard.load() == 0 {
            return false;
        }
        let mut state = shard.lock();
        let Some((entry, from)) = state.queues.evict() else { return false };
        let freed = self.clear_entry(shard, &mut state, &entry);
        match from {
            crate::queues::From::Small => &self.counters.evicted_small,
            crate::queues::From::Main => &self.counters.evicted_main,
        }
        .fetch_add(1, Relaxed);
        self.counters.evicted_bytes.fetch_add(freed, Relaxed);
        true
    }

    /// Empties an entry that is in no queue any more, and hands out the bytes that came free.
    fn clear_entry(&self, shard: &Shard, state: &mut State, entry: &Entry) -> u64 {
        let object = entry.swap_object(None);
        let freed = object.as_ref().map_or(0, |object| object.weight);
        shard.unloaded(freed);
        if let Some(object) = object {
            self.let_go(object);
        }
        if entry.is_variant() {
            state.leave_family(entry.family, entry.key);
        }
        self.tidy(entry);
        freed
    }

    /// The state at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.pinned.reap(&self.ledger, usize::MAX);
        let mut stats = Stats {
            pinned_bytes: self.ledger.pinned(),
            bytes: self.ledger.used(),
            capacity_bytes: self.ledger.capacity(),
            fill_bytes: self.ledger.filling(),
            fills_in_flight: self.fills.load(Relaxed) as u64,
            ..self.counters.snapshot()
        };
        for shard in &self.shards {
            let state = shard.lock();
            let sizes = state.queues.sizes();
            stats.small_objects += sizes.small_objects;
            stats.small_bytes += sizes.small_bytes;
            stats.main_objects += sizes.main_objects;
            stats.main_bytes += sizes.main_bytes;
            stats.ghosts += sizes.ghosts;
            stats.remembered_purges += state.purged.len() as u64;
        }
        stats.remembered_purges += self.purges.len() as u64;
        stats.objects = stats.small_objects + stats.main_objects;
        stats
    }
}

#[cfg(test)]
mod tests;
