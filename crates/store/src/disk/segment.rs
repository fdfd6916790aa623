//! Segments: the files that records are appended to.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

use super::Disk;
use super::io::{Handle, Mode};

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Newcomers.
    Small,
    /// What was read before, and what came back soon after it was dropped.
    Main,
}

impl Class {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Main => "main",
        }
    }

    pub(crate) fn from_str(text: &str) -> Option<Self> {
        [Self::Small, Self::Main].into_iter().find(|class| class.as_str() == text)
    }
}

/// A segment. Whoever holds it can read it, even after its file was removed.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its number in this process: later ones are larger, and none is used twice.
    pub(crate) id: u32,
    pub(crate) run: u32,
    pub(crate) number: u32,
    pub(crate) class: Class,
    pub(crate) file: Arc<dyn Handle>,
    pub(crate) path: PathBuf,
    pub(crate) table_path: PathBuf,
    /// Bytes charged for it and its table.
    pub(crate) charged: AtomicU64,
    /// The earliest epoch of its records.
    pub(crate) epoch: AtomicU64,
    /// Records may still be appended, by this process or another one.
    pub(crate) open: AtomicBool,
}

impl Segment {
    /// One that another run wrote, on its file opened for reading. Until it is read it counts as older than anything.
    ///
    /// # Errors
    /// When the length of the file cannot be had.
    pub(crate) fn of_another(
        disk: &Disk,
        name: (u32, u32, Class),
        file: Arc<dyn Handle>,
        open: bool,
    ) -> io::Result<Arc<Self>> {
        let table_path = disk.folder.table(name.0, name.1, name.2);
        let table = disk.files.open(&table_path, Mode::Read).and_then(|table| table.len()).unwrap_or(0);
        let bytes = file.len()?.saturating_add(table);
        Ok(Self::new(disk, disk.segments.next_id(), name, file, bytes, 0, open))
    }

    /// One of this run, on its file, with room for `size` bytes. No record is in it yet.
    pub(crate) fn fresh(
        disk: &Disk,
        id: u32,
        (number, class): (u32, Class),
        file: Arc<dyn Handle>,
        size: u64,
    ) -> Arc<Self> {
        Self::new(disk, id, (disk.folder.run(), number, class), file, size, u64::MAX, true)
    }

    fn new(
        disk: &Disk,
        id: u32,
        (run, number, class): (u32, u32, Class),
        file: Arc<dyn Handle>,
        charged: u64,
        epoch: u64,
        open: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            run,
            number,
            class,
            file,
            path: disk.folder.segment(run, number, class),
            table_path: disk.folder.table(run, number, class),
            charged: AtomicU64::new(charged),
            epoch: AtomicU64::new(epoch),
            open: AtomicBool::new(open),
        })
    }

    /// Notes a record that is in it.
    pub(crate) fn has(&self, epoch: u64) {
        self.epoch.fetch_min(epoch, Relaxed);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }
}

/// The segments there are.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    by_id: RwLock<BTreeMap<u32, Arc<Segment>>>,
    last: AtomicU32,
}

impl Segments {
    /// The number of the next segment.
    pub(crate) fn next_id(&self) -> u32 {
        self.last.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// The highest number given so far.
    pub(crate) fn last_id(&self) -> u32 {
        self.last.load(Relaxed)
    }

    pub(crate) fn add(&self, segment: Arc<Segment>) {
        self.by_id.write().insert(segment.id, segment);
    }

    pub(crate) fn get(&self, id: u32) -> Option<Arc<Segment>> {
        self.by_id.read().get(&id).cloned()
    }

    pub(crate) fn remove(&self, id: u32) -> Option<Arc<Segment>> {
        self.by_id.write().remove(&id)
    }

    /// The one that a run gave this number.
    pub(crate) fn named(&self, run: u32, number: u32) -> Option<Arc<Segment>> {
        // There are some hundreds, and only refreshed objects ask.
        self.by_id.read().values().find(|s| s.run == run && s.number == number).cloned()
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.by_id.read().values().cloned().collect()
    }

    /// The oldest of a class that nobody appends to any more.
    pub(crate) fn oldest(&self, class: Class) -> Option<Arc<Segment>> {
        self.by_id.read().values().find(|s| s.class == class && !s.is_open()).cloned()
    }

    /// Bytes charged for a class.
    pub(crate) fn charged(&self, class: Class) -> u64 {
        self.by_id.read().values().filter(|s| s.class == class).map(|s| s.charged.load(Relaxed)).sum()
    }

    /// The earliest epoch of any record.
    pub(crate) fn earliest_epoch(&self) -> Option<u64> {
        self.by_id.read().values().map(|s| s.epoch.load(Relaxed)).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.read().len()
    }
}
