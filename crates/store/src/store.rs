//! Both tiers as one: memory above, disks below.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora_cache::key::CompactCacheKey;
use pingora_cache::storage::{MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{CacheKey, CacheMeta, HitHandler};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;

use crate::body::Builder;
use crate::clock::Clock;
use crate::codec::ExtensionCodec;
use crate::disk::io::{Files, RealFiles};
use crate::disk::record::CHUNK;
use crate::disk::stats::DiskStats;
use crate::disk::{Disk, OnDisk, Shared};
use crate::disks::{Disks, Recording};
use crate::head::Head;
use crate::hit::Hit;
use crate::labels::Label;
use crate::memory::{Epoch, MemoryStore, Refusal, StoreError, whole_of};
use crate::purges::Purges;
use crate::ready::{InMemory, Ready};
use crate::settings::StoreSettings;
use crate::stats::Stats;
use crate::storage::{Names, is_ours};
use crate::sweep::Sweeper;

/// A purge holds until the next restart, which may undo it: no disk could record it.
pub const PURGE_NOT_RECORDED: ErrorType = ErrorType::Custom("cache purge not recorded");

/// How long a refreshed header may take to get to the disk before the request goes on.
const REFRESH_PATIENCE: Duration = Duration::from_secs(2);

/// What is known of a response without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// It is in memory, and goes stale then.
    FreshUntil(SystemTime),
    /// It is, most likely, on a disk.
    OnDisk,
}

/// The cache: memory, and disks if there are any.
#[derive(Debug)]
pub struct Store {
    memory: MemoryStore,
    disks: Option<Arc<Disks>>,
    clock: Arc<Clock>,
    purges: Arc<Purges>,
    sweeper: Sweeper,
}

impl Store {
    /// Opens the disks and puts memory above them. It lives as long as the process, as Pingora wants it.
    ///
    /// Requests may be served at once: what is on the disks is found again in the background, newest first.
    ///
    /// # Errors
    /// When [`StoreSettings::check`] reports an error, or a disk's folder cannot be used.
    pub fn open(
        settings: &StoreSettings,
        codec: Arc<dyn ExtensionCodec>,
    ) -> std::result::Result<&'static Self, StoreError> {
        Self::open_on(&(Arc::new(RealFiles) as Arc<dyn Files>), settings, codec)
    }

    pub(crate) fn open_on(
        files: &Arc<dyn Files>,
        settings: &StoreSettings,
        codec: Arc<dyn ExtensionCodec>,
    ) -> std::result::Result<&'static Self, StoreError> {
        MemoryStore::check(settings)?;
        let clock = Arc::new(Clock::new());
        let purges = Arc::new(Purges::new(settings.max_purges as usize, settings.disk.len()));
        let disks = if settings.disk.is_empty() {
            None
        } else {
            let wanted: Vec<_> =
                settings.disk.iter().map(|disk| (disk.path.as_path(), disk.config(settings))).collect();
            let shared = Shared { purges: Arc::clone(&purges), clock: Arc::clone(&clock), codec };
            Some(Arc::new(Disks::open(files, &wanted, shared)?))
        };
        let memory = MemoryStore::build(settings, Arc::clone(&clock), Arc::clone(&purges), disks.clone());
        let store: &'static Self =
            Box::leak(Box::new(Self { memory, disks, clock, purges, sweeper: Sweeper::default() }));
        store.sweeper.start(&store.memory).map_err(StoreError::Thread)?;
        for disk in store.all_disks() {
            disk.set_hot(Box::new(|key| store.memory.holds_dear(key)));
        }
        Ok(store)
    }

    fn all_disks(&self) -> &[Arc<Disk>] {
        self.disks.as_ref().map_or(&[], |disks| disks.all())
    }

    /// The present moment in the history of purges, to be noted when a request begins.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.memory.epoch()
    }

    /// Why a response to `key` with this `header` would not be stored, as far as that can be told now.
    ///
    /// Ask before telling Pingora that a response is cacheable: a response it does not try to cache is passed through with
    /// full back-pressure, and without a warning in the log. A refusal is counted.
    #[must_use]
    pub fn refusal(&self, key: &CacheKey, header: &ResponseHeader) -> Option<Refusal> {
        self.memory.refusal(key, header)
    }

    /// Has each disk look how much its file system has left.
    #[cfg(test)]
    pub(crate) fn look(&self) {
        self.all_disks().iter().for_each(|disk| assert!(disk.give_way(), "its writer is gone"));
    }

    /// The memory tier's numbers.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.memory.stats()
    }

    /// The numbers of each disk.
    #[must_use]
    pub fn disk_stats(&self) -> Vec<DiskStats> {
        self.disks.as_ref().map_or_else(Vec::new, |disks| disks.stats())
    }

    /// Whether everything that was on the disks at the start has been looked through.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.all_disks().iter().all(|disk| disk.is_recovered())
    }

    /// Purges all responses that bear one of `labels`, in both tiers; with `soft` they are stale from now on. It takes
    /// the same time whatever is stored. When this returns it holds for every thread, and no restart undoes it.
    ///
    /// # Errors
    /// [`PURGE_NOT_RECORDED`]: it holds, but only until the next restart.
    pub async fn purge_labels(&self, labels: &[Label<'_>], soft: bool) -> Result<()> {
        let since = soft.then(SystemTime::now);
        let mut recordings = Vec::new();
        for label in labels {
            match &self.disks {
                // It frees the index, too.
                Some(disks) if *label == Label::Everything && !soft => recordings.push(disks.purge_all().1),
                disks => {
                    let purge = label.purge(self.clock.advance(), since);
                    self.purges.add(&purge);
                    recordings.extend(disks.as_ref().map(|disks| disks.recorded(purge)));
                }
            }
        }
        self.sweeper.wake();
        for recording in recordings {
            recorded(Some(recording)).await?;
        }
        Ok(())
    }

    /// Purges everything, in both tiers. Hands out how many objects went.
    ///
    /// # Errors
    /// [`PURGE_NOT_RECORDED`].
    pub async fn clear(&self) -> Result<u64> {
        let (on_disk, recording) = match &self.disks {
            Some(disks) => {
                let (gone, recording) = disks.purge_all();
                (gone, Some(recording))
            }
            None => (0, None),
        };
        let in_memory = self.memory.clear();
        recorded(recording).await?;
        Ok(in_memory.max(on_disk))
    }

    /// Removes a URL with its variants because its resource has changed (RFC 9111 §4.4). Unlike a
    /// [purge](Storage::purge) nobody waits for the disk: a loss of power within the next moment may undo it. Names
    /// under which nothing can be found are not remembered, so that no client fills the memory for purges.
    pub fn invalidate(&self, key: &CompactCacheKey) {
        let names = Names::of(key);
        if let Some(disks) = &self.disks
            && (self.memory.knows(names.key) || disks.may_have(names))
        {
            let (_, recording) = disks.purge(names, None);
            drop(recording);
        }
        self.memory.remove(key);
    }

    /// Returns when what was stored so far is in the disks' files.
    pub fn flush(&self) {
        self.all_disks().iter().for_each(|disk| disk.flush());
    }

    /// Writes what waits to be written, so that a process that opens the same folders from now on finds it. Takes as long as
    /// the disks do.
    pub fn seal(&self) {
        if let Some(disks) = &self.disks {
            disks.seal();
        }
    }

    /// Leaves the disks to a process that has opened the same folders meanwhile. What is there is still read here, and
    /// purges are recorded as before; nothing is written or evicted any more. Takes as long as writing what waits.
    pub fn step_down(&self) {
        if let Some(disks) = &self.disks {
            disks.step_down();
        }
    }

    /// Writes what waits to be written and seals what is open, so that the next start finds all of it without a
    /// search. Nothing is written to the disks afterwards.
    pub fn close(&self) {
        self.sweeper.stop();
        if let Some(disks) = &self.disks {
            disks.close();
        }
    }

    /// Empties the memory tier alone, as if everything in it had been evicted.
    #[cfg(test)]
    pub(crate) fn drop_memory(&self) {
        self.memory.clear();
    }

    /// Ends the stay in the folders without writing anything more, as if the process had been killed.
    #[cfg(test)]
    pub(crate) fn vanish(&self) {
        self.all_disks().iter().for_each(|disk| disk.vanish());
    }

    /// Makes the journal of one disk fail.
    #[cfg(test)]
    pub(crate) fn break_journal(&self, disk: usize) {
        self.all_disks()[disk].break_journal();
    }

    /// Looks on the disk that the key belongs to.
    async fn find_below(&'static self, names: Names) -> Option<(CacheMeta, HitHandler)> {
        let disk = self.disks.as_ref()?.of(names.family)?;
        // Before the lookup: a purge from now on keeps the object out of memory.
        let epoch = self.memory.epoch().0;
        let mut found = disk.find(names).await?;
        if self.memory.wants(&found) {
            return self.promote(names, found, epoch).await;
        }
        if found.body_len <= CHUNK {
            // All of it is at hand: if it is damaged, this is a miss and no broken answer.
            found.body.read(0, found.body_len, found.body_len).await.ok()?;
        }
        Some((found.meta.meta, Hit::on_disk(found.body, found.body_len)))
    }

    /// The whole response of the URL of a part that is not there, as [in memory](MemoryStore::find_whole).
    async fn find_whole_below(&'static self, key: &CacheKey) -> Option<(CacheMeta, HitHandler)> {
        let (whole, variance) = whole_of(key)?;
        let (mut meta, handler) = self.find_below(Names::of(&whole)).await?;
        if meta.variance().is_some() || !meta.is_fresh(SystemTime::now()) {
            return None;
        }
        // Pingora compares it with the key's.
        meta.set_variance_key(variance);
        Some((meta, handler))
    }

    /// The complete response under `key`, from memory, or with a short body from a disk. It counts as no use of it before
    /// [`Self::count_hit`].
    pub async fn ready(&self, key: &CacheKey) -> Option<Ready> {
        let names = Names::of(key);
        match self.memory.ready(names) {
            InMemory::Complete(ready) => Some(ready),
            InMemory::Arriving => None,
            InMemory::Nothing => {
                let disk = self.disks.as_ref()?.of(names.family)?;
                // Before the lookup: a purge from now on keeps the object out of memory.
                disk.ready(names, self.memory.epoch().0).await.map(Ready::from_disk)
            }
        }
    }

    /// Counts a response as used. What is read from a disk for the second time comes into memory.
    pub fn count_hit(&self, ready: &Ready) {
        self.memory.count_hit(ready);
    }

    /// What is known of the response stored under `key`, or on its way there, without reading a disk. It counts as no
    /// use of the response.
    #[must_use]
    pub fn peek(&self, key: &CacheKey) -> Option<Peek> {
        let names = Names::of(key);
        let below = || self.disks.as_ref().and_then(|disks| disks.of(names.family));
        match self.memory.peek(key) {
            Some(until) => Some(Peek::FreshUntil(until)),
            None => below().is_some_and(|disk| disk.may_have(names.key)).then_some(Peek::OnDisk),
        }
    }

    /// Until when the response stored under `key` is fresh, also if a disk has to be read for it.
    pub async fn fresh_until(&self, key: &CacheKey) -> Option<SystemTime> {
        let names = Names::of(key);
        match self.memory.peek(key) {
            None => self.disks.as_ref()?.of(names.family)?.peek(names).await,
            until => until,
        }
    }

    /// Brings an object up that is read for the second time. Memory may have no room for it.
    async fn promote(
        &'static self,
        names: Names,
        mut found: OnDisk,
        epoch: u64,
    ) -> Option<(CacheMeta, HitHandler)> {
        let len = found.body_len;
        let mut builder = Builder::new(Some(len));
        let mut at = 0u64;
        while at < len {
            let bytes = found.body.read(at, len, len).await.ok()??;
            at = at.saturating_add(bytes.len() as u64);
            builder.append(&bytes);
        }
        let handler = match self.memory.promote(names, &found, builder.finish(), epoch) {
            Some(object) => Hit::whole(object),
            None => Hit::on_disk(found.body, len),
        };
        Some((found.meta.meta, handler))
    }
}

/// Waits until a purge is recorded.
async fn recorded(recording: Option<Recording>) -> Result<()> {
    let Some(recording) = recording else { return Ok(()) };
    if recording.done().await {
        return Ok(());
    }
    Error::e_explain(PURGE_NOT_RECORDED, "no disk could record the purge: a restart may undo it")
}

#[async_trait]
impl Storage for Store {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        if let Some(found) = self.memory.find(key)? {
            return Ok(Some(found));
        }
        if self.disks.is_some()
            && let Some(found) = self.find_below(Names::of(key)).await
        {
            return Ok(Some(found));
        }
        match self.memory.find_whole(key)? {
            None if self.disks.is_some() => Ok(self.find_whole_below(key).await),
            found => Ok(found),
        }
    }

    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        streaming_write_tag: Option<&[u8]>,
        trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        self.memory.lookup_streaming_write(key, streaming_write_tag, trace).await
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<MissHandler> {
        self.memory.begin_fill(key, meta)
    }

    /// Removes the key from both tiers, and with a primary key all its variants. When this returns, no restart
    /// brings them back.
    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        purge_type: PurgeType,
        _: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        if !is_ours(target) {
            return Ok(PurgeOutcome::NotFound);
        }
        let (key, names) = (target.key(), Names::of(target.key()));
        let removed = match purge_type {
            PurgeType::Invalidation => {
                // The disks first: what is brought up from them afterwards must not escape.
                let (below, recording) = match &self.disks {
                    Some(disks) => {
                        let (there, recording) = disks.purge(names, None);
                        (there, Some(recording))
                    }
                    None => (false, None),
                };
                let above = self.memory.remove(key);
                recorded(recording).await?;
                above || below
            }
            PurgeType::Eviction => {
                let below = self.disks.as_ref().is_some_and(|disks| disks.forget(names));
                self.memory.remove_one(key) || below
            }
        };
        Ok(if removed { PurgeOutcome::Purged(None) } else { PurgeOutcome::NotFound })
    }

    /// Marks the key stale in both tiers, and with a primary key all its variants.
    async fn expire(&'static self, target: PurgeTarget<'_>, _: &SpanHandle) -> Result<PurgeOutcome> {
        if !is_ours(target) {
            return Ok(PurgeOutcome::NotFound);
        }
        let (below, recording) = match &self.disks {
            Some(disks) => {
                let (there, recording) = disks.purge(Names::of(target.key()), Some(SystemTime::now()));
                (there, Some(recording))
            }
            None => (false, None),
        };
        let above = self.memory.expire_now(target.key());
        recorded(recording).await?;
        Ok(if above || below { PurgeOutcome::Expired } else { PurgeOutcome::NotFound })
    }

    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        let above = self.memory.refresh(key, meta)?;
        let names = Names::of(key);
        let Some(disk) = self.disks.as_ref().and_then(|disks| disks.of(names.family)) else {
            return Ok(above);
        };
        let epoch = meta.extensions().get::<Epoch>().copied().unwrap_or_else(|| self.epoch());
        let answer = disk.refresh(names, epoch.0, Arc::new(Head::freeze(meta)?));
        let below = tokio::time::timeout(REFRESH_PATIENCE, answer).await;
        Ok(above || matches!(below, Ok(Ok(true))))
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}
