//! A chunk piece by piece, for readers who may hold little.
//!
//! A chunk has one CRC, so the first piece of it takes a read of all of it. The CRCs of its pieces are noted then, and the
//! others are read and checked one by one.

use std::collections::VecDeque;

use bytes::Bytes;
use crc32fast::Hasher;
use parking_lot::Mutex;

use super::record::{CHUNK, chunk_hasher};

/// The most that such a reader gets at a time, in bytes: if its client does not take it, that is what it holds.
pub(super) const PIECE: usize = 16 << 10;
const PIECES: usize = CHUNK as usize / PIECE;
/// Chunks kept for all readers of a fill.
const RECENT: usize = 8;

/// The CRCs of the pieces of a chunk that is sound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    index: u64,
    len: usize,
    crcs: [u32; PIECES],
}

impl Sums {
    /// Those of `stored`, if that is chunk `index` of the object with number `seq`.
    pub(super) fn of(seq: u64, index: u64, stored: &[u8]) -> Option<Self> {
        let (data, crc) = stored.split_last_chunk::<4>()?;
        let (mut whole, mut crcs) = (chunk_hasher(seq, index), [0; PIECES]);
        for (piece, sum) in data.chunks(PIECE).zip(&mut crcs) {
            let mut hasher = Hasher::new();
            hasher.update(piece);
            whole.combine(&hasher);
            *sum = hasher.finalize();
        }
        let sound = data.len() as u64 <= CHUNK && whole.finalize() == u32::from_le_bytes(*crc);
        sound.then_some(Self { index, len: data.len(), crcs })
    }

    /// Whether they are those of chunk `index`, in this length.
    pub(super) fn are_of(&self, index: u64, len: usize) -> bool {
        (self.index, self.len) == (index, len)
    }

    /// Whether `bytes` are piece `number`.
    pub(super) fn accept(&self, number: usize, bytes: &[u8]) -> bool {
        bytes.len() == piece_len(self.len, number)
            && self.crcs.get(number).is_some_and(|crc| *crc == crc32fast::hash(bytes))
    }
}

/// The length of piece `number` of a chunk of `len` bytes.
pub(super) fn piece_len(len: usize, number: usize) -> usize {
    len.saturating_sub(number.saturating_mul(PIECE)).min(PIECE)
}

/// Piece `number` of a chunk, as a copy: nobody who holds it holds the chunk.
pub(super) fn copy(chunk: &[u8], number: usize) -> Bytes {
    let from = number.saturating_mul(PIECE).min(chunk.len());
    Bytes::copy_from_slice(&chunk[from..from + piece_len(chunk.len(), number)])
}

/// The latest chunks, checked, that readers of one fill have read from its file.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(u64, Bytes)>>);

impl Recent {
    /// Chunk `index`, if it is here in that length: the last one of a fill grows.
    pub(super) fn find(&self, index: u64, len: usize) -> Option<Bytes> {
        let chunks = self.0.lock();
        let found = chunks.iter().find(|(number, chunk)| *number == index && chunk.len() == len);
        found.map(|(_, chunk)| chunk.clone())
    }

    pub(super) fn add(&self, index: u64, chunk: &Bytes) {
        let mut chunks = self.0.lock();
        chunks.retain(|(number, _)| *number != index);
        if chunks.len() >= RECENT {
            chunks.pop_front();
        }
        chunks.push_back((index, chunk.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::record::push_chunk;

    #[test]
    fn a_chunk_and_its_pieces_are_known_by_their_sums() {
        for len in [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, CHUNK as usize - 1, CHUNK as usize] {
            let data: Vec<u8> = (0..len).map(|at| (at ^ (at >> 8)).to_le_bytes()[0]).collect();
            let mut stored = Vec::new();
            push_chunk(&mut stored, 5, 7, &data);
            let sums = Sums::of(5, 7, &stored).unwrap();
            assert!(Sums::of(6, 7, &stored).is_none() && Sums::of(5, 8, &stored).is_none());
            assert!(sums.are_of(7, len) && !sums.are_of(7, len + 1) && !sums.are_of(6, len));
            let pieces: Vec<Bytes> = (0..len.div_ceil(PIECE)).map(|number| copy(&data, number)).collect();
            assert_eq!(pieces.concat(), data);
            for (number, piece) in pieces.iter().enumerate() {
                assert!(sums.accept(number, piece) && !sums.accept(number + 1, piece), "{len}: {number}");
                let mut wrong = piece.to_vec();
                wrong[piece.len() / 2] ^= 1;
                assert!(!sums.accept(number, &wrong) && !sums.accept(number, &piece[1..]));
            }
            stored[len / 2] ^= 1;
            assert!(Sums::of(5, 7, &stored).is_none());
        }
        assert!(Sums::of(5, 7, b"abc").is_none());
    }
}
