//! Bodies that have come as a whole and are not on the disk yet: how many, and waiting for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{CLOSE_PATIENCE, Disk};

/// How many bodies are on their last way to the disk.
#[derive(Debug, Default)]
pub(super) struct Finishing {
    count: Mutex<u64>,
    done: Condvar,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Unfinished(Arc<Disk>);

impl Unfinished {
    pub(super) fn begin(disk: &Arc<Disk>) -> Self {
        *disk.finishing.count.lock() += 1;
        Self(Arc::clone(disk))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let finishing = &self.0.finishing;
        let mut count = finishing.count.lock();
        *count = count.saturating_sub(1);
        finishing.done.notify_all();
    }
}

impl Disk {
    /// Bodies that have come as a whole, and are written or synced.
    pub(super) fn unfinished(&self) -> u64 {
        *self.finishing.count.lock()
    }

    /// Waits until no body is on its last way to the disk; false when that takes longer than `patience`.
    pub(super) fn all_finished(&self, patience: Duration) -> bool {
        let end = Instant::now().checked_add(patience);
        let mut count = self.finishing.count.lock();
        while *count > 0 {
            match end {
                Some(end) if self.finishing.done.wait_until(&mut count, end).timed_out() => {
                    return *count == 0;
                }
                Some(_) => {}
                None => self.finishing.done.wait(&mut count),
            }
        }
        true
    }

    /// Gives the bodies that have come as a whole the time to get to the disk. What takes longer is not kept.
    pub(super) fn finish_bodies(&self) {
        if !self.all_finished(CLOSE_PATIENCE) {
            log::warn!("disk {}: bodies that are not synced yet are given up", self.folder.root().display());
        }
    }
}
