//! Bytes that go into a file in one call: gathered here, or in pieces that are in memory anyway.

use std::io::{self, IoSlice};

use bytes::Bytes;

use super::io::{Handle, write_all_vectored};
use super::record::{CHUNK, chunk_hasher};

/// From so many bytes on a piece is written from where it is. Smaller ones are gathered: many buffers of a call cost more than
/// copies of them.
const SHARED: usize = 16 << 10;

/// Bytes to be written one after the other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    gathered: Vec<u8>,
    /// Pieces, each with the length of what was gathered in front of it.
    shared: Vec<(usize, Bytes)>,
    /// Bytes of all.
    len: usize,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Empties it, and keeps the memory for what is gathered next.
    pub(super) fn clear(&mut self) {
        self.gathered.clear();
        self.shared.clear();
        self.len = 0;
    }

    /// Appends a copy of `bytes`.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
        self.len = self.len.saturating_add(bytes.len());
    }

    /// Appends `bytes`, which must not be copied if they are many.
    fn push(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED {
            return self.extend(&bytes);
        }
        self.len = self.len.saturating_add(bytes.len());
        self.shared.push((self.gathered.len(), bytes));
    }

    /// Appends zeros until all is `len` bytes long.
    pub(super) fn pad(&mut self, len: usize) {
        let more = len.saturating_sub(self.len);
        self.gathered.resize(self.gathered.len().saturating_add(more), 0);
        self.len = self.len.saturating_add(more);
    }

    /// Appends a part of a body as it lies on the disk: chunks of object `seq` from number `index` on, each with its CRC.
    pub(super) fn push_body(&mut self, seq: u64, mut index: u64, pieces: impl IntoIterator<Item = Bytes>) {
        let (mut crc, mut filled) = (chunk_hasher(seq, index), 0);
        for mut piece in pieces {
            while !piece.is_empty() {
                let now = piece.split_to(piece.len().min(CHUNK as usize - filled));
                crc.update(&now);
                filled += now.len();
                self.push(now);
                if filled == CHUNK as usize {
                    (index, filled) = (index.saturating_add(1), 0);
                    let whole = std::mem::replace(&mut crc, chunk_hasher(seq, index));
                    self.extend(&whole.finalize().to_le_bytes());
                }
            }
        }
        if filled > 0 {
            self.extend(&crc.finalize().to_le_bytes());
        }
    }

    /// Writes all of it at `offset`.
    pub(super) fn write(&self, file: &dyn Handle, offset: u64) -> io::Result<()> {
        let mut buffers = Vec::with_capacity(self.shared.len().saturating_mul(2).saturating_add(1));
        let mut done = 0;
        for (before, piece) in &self.shared {
            buffers.push(IoSlice::new(&self.gathered[done..*before]));
            buffers.push(IoSlice::new(piece));
            done = *before;
        }
        buffers.push(IoSlice::new(&self.gathered[done..]));
        write_all_vectored(file, &mut buffers, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::io::faulty::{Fault, FaultyFiles};
    use crate::disk::io::{Files, Mode, read_full};
    use crate::disk::record::push_chunk;

    fn written(batch: &Batch, fault: Option<Fault>) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let files = FaultyFiles::sound(fault.unwrap_or(Fault::Short), true);
        let file = files.open(&folder.path().join("file"), Mode::Create).unwrap();
        if fault.is_some() {
            files.break_now();
        }
        batch.write(&*file, 5).unwrap();
        assert_eq!(files.happened(), fault.is_some());
        let mut bytes = vec![0; batch.len() + 100];
        let read = read_full(&*file, &mut bytes, 5).unwrap();
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn pieces_of_any_size_make_the_same_chunks() {
        let body: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let mut wanted = b"front".to_vec();
        for (index, chunk) in (3..).zip(body.chunks(CHUNK as usize)) {
            push_chunk(&mut wanted, 9, index, chunk);
        }
        wanted.extend_from_slice(b"behind\0\0");
        for size in [1, 1000, SHARED, 65_535, 65_536, 65_537, 200_000] {
            let mut batch = Batch::default();
            batch.extend(b"front");
            batch.push_body(9, 3, body.chunks(size).map(Bytes::copy_from_slice));
            batch.extend(b"behind");
            batch.pad(wanted.len());
            assert_eq!(batch.len(), wanted.len(), "{size}");
            for fault in [None, Some(Fault::Short)] {
                assert!(written(&batch, fault) == wanted, "{size}, {fault:?}");
            }
            batch.clear();
            assert_eq!((batch.len(), written(&batch, None).len()), (0, 0));
        }
    }

    #[test]
    fn large_pieces_are_not_copied_and_small_ones_take_one_buffer() {
        let mut batch = Batch::default();
        batch.push_body(1, 0, [Bytes::from(vec![1; 3 * CHUNK as usize])]);
        assert_eq!((batch.shared.len(), batch.gathered.len()), (3, 12));
        batch.push_body(1, 3, vec![Bytes::from_static(&[2; 100]); 10_000]);
        assert_eq!(batch.shared.len(), 3);
    }

    #[test]
    fn more_buffers_than_a_call_takes_are_written() {
        let mut batch = Batch::default();
        let piece = Bytes::from(vec![7; SHARED]);
        for number in 0..1500u32 {
            batch.extend(&number.to_le_bytes());
            batch.push(piece.clone());
        }
        let bytes = written(&batch, None);
        assert_eq!(bytes.len(), batch.len());
        for (number, part) in (0u32..).zip(bytes.chunks(SHARED + 4)) {
            assert!(part[..4] == number.to_le_bytes() && part[4..] == piece, "{number}");
        }
    }
}
