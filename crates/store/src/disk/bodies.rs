//! Bodies in files of their own: which there are, and which goes next.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

/// A body in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyFile {
    /// Its number, which is its name.
    pub(crate) seq: u64,
    pub(crate) key: u128,
    /// Bytes on disk.
    pub(crate) bytes: u64,
}

#[derive(Debug, Default)]
struct Inner {
    live: HashMap<u64, BodyFile, ahash::RandomState>,
    /// The oldest first. Numbers that are no longer alive are skipped.
    order: VecDeque<u64>,
}

/// The files, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    inner: Mutex<Inner>,
}

impl Bodies {
    /// Adds a file behind all others.
    pub(crate) fn add(&self, file: BodyFile) {
        let mut inner = self.inner.lock();
        if inner.live.insert(file.seq, file).is_none() {
            inner.order.push_back(file.seq);
        }
        if inner.order.len() > inner.live.len().saturating_mul(2).saturating_add(64) {
            let Inner { live, order } = &mut *inner;
            order.retain(|seq| live.contains_key(seq));
        }
    }

    /// Adds what was found at the start, in front of what came since.
    pub(crate) fn add_found(&self, mut files: Vec<BodyFile>) {
        files.sort_unstable_by_key(|file| file.seq);
        let mut inner = self.inner.lock();
        for file in files.into_iter().rev() {
            if inner.live.insert(file.seq, file).is_none() {
                inner.order.push_front(file.seq);
            }
        }
    }

    /// Whether the file with this number is known.
    pub(crate) fn has(&self, seq: u64) -> bool {
        self.inner.lock().live.contains_key(&seq)
    }

    pub(crate) fn remove(&self, seq: u64) -> Option<BodyFile> {
        self.inner.lock().live.remove(&seq)
    }

    /// The oldest file, which leaves the order but stays known.
    pub(crate) fn pop(&self) -> Option<BodyFile> {
        let mut inner = self.inner.lock();
        loop {
            let seq = inner.order.pop_front()?;
            if let Some(file) = inner.live.get(&seq) {
                return Some(*file);
            }
        }
    }

    /// Gives a popped file another round.
    pub(crate) fn push_back(&self, seq: u64) {
        let mut inner = self.inner.lock();
        if inner.live.contains_key(&seq) {
            inner.order.push_back(seq);
        }
    }

    /// The number of the oldest file.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let inner = self.inner.lock();
        inner.order.iter().find(|seq| inner.live.contains_key(seq)).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().live.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_with_further_rounds() {
        let bodies = Bodies::default();
        let file = |seq| BodyFile { seq, key: seq.into(), bytes: 1 };
        bodies.add(file(5));
        bodies.add_found(vec![file(2), file(1)]);
        assert_eq!(bodies.oldest(), Some(1));
        assert_eq!(bodies.pop(), Some(file(1)));
        bodies.push_back(1);
        bodies.remove(2);
        assert_eq!(bodies.pop().map(|f| f.seq), Some(5));
        assert_eq!(bodies.pop().map(|f| f.seq), Some(1));
        assert_eq!(bodies.pop(), None);
        for seq in 10..1000 {
            bodies.add(file(seq));
            bodies.remove(seq);
        }
        assert!(bodies.inner.lock().order.len() < 100);
    }
}
