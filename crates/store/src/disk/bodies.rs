//! Bodies in files of their own: which there are, and which goes next.
//!
//! They queue beside the segments, newcomers and those that earned a place apart. To compare a file with a segment, each
//! file knows the last segment there was when it was queued: a file is older than all segments after that.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use super::segment::Class;

/// A body in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyFile {
    /// Its number, which is its name.
    pub(crate) seq: u64,
    pub(crate) key: u128,
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Where it queues.
    pub(crate) class: Class,
    /// The number of the last segment there was when it was queued.
    pub(crate) after: u32,
}

#[derive(Debug, Default)]
struct Inner {
    live: HashMap<u64, BodyFile, ahash::RandomState>,
    /// Of each class, the oldest first. Numbers that are no longer alive are skipped.
    order: [VecDeque<u64>; 2],
    bytes: [u64; 2],
}

impl Inner {
    fn insert(&mut self, file: BodyFile) -> bool {
        self.bytes[file.class as usize] = self.bytes[file.class as usize].saturating_add(file.bytes);
        self.live.insert(file.seq, file).inspect(|before| self.uncount(before)).is_none()
    }

    fn uncount(&mut self, file: &BodyFile) {
        self.bytes[file.class as usize] = self.bytes[file.class as usize].saturating_sub(file.bytes);
    }
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
        if inner.insert(file) {
            inner.order[file.class as usize].push_back(file.seq);
        }
        let Inner { live, order, .. } = &mut *inner;
        if order[0].len() + order[1].len() > live.len().saturating_mul(2).saturating_add(64) {
            order.iter_mut().for_each(|order| order.retain(|seq| live.contains_key(seq)));
        }
    }

    /// Adds what was found at the start, in front of what came since.
    pub(crate) fn add_found(&self, mut files: Vec<BodyFile>) {
        files.sort_unstable_by_key(|file| (file.after, file.seq));
        let mut inner = self.inner.lock();
        for file in files.into_iter().rev() {
            if inner.insert(file) {
                inner.order[file.class as usize].push_front(file.seq);
            }
        }
    }

    /// Whether the file with this number is known.
    pub(crate) fn has(&self, seq: u64) -> bool {
        self.inner.lock().live.contains_key(&seq)
    }

    pub(crate) fn remove(&self, seq: u64) -> Option<BodyFile> {
        let mut inner = self.inner.lock();
        let file = inner.live.remove(&seq)?;
        inner.uncount(&file);
        Some(file)
    }

    /// The oldest file of a class, which leaves the order but stays known.
    pub(crate) fn pop(&self, class: Class) -> Option<BodyFile> {
        let mut inner = self.inner.lock();
        loop {
            let seq = inner.order[class as usize].pop_front()?;
            if let Some(file) = inner.live.get(&seq) {
                return Some(*file);
            }
        }
    }

    /// Gives a popped file another round, in the main class. `after` is the number of the last segment there is.
    pub(crate) fn push_back(&self, seq: u64, after: u32) {
        let mut inner = self.inner.lock();
        if let Some(file) = inner.live.get(&seq).copied() {
            inner.insert(BodyFile { class: Class::Main, after, ..file });
            inner.order[Class::Main as usize].push_back(seq);
        }
    }

    /// After which segment the oldest file of a class was queued.
    pub(crate) fn oldest(&self, class: Class) -> Option<u32> {
        let inner = self.inner.lock();
        inner.order[class as usize].iter().find_map(|seq| inner.live.get(seq)).map(|file| file.after)
    }

    /// Forgets all files. Hands out their bytes.
    pub(crate) fn clear(&self) -> u64 {
        let gone = std::mem::take(&mut *self.inner.lock());
        gone.bytes[0].saturating_add(gone.bytes[1])
    }

    /// Bytes of a class.
    pub(crate) fn charged(&self, class: Class) -> u64 {
        self.inner.lock().bytes[class as usize]
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
        let file = |seq| BodyFile { seq, key: seq.into(), bytes: 1, class: Class::Small, after: 7 };
        bodies.add(file(5));
        bodies.add_found(vec![file(2), file(1)]);
        assert_eq!(bodies.charged(Class::Small), 3);
        assert_eq!((bodies.oldest(Class::Small), bodies.oldest(Class::Main)), (Some(7), None));
        assert_eq!(bodies.pop(Class::Small), Some(file(1)));
        bodies.push_back(1, 9);
        assert_eq!(bodies.oldest(Class::Main), Some(9));
        bodies.remove(2);
        assert_eq!((bodies.charged(Class::Small), bodies.charged(Class::Main)), (1, 1));
        assert_eq!(bodies.pop(Class::Small).map(|f| f.seq), Some(5));
        assert_eq!(bodies.pop(Class::Small), None);
        assert_eq!(bodies.pop(Class::Main).map(|f| f.seq), Some(1));
        for seq in 10..1000 {
            bodies.add(file(seq));
            bodies.remove(seq);
        }
        assert!(bodies.inner.lock().order[0].len() < 100);
    }
}
