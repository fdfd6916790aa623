//! Writing a response into the store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::storage::streaming_write::U64WriteId;
use pingora_cache::storage::{HandleMiss, MissFinishType};
use pingora_error::{Error, ErrorType, Result};

use crate::fill::Fill;
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
    /// Whether `held` covers the whole body from the start.
    prepaid: bool,
    finished: bool,
}

impl Miss {
    pub(crate) fn new(store: &'static MemoryStore, fill: Arc<Fill>, held: u64) -> Self {
        let tag = U64WriteId::from(fill.id);
        let prepaid = fill.expected.is_some();
        Self { store, fill, tag, held, prepaid, finished: false }
    }

    /// Charges for `more` bytes; stops storing when they are too many or there is no room.
    fn make_room(&mut self, more: usize) {
        if self.prepaid || self.fill.is_passing() {
            return;
        }
        let len = self.fill.progress().len.saturating_add(more as u64);
        if len > self.store.max_object() {
            self.store.outgrew(&self.fill);
        } else {
            let growth = self.fill.growth(more);
            if growth == 0 {
                return;
            }
            if self.store.charge_fill(growth) {
                self.held = self.held.saturating_add(growth);
                return;
            }
            self.store.no_room_for(&self.fill);
        }
        self.fill.stop_storing();
        self.store.release_fill(std::mem::take(&mut self.held));
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
        self.make_room(data.len());
        if self.fill.is_pointless() {
            return Error::e_explain(FILL_ABANDONED, "the response is not stored, and nobody reads it");
        }
        let close = !self.prepaid && len > self.store.max_object() / 2;
        if let Some(pause) = self.fill.pace(data.len(), close) {
            tokio::time::sleep(pause).await;
        }
        self.fill.append(data);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        let len = self.fill.progress().len;
        if self.fill.expected.is_some_and(|expected| len != expected) {
            return self.wrong_length(len);
        }
        self.finished = true;
        let held = std::mem::take(&mut self.held);
        let size = self.store.finish_fill(&self.fill, held);
        self.fill.complete();
        Ok(MissFinishType::Created(usize::try_from(size).unwrap_or(usize::MAX)))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(self.tag.as_bytes())
    }
}

impl Drop for Miss {
    fn drop(&mut self) {
        if !self.finished {
            self.store.drop_fill(&self.fill, self.held);
            self.fill.fail();
        }
    }
}
