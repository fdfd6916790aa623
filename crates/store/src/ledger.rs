//! Who owes how many bytes: the one bound of the memory tier.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes promised against the capacity. Only writers touch it.
///
/// Every byte is charged *before* the memory is taken, with a compare-and-swap against the capacity, so
/// the sum of complete objects and running fills never passes the bound, not even for a moment.
#[derive(Debug)]
pub(crate) struct Ledger {
    capacity: u64,
    fill_capacity: u64,
    used: AtomicU64,
    filling: AtomicU64,
    pinned: AtomicU64,
}

/// Adds `bytes` unless the sum would pass `limit`.
fn add_within(counter: &AtomicU64, bytes: u64, limit: u64) -> bool {
    counter.fetch_update(Relaxed, Relaxed, |now| now.checked_add(bytes).filter(|sum| *sum <= limit)).is_ok()
}

impl Ledger {
    pub(crate) fn new(capacity: u64, fill_capacity: u64) -> Self {
        Self {
            capacity,
            fill_capacity: fill_capacity.min(capacity),
            used: AtomicU64::new(0),
            filling: AtomicU64::new(0),
            pinned: AtomicU64::new(0),
        }
    }

    /// Earmarks `bytes` for a fill. They still have to be [taken](Self::take).
    pub(crate) fn earmark(&self, bytes: u64) -> bool {
        add_within(&self.filling, bytes, self.fill_capacity)
    }

    /// Gives earmarked bytes back.
    pub(crate) fn unmark(&self, bytes: u64) {
        self.filling.fetch_sub(bytes, Relaxed);
    }

    /// Takes `bytes` of the capacity; false when something has to be evicted first.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        add_within(&self.used, bytes, self.capacity)
    }

    /// Gives `bytes` of the capacity back.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Whether `bytes` fit beside the fills, and beside what is read though it is stored no more, once every object is evicted.
    pub(crate) fn fits_beside_fills(&self, bytes: u64) -> bool {
        self.filling().saturating_add(self.pinned()).saturating_add(bytes) <= self.capacity
    }

    /// `bytes` that were taken are of an object that is stored no more and still read.
    pub(crate) fn pin(&self, bytes: u64) {
        self.pinned.fetch_add(bytes, Relaxed);
    }

    /// Gives `bytes` back of which nothing is read any more.
    pub(crate) fn unpin(&self, bytes: u64) {
        self.pinned.fetch_sub(bytes, Relaxed);
        self.give_back(bytes);
    }

    /// Bytes of objects that are stored no more and still read.
    pub(crate) fn pinned(&self) -> u64 {
        self.pinned.load(Relaxed)
    }

    /// Bytes earmarked for fills.
    pub(crate) fn filling(&self) -> u64 {
        self.filling.load(Relaxed)
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The most that one fill could ever hold.
    pub(crate) fn fill_capacity(&self) -> u64 {
        self.fill_capacity
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;

    #[test]
    fn never_passes_its_bounds() {
        let ledger = Ledger::new(100, 60);
        assert!(ledger.take(90));
        assert!(!ledger.take(11));
        assert!(ledger.take(10));
        ledger.give_back(100);
        assert_eq!(ledger.used(), 0);
        assert!(ledger.earmark(60));
        assert!(!ledger.earmark(1));
        assert!(!ledger.earmark(u64::MAX), "the sum must not wrap");
        assert!(ledger.fits_beside_fills(40) && !ledger.fits_beside_fills(41));
        ledger.unmark(60);
        assert_eq!(ledger.filling(), 0);
    }

    #[test]
    fn what_is_read_takes_room_until_it_is_read_no_more() {
        let ledger = Ledger::new(100, 60);
        assert!(ledger.take(70));
        ledger.pin(70);
        assert!(!ledger.take(31) && !ledger.fits_beside_fills(31) && ledger.fits_beside_fills(30));
        ledger.unpin(70);
        assert!(ledger.fits_beside_fills(100) && ledger.take(100));
        assert_eq!(ledger.pinned(), 0);
    }
}
