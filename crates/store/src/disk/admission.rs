//! What the disk takes: everything, or only what is asked for a second time.
//!
//! Most objects are asked for once, and each costs a write that nobody reads. Those who wait for the second request write a
//! third or a quarter; `make hit-ratio` tells what it costs. First requests are [remembered](super::ghosts) in a few bits
//! each, for a time, and not over a restart.

use std::sync::atomic::Ordering::Relaxed;

use super::Disk;
use super::stats::count;

impl Disk {
    /// What has `key` is about to be fetched: whether it is taken. The request is remembered.
    pub(crate) fn admits(&self, key: u128) -> bool {
        let Some(requested) = &self.requested else { return true };
        // Noted in any case: what is on the disk may leave it before the next request.
        requested.note(key) || self.may_turn_up(key)
    }

    /// Whether there is an object with this key, or one that has not been found yet: written before the start, or by another
    /// process that still writes. What is fetched then must take its place, or the older one would come back.
    pub(crate) fn may_turn_up(&self, key: u128) -> bool {
        self.may_have(key) || !self.is_recovered() || !self.may_evict.load(Relaxed)
    }

    /// An object was not taken because it was asked for for the first time.
    pub(crate) fn count_first_request(&self) {
        count(&self.counters.first_requests);
    }
}
