//! The disk tier without the content: index, segments, ghosts, and the choice of what is given up or copied are those of a
//! running store, over [files that keep no zeros](super::io::sparse).
//!
//! The writer runs in the caller's thread, so that a trace always has one outcome. A body in a file of its own is only
//! as long as a real one: its room is taken and made as for a real one, and nothing is written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::index::Found;
use super::io::sparse::SparseFiles;
use super::io::{Files, Mode};
use super::put::{Link, Put};
use super::record::stored_len;
use super::stats::{DiskStats, count};
use super::writer::Writer;
use super::{Config, Disk, DiskError, Hot, Opened, Shared};
use crate::body::Body;
use crate::head::Head;
use crate::storage::Names;

/// A disk whose writer works when it is told to.
pub(crate) struct Simulated {
    disk: Arc<Disk>,
    writer: Writer,
}

impl Simulated {
    pub(crate) fn new(config: Config, shared: &Shared, hot: Hot) -> Result<Self, DiskError> {
        let files: Arc<dyn Files> = Arc::new(SparseFiles::default());
        let Opened { disk, todo, .. } = Disk::open(files, 0, Path::new("/simulated"), config, shared)?;
        disk.set_hot(hot);
        // Nobody else is in the folder, and nothing was there.
        disk.may_evict.store(true, Relaxed);
        disk.progress.complete.store(true, Relaxed);
        let writer = Writer::new(Arc::clone(&disk), todo);
        Ok(Self { disk, writer })
    }

    /// What the index has of `key`, as it was before this use.
    pub(crate) fn find(&self, key: u128) -> Option<Found> {
        let found = self.disk.index.get(key)?;
        self.disk.index.touch(key);
        count(&self.disk.counters.hits);
        Some(found)
    }

    /// Whether what has `key`, and is about to be fetched, is taken.
    pub(crate) fn admits(&self, key: u128) -> bool {
        self.disk.admits(key)
    }

    /// Stores a body of zeros in a segment.
    pub(crate) fn put(&mut self, key: u128, seq: u64, head: &Arc<Head>, len: u64) {
        let names = Names { key, family: key };
        let body = Arc::new(Body::zeros(len));
        let epoch = self.disk.clock.now();
        self.disk.put(Put { names, seq, epoch, head: Arc::clone(head), body });
        self.work();
    }

    /// Stores a body in a file of its own, if there is room.
    pub(crate) fn put_file(&mut self, key: u128, seq: u64, head: &Arc<Head>, len: u64) {
        let bytes = stored_len(len);
        // As a fill asks for it.
        while !self.disk.space.take(bytes, self.disk.config.segment) {
            if bytes > self.disk.space.size() / 2 || !self.writer.free(bytes) {
                return;
            }
        }
        let Ok(file) = self.disk.files.open(&self.disk.folder.object(seq), Mode::Create) else { return };
        let names = Names { key, family: key };
        if file.allocate(bytes).is_ok() {
            let (head, epoch) = (Arc::clone(head), self.disk.clock.now());
            // Whether it was linked shows in the index.
            drop(self.disk.link(Link { names, seq, epoch, head, body_len: len }, Box::new(())));
            self.work();
        }
    }

    fn work(&mut self) {
        while let Ok(job) = self.writer.todo.try_recv() {
            self.writer.work(job);
        }
        self.writer.flush();
    }

    pub(crate) fn stats(&self) -> DiskStats {
        self.disk.stats()
    }
}
