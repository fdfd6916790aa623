//! Reading from files: at once when the page cache has it, through the pool otherwise.
//!
//! What the page cache has is read chunk by chunk into one buffer: larger reads save calls, but each byte is touched three
//! times (read, checked, sent), and a chunk is what stays in the processor's cache meanwhile.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::Disk;
use super::index::Place;
use super::io::{Handle, read_exact};
use super::pool::Busy;
use super::record::{CHUNK, STORED_CHUNK, chunk_is_sound, chunk_len};
use super::stats::{add, count};

/// Chunks that someone who reads on gets at a time, once the page cache has run dry.
const AHEAD: u64 = 4;

/// How long a read may take, waiting included.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("too many reads wait for the disk")]
    Busy,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the content is damaged")]
    Corrupt,
}

impl Disk {
    /// Reads `len` bytes at `offset`. Gives up at once when too many reads wait already.
    pub(super) async fn read(
        &self,
        file: &Arc<dyn Handle>,
        offset: u64,
        len: usize,
    ) -> Result<Bytes, ReadError> {
        match self.read_cached(file, offset, BytesMut::zeroed(len)) {
            Ok(bytes) => Ok(bytes),
            Err(buffer) => self.read_waiting(file, offset, buffer, false).await,
        }
    }

    /// Fills `buffer` from `offset` on without a thread in between, if the page cache has all of it. A part does not count:
    /// the rest would have to wait anyhow. Hands the buffer back otherwise.
    fn read_cached(
        &self,
        file: &Arc<dyn Handle>,
        offset: u64,
        mut buffer: BytesMut,
    ) -> Result<Bytes, BytesMut> {
        if !file.read_cached_at(&mut buffer, offset).is_ok_and(|read| read == buffer.len()) {
            return Err(buffer);
        }
        count(&self.counters.reads_cached);
        add(&self.counters.read_bytes, buffer.len() as u64);
        Ok(buffer.freeze())
    }

    /// Fills `buffer` from `offset` on in the pool. With `patient` it waits for a place in the queue.
    async fn read_waiting(
        &self,
        file: &Arc<dyn Handle>,
        offset: u64,
        mut buffer: BytesMut,
        patient: bool,
    ) -> Result<Bytes, ReadError> {
        let len = buffer.len();
        let file = Arc::clone(file);
        let call = move || read_exact(&*file, &mut buffer, offset).map(|()| buffer.freeze());
        let done = async { if patient { self.pool.run(call).await } else { self.pool.try_run(call).await } };
        // A disk that hangs is no reason for a client to hang.
        match tokio::time::timeout(PATIENCE, done).await.unwrap_or(Err(Busy)) {
            Ok(Ok(bytes)) => {
                count(&self.counters.reads_waited);
                add(&self.counters.read_bytes, len as u64);
                Ok(bytes)
            }
            Ok(Err(error)) => {
                count(&self.counters.read_errors);
                // A file that ends too early is damage, not trouble of the disk.
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    count(&self.counters.corrupt);
                    return Err(ReadError::Corrupt);
                }
                self.health.read_failed(&error);
                Err(error.into())
            }
            Err(_) => {
                count(&self.counters.reads_refused);
                Err(ReadError::Busy)
            }
        }
    }
}

/// A body on disk: chunks one behind the other.
#[derive(Debug)]
pub(crate) struct Chunks {
    disk: Arc<Disk>,
    file: Arc<dyn Handle>,
    /// Where the first chunk begins.
    base: u64,
    seq: u64,
    /// Chunks at hand as they are stored, and the number of the first.
    held: Option<(u64, Bytes)>,
    /// The last one handed out was sound.
    checked: Option<u64>,
    /// What to forget when the body turns out to be damaged.
    entry: Option<(u128, Place)>,
    /// Chunks that others of the same fill have read.
    shared: Option<Arc<Recent>>,
}

/// The most that is handed out at a time of what many read at once, in bytes: whoever does not take it holds it.
const PIECE: usize = 16 << 10;
/// Chunks kept for all readers of a fill.
const RECENT: usize = 8;

/// The latest chunks, checked, that readers of one fill have read from its file.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(u64, Bytes)>>);

impl Recent {
    /// Chunk `index`, if it is here in that length: the last one of a fill grows.
    fn find(&self, index: u64, len: usize) -> Option<Bytes> {
        let chunks = self.0.lock();
        let found = chunks.iter().find(|(number, chunk)| *number == index && chunk.len() == len);
        found.map(|(_, chunk)| chunk.clone())
    }

    fn add(&self, index: u64, chunk: &Bytes) {
        let mut chunks = self.0.lock();
        chunks.retain(|(number, _)| *number != index);
        if chunks.len() >= RECENT {
            chunks.pop_front();
        }
        chunks.push_back((index, chunk.clone()));
    }
}

impl Chunks {
    /// The body at `base` of `file`. `held` are its first bytes as stored, when they were read already.
    pub(super) fn new(
        disk: Arc<Disk>,
        file: Arc<dyn Handle>,
        base: u64,
        seq: u64,
        held: Option<Bytes>,
        entry: Option<(u128, Place)>,
    ) -> Self {
        let held = held.map(|bytes| (0, bytes));
        Self { disk, file, base, seq, held, checked: None, entry, shared: None }
    }

    /// The body of a fill that many read at once: they share what they have read, and keep little of it.
    pub(super) fn shared(disk: Arc<Disk>, file: Arc<dyn Handle>, seq: u64, recent: Arc<Recent>) -> Self {
        Self { shared: Some(recent), ..Self::new(disk, file, 0, seq, None, None) }
    }

    /// Bytes from `at` to the end of their chunk, or to `limit`. `body_len` is how long the body is, as far as it
    /// is there.
    ///
    /// # Errors
    /// When the bytes cannot be read, or are not those that were written. The object is then forgotten.
    pub(crate) async fn read(
        &mut self,
        at: u64,
        limit: u64,
        body_len: u64,
    ) -> Result<Option<Bytes>, ReadError> {
        let limit = limit.min(body_len);
        if at >= limit {
            return Ok(None);
        }
        let index = at / CHUNK;
        let chunk = match self.chunk(index, limit, body_len).await {
            Ok(chunk) => chunk,
            Err(error) => {
                self.give_up(&error);
                return Err(error);
            }
        };
        let from = usize::try_from(at % CHUNK).unwrap_or(usize::MAX).min(chunk.len());
        let to = usize::try_from(limit - index * CHUNK).unwrap_or(usize::MAX).min(chunk.len());
        if from >= to {
            return Ok(None);
        }
        Ok(Some(match &self.shared {
            None => chunk.slice(from..to),
            // A copy: the rest of the chunk goes with the others who have it.
            Some(_) => Bytes::copy_from_slice(&chunk[from..to.min(from + PIECE)]),
        }))
    }

    fn give_up(&self, error: &ReadError) {
        if matches!(error, ReadError::Busy) {
            return;
        }
        if let Some((key, place)) = self.entry {
            self.disk.index.remove_at(key, place);
        }
    }

    /// Chunk `index`, checked.
    async fn chunk(&mut self, index: u64, limit: u64, body_len: u64) -> Result<Bytes, ReadError> {
        let len = chunk_len(body_len, index);
        if let Some(chunk) = self.shared.as_ref().and_then(|recent| recent.find(index, len)) {
            return Ok(chunk);
        }
        let stored = len + 4;
        if self.slice(index, stored).is_none() {
            self.load(index, limit, body_len).await?;
        }
        let bytes = self.slice(index, stored).ok_or(ReadError::Corrupt)?;
        if self.checked != Some(index) {
            if !chunk_is_sound(self.seq, index, &bytes) {
                count(&self.disk.counters.corrupt);
                log::warn!(
                    "disk {}: chunk {index} of object {:016x} is damaged",
                    self.disk.folder.root().display(),
                    self.seq
                );
                return Err(ReadError::Corrupt);
            }
            self.checked = Some(index);
        }
        let chunk = bytes.slice(..len);
        if let Some(recent) = &self.shared {
            recent.add(index, &chunk);
            self.held = None;
        }
        Ok(chunk)
    }

    /// `stored` bytes of chunk `index`, if they are at hand.
    fn slice(&self, index: u64, stored: usize) -> Option<Bytes> {
        let (first, held) = self.held.as_ref()?;
        let from = usize::try_from(index.checked_sub(*first)?.checked_mul(STORED_CHUNK)?).ok()?;
        let to = from.checked_add(stored)?;
        (to <= held.len()).then(|| held.slice(from..to))
    }

    /// Gets chunk `index`, and when the disk has to be waited for some behind it.
    async fn load(&mut self, index: u64, limit: u64, body_len: u64) -> Result<(), ReadError> {
        let last = limit.saturating_sub(1) / CHUNK;
        let reads_on = index > 0 && self.checked == Some(index - 1);
        self.checked = None;
        let offset = self.base.saturating_add(index.saturating_mul(STORED_CHUNK));
        // Nobody else has the chunk any more once it is sent.
        let held = self.held.take().and_then(|(_, bytes)| bytes.try_into_mut().ok());
        let mut buffer = held.unwrap_or_default();
        buffer.resize(chunk_len(body_len, index) + 4, 0);
        let bytes = match self.disk.read_cached(&self.file, offset, buffer) {
            Ok(bytes) => bytes,
            Err(mut buffer) => {
                // Nothing behind what was asked for.
                let ahead = reads_on && self.shared.is_none();
                let count = if ahead { (last.saturating_sub(index) + 1).min(AHEAD) } else { 1 };
                let stored = (index..index + count).map(|i| chunk_len(body_len, i) + 4).sum();
                buffer.resize(stored, 0);
                self.disk.read_waiting(&self.file, offset, buffer, true).await?
            }
        };
        self.held = Some((index, bytes));
        Ok(())
    }
}
