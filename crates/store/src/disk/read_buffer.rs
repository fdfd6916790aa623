//! Memory of chunks that were read for clients who have not taken them yet.
//!
//! A client that stops keeps the chunk it has not taken for as long as its write may take. What all of them hold together is
//! bounded here: who finds no place gets along with [pieces](super::pieces).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bound, and how much of it is taken.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    limit: u64,
    used: AtomicU64,
}

impl ReadBuffer {
    /// Room for `limit` bytes.
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Bytes taken.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Room for `bytes`, if there is some.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Lease> {
        let bytes = bytes as u64;
        self.add(bytes).then(|| Lease { of: Arc::clone(self), bytes })
    }

    fn add(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }
}

/// Bytes that are taken until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    of: Arc<ReadBuffer>,
    bytes: u64,
}

impl Lease {
    /// Room for `bytes` in all. False when there is none; what it has it keeps.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let more = (bytes as u64).saturating_sub(self.bytes);
        let grown = more == 0 || self.of.add(more);
        if grown {
            self.bytes = self.bytes.saturating_add(more);
        }
        grown
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_lent_than_there_is_and_all_of_it_comes_back() {
        let room = ReadBuffer::new(100);
        let mut first = room.take(60).unwrap();
        assert!(room.take(41).is_none());
        let second = room.take(30).unwrap();
        assert!(!first.grow(71) && first.grow(70) && first.grow(10));
        assert_eq!(room.used(), 100);
        drop(second);
        assert!(room.take(31).is_none() && room.take(30).is_some());
        drop(first);
        assert_eq!(room.used(), 0);
    }
}
