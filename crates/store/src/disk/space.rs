//! The bound on the bytes of a disk.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a disk, taken before they are written.
#[derive(Debug)]
pub(crate) struct Space {
    size: u64,
    /// What may be taken now: less than `size` while the file system has less.
    limit: AtomicU64,
    used: AtomicU64,
}

impl Space {
    pub(crate) fn new(size: u64) -> Self {
        Self { size, limit: AtomicU64::new(size), used: AtomicU64::new(0) }
    }

    /// Takes `bytes` if `spare` bytes stay free then.
    pub(crate) fn take(&self, bytes: u64, spare: u64) -> bool {
        let limit = self.limit().saturating_sub(spare);
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

    /// What may be taken now.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// The file system has `free` bytes beside what is used, and `leave` of them are for others. Hands out the limit before, and
    /// from now on.
    pub(crate) fn fit(&self, free: u64, leave: u64) -> (u64, u64) {
        let limit = self.used().saturating_add(free).saturating_sub(leave).min(self.size);
        (self.limit.swap(limit, Relaxed), limit)
    }

    /// Bytes by which more is taken than may be.
    pub(crate) fn excess(&self, wanted: u64) -> u64 {
        self.used().saturating_add(wanted).saturating_sub(self.limit())
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

    #[test]
    fn gives_way_when_the_file_system_is_short_and_comes_back() {
        let space = Space::new(100);
        assert!(space.take(60, 0));
        assert_eq!(space.fit(1000, 0), (100, 100));
        assert_eq!(space.fit(10, 0), (100, 70));
        assert!(!space.take(11, 0) && space.take(10, 0));
        assert_eq!(space.fit(0, 20), (70, 50));
        assert_eq!(space.excess(0), 20);
        space.give_back(70);
        assert_eq!(space.fit(0, 20), (50, 0), "it does not wrap");
        assert_eq!(space.fit(200, 0), (0, 100));
    }
}
