//! A folder that was removed or emptied under the process, as people do who want an empty cache.
//!
//! The process goes on with an empty one. What was there stays readable for those who are just reading it, and its space is
//! free once they are done.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::folder::FolderError;
use super::journal::Journal;
use super::writer::Writer;
use super::{Disk, DiskError};

impl Writer {
    /// Begins the folder anew if it is not what it was.
    pub(super) fn see_to_folder(&mut self) {
        let disk = Arc::clone(&self.disk);
        match disk.folder.is_whole(&*disk.files) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => return disk.health.read_failed(&error),
        }
        // What is still being looked through would come back.
        if !disk.is_recovered() || !disk.health.may_write() {
            return;
        }
        log::error!(
            "disk {}: the folder was removed or emptied under this process: everything in it is lost",
            disk.folder.root().display()
        );
        self.forget_everything();
        if !self.alone() {
            return disk.health.lost("another process has the folder, too");
        }
        match disk.begin_anew() {
            Ok(()) => {
                disk.counters.begun_anew.fetch_add(1, Relaxed);
                log::warn!("disk {}: it begins anew", disk.folder.root().display());
            }
            Err(error) => disk.health.lost(&error.to_string()),
        }
    }

    fn forget_everything(&mut self) {
        let disk = &self.disk;
        // What was gathered in them goes, too.
        self.active = [None, None];
        disk.index.clear();
        for segment in disk.segments.all() {
            disk.segments.remove(segment.id);
            disk.space.give_back(segment.charged.load(Relaxed));
        }
        disk.space.give_back(disk.bodies.clear());
        disk.space.give_back(std::mem::take(&mut self.foreign));
    }
}

impl Disk {
    /// Makes the folder again, with the purges in force.
    fn begin_anew(&self) -> Result<(), DiskError> {
        let failed = |source| DiskError::Io { path: self.folder.root().to_owned(), source };
        let mut journal = self.journal.lock();
        let _entrance = self.folder.renew(&*self.files)?;
        // What was left over was forgotten: found again, it might undo a purge.
        let left = self.files.list(&self.folder.segments_folder()).map_err(failed)?;
        for name in left {
            self.files.remove(&self.folder.segments_folder().join(name)).map_err(failed)?;
        }
        let _ = self.files.remove(&self.folder.purges(self.folder.run()));
        *journal = Some(Journal::start(&*self.files, &self.folder, &self.purges.all()).map_err(failed)?);
        let evicts = self.folder.try_evict_lock().map_err(failed)?;
        self.may_evict.store(evicts, Relaxed);
        if evicts { Ok(()) } else { Err(FolderError::Busy(self.folder.root().to_owned()).into()) }
    }
}
