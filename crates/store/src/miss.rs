//! Writing a response into the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::storage::streaming_write::U64WriteId;
use pingora_cache::storage::{HandleMiss, MissFinishType};
use pingora_error::{Error, ErrorType, Result};

use crate::disk::spill::{SpillError, SpillWriter};
use crate::fill::{Fill, SPILL_WINDOW};
use crate::memory::MemoryStore;
use crate::stats::count;

/// The body does not have the length that the header says (RFC 9112 §8: incomplete, so never stored).
pub const WRONG_LENGTH: ErrorType = ErrorType::Custom("cache fill has the wrong length");
/// The response is not stored, and its last reader has gone.
pub const FILL_ABANDONED: ErrorType = ErrorType::Custom("cache fill abandoned");

/// How long a finished body waits for the index to know it.
const LINK_PATIENCE: Duration = Duration::from_secs(5);

/// How far a fill has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Still running; dropped now, it has failed.
    Open,
    /// All of it is there, and lookups still find it as a fill.
    Shown,
    /// Nothing is left to do.
    Done,
}

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
    end: End,
}

impl Miss {
    /// A fill for which `base` bytes are charged, and `body` bytes for the whole body if that stays in memory.
    pub(crate) fn new(store: &'static MemoryStore, fill: Arc<Fill>, base: u64, body: Option<u64>) -> Self {
        let tag = U64WriteId::from(fill.id);
        let held = base.saturating_add(body.unwrap_or(0));
        Self { store, fill, tag, held, base, prepaid: body.is_some(), file: None, end: End::Open }
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
        if !self.begin_file().await {
            self.store.no_room_for(&self.fill);
            self.stop_storing();
        }
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
        let Ok(mut writer) = disk.spill(self.fill.id, self.fill.expected).await else { return false };
        for chunk in self.fill.start_spill(writer.spill()) {
            if let Err(error) = writer.append(&chunk).await {
                self.lose_file(&error);
                return true;
            }
        }
        self.store.release_fill(self.held.saturating_sub(wanted));
        self.held = wanted;
        self.file = Some(writer);
        true
    }

    /// The client goes on; the disk does not.
    fn lose_file(&mut self, error: &SpillError) {
        log::debug!("a response is not stored any further: {error}");
        self.file = None;
        self.fill.detach();
        self.store.lost_file(&self.fill);
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
        let close = self.fill.expected.is_none() && len > self.store.max_object() / 2;
        if let Some(pause) = self.fill.pace(data.len(), close) {
            tokio::time::sleep(pause).await;
        }
        // The window keeps a part of a network buffer no longer than it takes to write it.
        self.fill.append(data.clone());
        if let Some(file) = &mut self.file
            && let Err(error) = file.append(&data).await
        {
            self.lose_file(&error);
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        let len = self.fill.progress().len;
        if self.fill.expected.is_some_and(|expected| len != expected) {
            return self.wrong_length(len);
        }
        if let Some(file) = self.file.take()
            && let Err(error) = file.finish().await
        {
            self.lose_file(&error);
        }
        self.end = End::Shown;
        let held = std::mem::take(&mut self.held);
        let (size, linked) = self.store.finish_fill(&self.fill, held);
        self.fill.complete();
        if let Some(linked) = linked {
            // Until the index knows the object, lookups find it as a fill. A disk that hangs gets no more time.
            let _ = tokio::time::timeout(LINK_PATIENCE, linked).await;
        }
        self.store.hide(&self.fill);
        self.end = End::Done;
        Ok(MissFinishType::Created(usize::try_from(size).unwrap_or(usize::MAX)))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(self.tag.as_bytes())
    }
}

impl Drop for Miss {
    fn drop(&mut self) {
        match self.end {
            End::Open => {
                self.file = None;
                self.store.drop_fill(&self.fill, self.held);
                self.fill.fail();
            }
            End::Shown => self.store.hide(&self.fill),
            End::Done => {}
        }
    }
}
