//! The bound on the bytes of a disk.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a disk, taken before they are written.
#[derive(Debug)]
pub(crate) struct Space {
    size: u64,
    used: AtomicU64,
}

impl Space {
    pub(crate) fn new(size: u64) -> Self {
        Self { size, used: AtomicU64::new(0) }
    }

    /// Takes `bytes` if `spare` bytes stay free then.
    pub(crate) fn take(&self, bytes: u64, spare: u64) -> bool {
        let limit = self.size.saturating_sub(spare);
        self.used
            .fetch_update(Relaxed, Relaxed, |used| used.checked_add(bytes).filter(|sum| *sum <= limit))
            .is_ok()
    }

    /// Takes what is there already, or cannot be refused.
    pub(crate) fn charge(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        // Saturating: an account that is wrong by a little must not wrap into a disk that is full for ever.
        let _ = self.used.fetch_update(Relaxed, Relaxed, |used| Some(used.saturating_sub(bytes)));
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes by which more is taken than may be.
    pub(crate) fn excess(&self, wanted: u64) -> u64 {
        self.used().saturating_add(wanted).saturating_sub(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::Space;

    #[test]
    fn keeps_its_bound_and_the_spare() {
        let space = Space::new(100);
        assert!(space.take(70, 30));
        assert!(!space.take(1, 30));
        assert!(space.take(30, 0));
        assert!(!space.take(1, 0) && !space.take(u64::MAX, 0));
        assert_eq!(space.excess(5), 5);
        space.give_back(200);
        assert_eq!(space.used(), 0);
    }
}
