//! Writing a response into the store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::storage::streaming_write::U64WriteId;
use pingora_cache::storage::{HandleMiss, MissFinishType};
use pingora_error::{Error, ErrorType, Result};

use crate::disk::spill::{Finish, SpillError, SpillWriter};
use crate::fill::{Fill, SPILL_WINDOW};
use crate::memory::MemoryStore;
use crate::stats::count;

/// The body does not have the length that the header says (RFC 9112 §8: incomplete, so never stored).
pub const WRONG_LENGTH: ErrorType = ErrorType::Custom("cache fill has the wrong length");
/// The response is not stored, and its last reader has gone.
pub const FILL_ABANDONED: ErrorType = ErrorType::Custom("cache fill abandoned");

/// The writer's end of a fill. Dropped before [`finish`](HandleMiss::finish), the fill has failed.
pub(crate) struct Miss {
    store: &'static MemoryStore,
    fill: Arc<Fill>,
    tag: U64WriteId,
    /// Bytes charged for the fill.
    held: u64,
    /// Bytes of that which are not for the body.
    base: u64,
    /// Whether `held` covers the whole body from the start.
    prepaid: bool,
    /// The file it goes into.
    file: Option<SpillWriter>,
    /// Nothing is left to do here; dropped before, the fill has failed.
    ended: bool,
}

impl Miss {
    /// A fill for which `base` bytes are charged, and `body` bytes for the whole body if that stays in memory.
    pub(crate) fn new(store: &'static MemoryStore, fill: Arc<Fill>, base: u64, body: Option<u64>) -> Self {
        let tag = U64WriteId::from(fill.id);
        let held = base.saturating_add(body.unwrap_or(0));
        Self { store, fill, tag, held, base, prepaid: body.is_some(), file: None, ended: false }
    }

    /// Charges for `more` bytes in memory, or begins a file when they are too many; stops storing when neither
    /// works.
    async fn make_room(&mut self, more: usize) {
        if self.prepaid || self.fill.is_passing() {
            return;
        }
        let len = self.fill.progress().len.saturating_add(more as u64);
        if len > self.store.max_object() {
            self.store.outgrew(&self.fill);
            return self.stop_storing();
        }
        if self.file.is_some() {
            return;
        }
        if len.max(self.fill.expected.unwrap_or(0)) <= self.store.memory_object() {
            let growth = self.fill.growth(more);
            if growth == 0 {
                return;
            }
            if self.store.charge_fill(growth) {
                self.held = self.held.saturating_add(growth);
                return;
            }
        }
        if self.waits_for_second_request() {
            self.store.not_taken(&self.fill);
            self.stop_storing();
        } else if !self.begin_file().await {
            self.store.no_room_for(&self.fill);
            self.stop_storing();
        }
    }

    /// Whether there is a disk that does not take it before it is asked for again.
    fn waits_for_second_request(&self) -> bool {
        let disk = self.store.disk_of(self.fill.family);
        disk.is_some_and(|disk| !MemoryStore::disk_takes(disk, &self.fill))
    }

    fn stop_storing(&mut self) {
        self.file = None;
        self.fill.detach();
        self.fill.stop_storing();
        self.store.release_fill(std::mem::take(&mut self.held));
    }

    /// Goes on in a file. False when no disk takes it.
    async fn begin_file(&mut self) -> bool {
        let wanted = self.base.saturating_add(SPILL_WINDOW);
        if wanted > self.held {
            if !self.store.charge_fill(wanted - self.held) {
                return false;
            }
            self.held = wanted;
        }
        let Some(disk) = self.store.disk_of(self.fill.family) else { return false };
        let writer = match disk.spill(self.fill.id, self.fill.expected) {
            Ok(writer) => writer,
            Err(error) => {
                disk.count_refused(&error);
                return false;
            }
        };
        let chunks = self.fill.start_spill(writer.spill());
        self.file = Some(writer);
        for chunk in chunks {
            self.write(chunk).await;
        }
        self.store.release_fill(self.held.saturating_sub(wanted));
        self.held = wanted;
        true
    }

    /// Queues `data` for the file, if there is one.
    async fn write(&mut self, data: Bytes) {
        let Some(file) = &mut self.file else { return };
        let Err(error) = file.append(data, || self.fill.is_awaited()).await else { return };
        // The client goes on; the disk does not.
        let file = self.file.take();
        if matches!(error, SpillError::TooSlow)
            && let Some(file) = file
        {
            file.let_go();
        }
        lose_file(self.store, &self.fill, &error);
    }

    fn wrong_length<T>(&self, len: u64) -> Result<T> {
        count(&self.store.counters().length_mismatches);
        let expected = self.fill.expected.unwrap_or_default();
        Error::e_explain(WRONG_LENGTH, format!("{len} bytes came where the header says {expected}"))
    }
}

#[async_trait]
impl HandleMiss for Miss {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let len = self.fill.progress().len.saturating_add(data.len() as u64);
        if self.fill.expected.is_some_and(|expected| len > expected) {
            return self.wrong_length(len);
        }
        self.make_room(data.len()).await;
        if self.fill.is_pointless() {
            return Error::e_explain(FILL_ABANDONED, "the response is not stored, and nobody reads it");
        }
        // Of a body whose length is known it is known, too, that it does not outgrow the store.
        let limit = if self.fill.to_disk { self.store.max_object() } else { self.store.memory_object() };
        let close = self.fill.expected.is_none() && len > limit / 2;
        if let Some(pause) = self.fill.pace(data.len(), close) {
            tokio::time::sleep(pause).await;
        }
        // The window keeps a part of a network buffer no longer than it takes to write it.
        self.fill.append(data.clone());
        self.write(data).await;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        let len = self.fill.progress().len;
        if self.fill.expected.is_some_and(|expected| len != expected) {
            return self.wrong_length(len);
        }
        self.ended = true;
        let (store, fill, held) = (self.store, Arc::clone(&self.fill), std::mem::take(&mut self.held));
        let Some(file) = self.file.take() else {
            let size = store.finish_fill(&fill, held);
            fill.complete();
            return Ok(MissFinishType::Created(usize::try_from(size).unwrap_or(usize::MAX)));
        };
        // The disk has the rest of its work to do; nobody who reads waits for that.
        fill.complete();
        // From here on memory holds only what the disk has to write yet, which `fill_buffer` bounds.
        fill.drop_written();
        store.release_fill(held.saturating_sub(self.base));
        let held = held.min(self.base);
        file.finish(Box::new(Finishing { store, fill, held, told: false }));
        Ok(MissFinishType::Created(0))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(self.tag.as_bytes())
    }
}

impl Drop for Miss {
    fn drop(&mut self) {
        if !self.ended {
            self.file = None;
            self.store.drop_fill(&self.fill, self.held);
            self.fill.fail();
        }
    }
}

/// A fill of which all has come, on its last way to the disk. Lookups find it, and purges reach it, as while it came.
#[derive(Debug)]
struct Finishing {
    store: &'static MemoryStore,
    fill: Arc<Fill>,
    held: u64,
    /// It has been told what became of it.
    told: bool,
}

impl Finish for Finishing {
    fn written(&mut self) {
        self.fill.drop_written();
    }

    fn done(mut self: Box<Self>, result: std::result::Result<(), SpillError>) {
        self.told = true;
        if let Err(error) = result {
            lose_file(self.store, &self.fill, &error);
        }
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        if !self.told {
            // The thread that had it died: nobody knows what is on the disk.
            self.fill.detach();
        }
        self.store.finish_fill(&self.fill, self.held);
    }
}

/// `fill` goes on for those who read it, and is not stored.
fn lose_file(store: &MemoryStore, fill: &Fill, error: &SpillError) {
    log::debug!("a response is not stored any further: {error}");
    fill.detach();
    store.lost_file(fill, error);
}
