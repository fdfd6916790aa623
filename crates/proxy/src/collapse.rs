//! The lock behind which requests for one key wait for the first of them.

use pingora_cache::CacheKey;
use pingora_cache::lock::{CacheKeyLock, CacheKeyLockImpl, CacheLock, LockStatus, Locked, WritePermit};
use seawall_guard::with_current_connection;
use std::time::Duration;

use crate::predictor::FIRST_REQUEST;

/// Pingora's lock, and a word to the front door about requests that wait: their clients may leave.
pub struct Collapse {
    inner: Box<CacheKeyLockImpl>,
}

impl Collapse {
    /// A lock whose holder is given up on after `age`. Lives as long as the process, as Pingora wants it.
    #[must_use]
    pub fn leak(age: Duration) -> &'static CacheKeyLockImpl {
        Box::leak(Box::new(Self { inner: CacheLock::new_boxed(age) }))
    }
}

impl CacheKeyLock for Collapse {
    fn lock(&self, key: &CacheKey, stale_writer: bool) -> Locked {
        let locked = self.inner.lock(key, stale_writer);
        if !locked.is_write() {
            with_current_connection(|connection| connection.set_waiting(true));
        }
        locked
    }

    /// What the disk takes at the second request is stored by the next of those who wait.
    fn custom_lock_status(&self, reason: &'static str) -> LockStatus {
        if reason == FIRST_REQUEST { LockStatus::TransientError } else { LockStatus::GiveUp }
    }

    fn release(&self, key: &CacheKey, permit: WritePermit, reason: LockStatus) {
        self.inner.release(key, permit, reason);
    }
}

/// The current request waits no longer.
pub(crate) fn waits_no_more() {
    with_current_connection(|connection| connection.set_waiting(false));
}
