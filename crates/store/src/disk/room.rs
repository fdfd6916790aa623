//! The room that the file system leaves.
//!
//! `size` is what the operator gives; the file system may have less, because others fill it or because it was never that
//! large. Then the disk takes what there is, less what it leaves to others (`min_free`), and gives up what is oldest when
//! that shrinks. So a file system that is full makes the cache smaller; it does not freeze it.

use std::sync::Arc;

use super::Disk;
use super::writer::Writer;

/// What is given up in one look at most, in segments or files: puts do not wait for long.
const GIVEN_UP: usize = 8;

impl Disk {
    /// Bounds what may be taken by what the file system has.
    pub(super) fn fit(&self) {
        let free = match self.files.free(self.folder.root()) {
            Ok(free) => free,
            // What held before goes on to hold.
            Err(error) => return self.health.read_failed(&error),
        };
        let leave = self.config.min_free;
        let (before, now) = self.space.fit(free, leave);
        let size = self.space.size();
        if now < size && before >= size {
            log::warn!(
                "disk {}: the file system has {} MiB left, of which {} are for others: the cache takes at most {} MiB of \
                 its {}, until there is more",
                self.folder.root().display(),
                free >> 20,
                leave >> 20,
                now >> 20,
                size >> 20
            );
        } else if now >= size && before < size {
            log::info!(
                "disk {}: there is room again for all of its {} MiB",
                self.folder.root().display(),
                size >> 20
            );
        }
    }
}

impl Writer {
    /// Looks how much the file system has, and gives up what it has not.
    pub(super) fn give_way(&mut self) {
        let disk = Arc::clone(&self.disk);
        disk.fit();
        for _ in 0..GIVEN_UP {
            if disk.space.excess(0) == 0 || !self.evict() {
                return;
            }
        }
    }
}
