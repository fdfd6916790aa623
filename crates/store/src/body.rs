//! A body in memory: pieces whose size is known, so that what is charged is what is held.

use bytes::Bytes;

/// The size of a full piece. One piece is one write to the client.
pub(crate) const PIECE: usize = 64 << 10;
/// The first piece of a body of unknown length; each next one doubles up to [`PIECE`].
const FIRST_PIECE: usize = 4 << 10;
/// What a piece costs beside its bytes: its slot, its share of the index, the shared reference count.
pub(crate) const PIECE_OVERHEAD: u64 = 96;

#[derive(Debug)]
struct Piece {
    start: u64,
    bytes: Bytes,
}

/// A complete, immutable body.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pieces: Vec<Piece>,
    len: u64,
}

impl Body {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.pieces.len() as u64).saturating_mul(PIECE_OVERHEAD).saturating_add(self.len)
    }

    /// The same bytes for somebody who accounts for them himself.
    pub(crate) fn share(&self) -> Self {
        let share = |piece: &Piece| Piece { start: piece.start, bytes: piece.bytes.clone() };
        Self { pieces: self.pieces.iter().map(share).collect(), len: self.len }
    }

    /// A body of zeros that takes no memory.
    #[cfg(feature = "simulation")]
    pub(crate) fn zeros(len: u64) -> Self {
        static ZEROS: [u8; PIECE] = [0; PIECE];
        let piece = |start| Piece {
            start,
            bytes: Bytes::from_static(&ZEROS[..PIECE.min(usize::try_from(len - start).unwrap_or(PIECE))]),
        };
        Self { pieces: (0..len).step_by(PIECE).map(piece).collect(), len }
    }

    /// The bytes from `at` to the end of their piece or to `limit`, without a copy; none outside the body.
    pub(crate) fn read(&self, at: u64, limit: u64) -> Option<Bytes> {
        read(&self.pieces, at, limit.min(self.len))
    }
}

fn read(pieces: &[Piece], at: u64, limit: u64) -> Option<Bytes> {
    if at >= limit {
        return None;
    }
    let piece = &pieces[pieces.partition_point(|piece| piece.start <= at).checked_sub(1)?];
    let from = usize::try_from(at - piece.start).ok()?;
    let to = usize::try_from(limit - piece.start).unwrap_or(usize::MAX).min(piece.bytes.len());
    if from == 0 && to == piece.bytes.len() {
        return Some(piece.bytes.clone());
    }
    (from < to).then(|| piece.bytes.slice(from..to))
}

/// A body on its way in. Everything is copied into pieces of its own: a slice from the network pins a
/// receive buffer whose size cannot be seen, and could not be charged.
#[derive(Debug)]
pub(crate) struct Builder {
    pieces: Vec<Piece>,
    sealed: u64,
    tail: Vec<u8>,
    next: usize,
    expected: Option<u64>,
}

impl Builder {
    /// Starts an empty body that will be `expected` bytes long, where that is known.
    pub(crate) fn new(expected: Option<u64>) -> Self {
        Self { pieces: Vec::new(), sealed: 0, tail: Vec::new(), next: FIRST_PIECE, expected }
    }

    /// What a body of `len` bytes, known from the start, takes in memory.
    pub(crate) fn cost_of(len: u64) -> u64 {
        len.div_ceil(PIECE as u64).saturating_mul(PIECE_OVERHEAD).saturating_add(len)
    }

    /// How much memory more it would take to append `more` bytes.
    pub(crate) fn growth(&self, more: usize) -> u64 {
        let mut missing = more.saturating_sub(self.tail.capacity() - self.tail.len());
        let mut at = self.sealed.saturating_add(self.tail.capacity() as u64);
        let (mut growth, mut next) = (0u64, self.next);
        while missing > 0 {
            let size = self.piece_size(next, at);
            growth = growth.saturating_add(size as u64).saturating_add(PIECE_OVERHEAD);
            at = at.saturating_add(size as u64);
            next = next.saturating_mul(2).min(PIECE);
            missing = missing.saturating_sub(size);
        }
        growth
    }

    /// The size of the piece that starts at `at`.
    fn piece_size(&self, next: usize, at: u64) -> usize {
        match self.expected {
            Some(expected) => {
                usize::try_from(expected.saturating_sub(at)).unwrap_or(usize::MAX).clamp(1, PIECE)
            }
            None => next,
        }
    }

    /// Appends a copy of `data`.
    pub(crate) fn append(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.tail.len() == self.tail.capacity() {
                self.seal();
                let size = self.piece_size(self.next, self.sealed);
                self.tail = Vec::with_capacity(size);
                self.next = self.next.saturating_mul(2).min(PIECE);
            }
            let room = self.tail.capacity() - self.tail.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.tail.extend_from_slice(now);
            data = later;
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let mut tail = std::mem::take(&mut self.tail);
            tail.shrink_to_fit();
            let start = self.sealed;
            self.sealed = start.saturating_add(tail.len() as u64);
            self.pieces.push(Piece { start, bytes: tail.into() });
        }
    }

    /// The bytes from `at` to `limit`, as far as they are at hand in one piece. Full pieces are shared; of
    /// the unfinished one at most `copy` bytes are copied.
    pub(crate) fn read(&self, at: u64, limit: u64, copy: usize) -> Option<Bytes> {
        if at < self.sealed {
            return read(&self.pieces, at, limit.min(self.sealed));
        }
        let from = usize::try_from(at - self.sealed).ok()?;
        let to = usize::try_from(limit.checked_sub(self.sealed)?).unwrap_or(usize::MAX);
        let to = to.min(self.tail.len()).min(from.saturating_add(copy));
        (from < to).then(|| Bytes::copy_from_slice(&self.tail[from..to]))
    }

    /// Hands the pieces over, for a fill that stops being stored.
    pub(crate) fn into_chunks(mut self) -> impl Iterator<Item = Bytes> {
        self.seal();
        self.pieces.into_iter().map(|piece| piece.bytes)
    }

    /// The complete body. One that fits into a single piece becomes one, so that a hit is one write.
    pub(crate) fn finish(mut self) -> Body {
        self.seal();
        let len = self.sealed;
        if self.pieces.len() > 1 && len <= PIECE as u64 {
            let joined: Vec<u8> =
                self.pieces.iter().map(|piece| piece.bytes.as_ref()).collect::<Vec<_>>().concat();
            self.pieces = vec![Piece { start: 0, bytes: joined.into() }];
        }
        self.pieces.shrink_to_fit();
        Body { pieces: self.pieces, len }
    }
}

#[cfg(test)]
mod tests;
