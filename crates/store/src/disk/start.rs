//! A disk on its way into use: what purges there are is read, the journal of this process begins, and what is there is looked
//! through.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::folder::Entrance;
use super::health::is_full;
use super::io::Mode;
use super::journal::{self, Journal, Tail};
use super::writer::{Job, Writer};
use super::{Disk, DiskError, recover};
use crate::purges::{Purge, Scope};

/// A disk whose purges are read and that does nothing yet. All disks of a store are opened before any is
/// [started](Opened::start), because a purge on one of them may concern the others.
pub(crate) struct Opened {
    pub(super) disk: Arc<Disk>,
    pub(super) todo: crossbeam_channel::Receiver<Job>,
    pub(super) entrance: Entrance,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Opened").field(&self.disk).finish()
    }
}

impl Opened {
    /// Starts to serve: writes the purges of all disks down, begins to look through what is there, lets the next
    /// process in.
    pub(crate) fn start(self) -> Result<Arc<Disk>, DiskError> {
        let disk = self.disk;
        let failed = |source| DiskError::Io { path: disk.folder.root().to_owned(), source };
        disk.may_evict.store(disk.folder.try_evict_lock().map_err(failed)?, Relaxed);
        let journal = disk.start_journal().map_err(failed)?;
        *disk.journal.lock() = Some(journal);
        disk.drop_old_journals();
        let found = recover::survey(&disk).map_err(failed)?;
        disk.fit();
        let writer = Writer::new(Arc::clone(&disk), self.todo);
        let scanner = Arc::clone(&disk);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(run)
        };
        spawn("disk-recover", Box::new(move || recover::run(&scanner, found))).map_err(failed)?;
        spawn("disk-writer", Box::new(move || writer.run())).map_err(failed)?;
        drop(self.entrance);
        Ok(disk)
    }
}

impl Disk {
    /// Reads the purges of all runs.
    pub(super) fn read_purges(&self) -> std::io::Result<()> {
        let folder = self.folder.purges_folder();
        let mut tails = Vec::new();
        for name in self.files.list(&folder)? {
            let Some(run) = name.get(..8).and_then(|run| u32::from_str_radix(run, 16).ok()) else { continue };
            let path = folder.join(&name);
            let file = self.files.open(&path, Mode::Read)?;
            let told = journal::read(&*file, 0)?;
            told.purges.iter().for_each(|purge| self.learn(purge));
            if told.damaged.is_some() {
                self.learn_everything(run);
            }
            if self.folder.lives(run) {
                tails.push(Tail::after(run, path, file, told.damaged.unwrap_or(told.len))?);
            }
        }
        *self.tails.lock() = tails;
        Ok(())
    }

    /// The journal of `run` has a gap.
    pub(super) fn learn_everything(&self, run: u32) {
        log::error!(
            "disk {}: the journal of purges {run:08x} is damaged; so that no purge is undone, everything stored before \
             now counts as purged",
            self.folder.root().display()
        );
        self.learn(&Purge::hard(Scope::Everything, 0, self.clock.advance()));
    }

    /// Starts the journal. On a full file system the oldest segments give way to it: without it no purge can be taken.
    fn start_journal(&self) -> std::io::Result<Journal> {
        let start = || Journal::start(&*self.files, &self.folder, &self.purges.all());
        let mut journal = start();
        if !journal.as_ref().is_err_and(is_full) || !self.may_evict.load(Relaxed) {
            return journal;
        }
        let segments = self.folder.segments_of_others(&*self.files)?;
        for (run, number, class) in segments.into_iter().filter(|(run, ..)| !self.folder.lives(*run)) {
            let segment = self.folder.segment(run, number, class);
            log::warn!(
                "disk {}: no space for a start: {} is given up",
                self.folder.root().display(),
                segment.display()
            );
            self.files.remove(&segment)?;
            // Without its segment nobody reads it, or removes it later.
            let _ = self.files.remove(&self.folder.table(run, number, class));
            let _ = self.files.remove(&self.folder.purges(self.folder.run()));
            journal = start();
            if !journal.as_ref().is_err_and(is_full) {
                break;
            }
        }
        journal
    }

    /// The purges of runs that are over are in the new journal now.
    fn drop_old_journals(&self) {
        let Ok(names) = self.files.list(&self.folder.purges_folder()) else { return };
        for name in names {
            let Some(run) = name.get(..8).and_then(|run| u32::from_str_radix(run, 16).ok()) else { continue };
            if run != self.folder.run() && !self.folder.lives(run) {
                // One that stays is read again at the next start.
                let _ = self.files.remove(&self.folder.purges_folder().join(name));
            }
        }
    }
}
