//! A body on disk, read chunk by chunk.
//!
//! What the page cache has is read into one buffer of a chunk: larger reads save calls, but each byte is touched three
//! times (read, checked, sent), and a chunk is what stays in the processor's cache meanwhile. A reader keeps that buffer while its
//! client takes the chunk; when [all of them](super::read_buffer) hold as much as they may, further ones go [piece by
//! piece](super::pieces), which costs three more reads a chunk and holds a quarter of it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Disk;
use super::index::Place;
use super::io::Handle;
use super::pieces::{PIECE, Recent, Sums, copy, piece_len};
use super::read_buffer::Lease;
use super::reading::ReadError;
use super::record::{CHUNK, STORED_CHUNK, chunk_is_sound, chunk_len};
use super::stats::count;

/// Chunks that someone who reads on gets at a time, once the page cache has run dry.
const AHEAD: u64 = 4;
/// Of so many bytes nobody reads ahead but we: the system might read a multiple of them.
const SHORT: u64 = 1 << 20;
/// A CRC.
const CRC: usize = 4;

/// A body on disk: chunks one behind the other.
#[derive(Debug)]
pub(crate) struct Chunks {
    disk: Arc<Disk>,
    file: Arc<dyn Handle>,
    /// Nobody else reads through this handle.
    own: bool,
    /// The system reads ahead.
    ahead: bool,
    /// Up to where, when that was decided.
    decided: u64,
    /// Where the first chunk begins.
    base: u64,
    seq: u64,
    held: Option<Held>,
    /// The last one handed out was sound.
    checked: Option<u64>,
    /// Of the chunk that is read piece by piece.
    sums: Option<Sums>,
    /// What to forget when the body turns out to be damaged.
    entry: Option<(u128, Place)>,
    /// Chunks that others of the same fill have read.
    shared: Option<Arc<Recent>>,
}

/// Chunks at hand as they are stored.
#[derive(Debug)]
struct Held {
    /// The number of the first.
    first: u64,
    bytes: Bytes,
    lease: Lease,
}

/// A part of one chunk.
#[derive(Debug, Clone, Copy)]
struct Part {
    index: u64,
    from: usize,
    to: usize,
    /// The length of the chunk.
    len: usize,
}

impl Part {
    /// The piece that it begins in.
    fn piece(&self) -> usize {
        self.from / PIECE
    }

    /// As much of it as is in that piece.
    fn of_piece(&self, piece: &Bytes) -> Bytes {
        let begin = self.piece().saturating_mul(PIECE);
        piece.slice(self.from - begin..(self.to - begin).min(piece.len()))
    }
}

impl Chunks {
    /// The body at `base` of `file`. `held` are its first bytes as stored, when they were read already; they are read again
    /// when there is no room to keep them.
    pub(super) fn new(
        disk: Arc<Disk>,
        file: Arc<dyn Handle>,
        base: u64,
        seq: u64,
        held: Option<Bytes>,
        entry: Option<(u128, Place)>,
    ) -> Self {
        let held = held.and_then(|bytes| {
            let lease = disk.read_buffer.take(bytes.len())?;
            Some(Held { first: 0, bytes, lease })
        });
        Self {
            disk,
            file,
            own: false,
            ahead: true,
            decided: 0,
            base,
            seq,
            held,
            checked: None,
            sums: None,
            entry,
            shared: None,
        }
    }

    /// The body that is all of `file`, which was opened for this reader.
    pub(super) fn alone(
        disk: Arc<Disk>,
        file: Arc<dyn Handle>,
        seq: u64,
        entry: Option<(u128, Place)>,
    ) -> Self {
        Self { own: true, ..Self::new(disk, file, 0, seq, None, entry) }
    }

    /// The body of a fill that many read at once: they share what they have read, and keep little of it.
    pub(super) fn shared(disk: Arc<Disk>, file: Arc<dyn Handle>, seq: u64, recent: Arc<Recent>) -> Self {
        Self { shared: Some(recent), ..Self::new(disk, file, 0, seq, None, None) }
    }

    /// Bytes from `at` on: to the end of their chunk or piece, or to `limit`. `body_len` is how long the body is, as far as
    /// it is there.
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
        let len = chunk_len(body_len, index);
        let from = usize::try_from(at % CHUNK).unwrap_or(usize::MAX);
        let to = usize::try_from(limit - index * CHUNK).unwrap_or(usize::MAX).min(len);
        let found = self.find(Part { index, from, to, len }, limit, body_len).await;
        if let Err(error) = &found {
            self.give_up(error);
        }
        found.map(Some)
    }

    fn give_up(&self, error: &ReadError) {
        if matches!(error, ReadError::Busy) {
            return;
        }
        if let Some((key, place)) = self.entry {
            self.disk.index.remove_at(key, place);
        }
    }

    async fn find(&mut self, part: Part, limit: u64, body_len: u64) -> Result<Bytes, ReadError> {
        let Part { index, from, to, len } = part;
        if let Some(recent) = &self.shared {
            if let Some(chunk) = recent.find(index, len) {
                return Ok(part.of_piece(&copy(&chunk, part.piece())));
            }
        } else {
            self.decide(index, limit);
            if self.slice(index, len + CRC).is_some() || self.load(index, limit, body_len).await? {
                return Ok(self.sound(index, len)?.slice(from..to));
            }
        }
        self.held = None;
        match self.sums {
            Some(sums) if sums.are_of(index, len) => self.next_piece(part, sums).await,
            _ => self.first_piece(part).await,
        }
    }

    // === By chunks ===

    /// Chunk `index`, which is at hand, checked.
    fn sound(&mut self, index: u64, len: usize) -> Result<Bytes, ReadError> {
        let bytes = self.slice(index, len + CRC).ok_or(ReadError::Corrupt)?;
        if self.checked != Some(index) {
            if !chunk_is_sound(self.seq, index, &bytes) {
                return Err(self.damaged(index));
            }
            self.checked = Some(index);
        }
        Ok(bytes.slice(..len))
    }

    fn damaged(&self, index: u64) -> ReadError {
        count(&self.disk.counters.corrupt);
        let (folder, seq) = (self.disk.folder.root().display(), self.seq);
        log::warn!("disk {folder}: chunk {index} of object {seq:016x} is damaged");
        ReadError::Corrupt
    }

    /// `stored` bytes of chunk `index`, if they are at hand.
    fn slice(&self, index: u64, stored: usize) -> Option<Bytes> {
        let held = self.held.as_ref()?;
        let from = usize::try_from(index.checked_sub(held.first)?.checked_mul(STORED_CHUNK)?).ok()?;
        let to = from.checked_add(stored)?;
        (to <= held.bytes.len()).then(|| held.bytes.slice(from..to))
    }

    /// Decides at the first read of a range whether the system reads ahead: it begins to when it is asked for what the
    /// page cache has.
    fn decide(&mut self, index: u64, limit: u64) {
        if !self.own || self.decided == limit {
            return;
        }
        self.decided = limit;
        let ahead = limit.saturating_sub(index * CHUNK) > SHORT;
        if self.ahead != ahead {
            self.ahead = ahead;
            self.file.read_ahead(ahead);
        }
    }

    fn offset(&self, index: u64) -> u64 {
        self.base.saturating_add(index.saturating_mul(STORED_CHUNK))
    }

    /// Gets chunk `index`, and when the disk has to be waited for some behind it. False when there is no room for it.
    async fn load(&mut self, index: u64, limit: u64, body_len: u64) -> Result<bool, ReadError> {
        let last = limit.saturating_sub(1) / CHUNK;
        let reads_on = index > 0 && self.checked == Some(index - 1);
        self.checked = None;
        let stored = chunk_len(body_len, index) + CRC;
        // Nobody else has the chunk any more once it is sent.
        let before = self.held.take().and_then(|held| Some((held.bytes.try_into_mut().ok()?, held.lease)));
        let Some((mut buffer, mut lease)) = before.map_or_else(
            || self.disk.read_buffer.take(stored).map(|lease| (BytesMut::new(), lease)),
            |(buffer, mut lease)| lease.grow(stored).then_some((buffer, lease)),
        ) else {
            return Ok(false);
        };
        buffer.resize(stored, 0);
        let offset = self.offset(index);
        let bytes = match self.disk.read_cached(&self.file, offset, buffer) {
            Ok(bytes) => bytes,
            Err(buffer) => {
                // Nothing behind what was asked for.
                let ahead = if reads_on { (last.saturating_sub(index) + 1).min(AHEAD) } else { 1 };
                let all: usize = (index..index + ahead).map(|i| chunk_len(body_len, i) + CRC).sum();
                let len = if lease.grow(all) { all } else { stored };
                self.disk.read_waiting(&self.file, offset, (buffer, len), true, |bytes| bytes).await?
            }
        };
        self.held = Some(Held { first: index, bytes, lease });
        Ok(true)
    }

    // === By pieces ===

    /// Reads a chunk, and keeps of it what is handed out and the sums of the rest.
    async fn first_piece(&mut self, part: Part) -> Result<Bytes, ReadError> {
        let (seq, index, number, recent) = (self.seq, part.index, part.piece(), self.shared.clone());
        let cut = move |stored: Bytes| {
            let sums = Sums::of(seq, index, &stored)?;
            let chunk = stored.slice(..stored.len() - CRC);
            if let Some(recent) = recent {
                recent.add(index, &chunk);
            }
            Some((sums, copy(&chunk, number)))
        };
        let (offset, stored) = (self.offset(index), part.len + CRC);
        let cut = match self.disk.read_cached(&self.file, offset, BytesMut::zeroed(stored)) {
            Ok(bytes) => cut(bytes),
            Err(_) => {
                self.disk.read_waiting(&self.file, offset, (BytesMut::new(), stored), true, cut).await?
            }
        };
        let (sums, piece) = cut.ok_or_else(|| self.damaged(index))?;
        self.sums = Some(sums);
        Ok(part.of_piece(&piece))
    }

    /// Reads one piece of a chunk whose sums are known.
    async fn next_piece(&mut self, part: Part, sums: Sums) -> Result<Bytes, ReadError> {
        let (number, len) = (part.piece(), piece_len(part.len, part.piece()));
        let offset = self.offset(part.index).saturating_add(number.saturating_mul(PIECE) as u64);
        let piece = match self.disk.read_cached(&self.file, offset, BytesMut::zeroed(len)) {
            Ok(piece) => piece,
            Err(buffer) => {
                self.disk.read_waiting(&self.file, offset, (buffer, len), true, |bytes| bytes).await?
            }
        };
        if !sums.accept(number, &piece) {
            return Err(self.damaged(part.index));
        }
        Ok(part.of_piece(&piece))
    }
}
