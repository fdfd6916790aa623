//! Appending records: batches, the segments they go into, and what the index is told once they are written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use super::Disk;
use super::batch::Batch;
use super::find::place;
use super::front::{Parts, read_front};
use super::index::{Found, Kind, MAX_SEGMENT, Place as At};
use super::io::{Handle, write_all};
use super::put::Until;
use super::record::{Header, UNIT};
use super::segment::{Class, Segment};
use super::stats::count;
use super::toc::{ENTRY, Entry, Line};
use super::writer::Writer;
use crate::purged::Verdict;

/// Bytes gathered before they are written.
const BATCH: usize = 1 << 20;

/// What becomes of the index once a record is written.
#[derive(Debug)]
pub(super) enum Then {
    /// It is new: it replaces whatever has its key.
    Put { tags: Vec<u128>, until: Option<Until> },
    /// It takes the place of another record of its object, if that is still where it was.
    Replace { from: At, done: Option<oneshot::Sender<bool>> },
}

#[derive(Debug)]
struct Pending {
    entry: Entry,
    reads: u8,
    then: Then,
}

/// A segment that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    segment: Arc<Segment>,
    table: Arc<dyn Handle>,
    /// Bytes written.
    end: u64,
    table_end: u64,
    /// Records to be written next.
    batch: Batch,
    pending: Vec<Pending>,
}

impl Writer {
    /// Adds a record to the batch of `class`.
    pub(super) fn append(
        &mut self,
        class: Class,
        header: &Header,
        parts: &Parts<'_>,
        reads: u8,
        then: Then,
    ) -> io::Result<()> {
        self.append_with(class, header, parts, |batch| batch.extend(parts.body), reads, then)
    }

    /// The same, with the body that `body` appends to the batch.
    pub(super) fn append_with(
        &mut self,
        class: Class,
        header: &Header,
        parts: &Parts<'_>,
        body: impl FnOnce(&mut Batch),
        reads: u8,
        then: Then,
    ) -> io::Result<()> {
        let len = header.record_len();
        let spare =
            if matches!(then, Then::Replace { done: None, .. }) { 0 } else { self.disk.config.segment };
        let active = self.room(class, len, spare)?;
        let batch = &mut active.batch;
        let begin = batch.len();
        let offset = active.end.saturating_add(begin as u64);
        batch.extend(&header.encode());
        batch.extend(parts.meta);
        batch.extend(parts.tags);
        body(batch);
        batch.extend(&header.footer());
        let whole = begin.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        debug_assert!(whole - batch.len() < UNIT as usize);
        batch.pad(whole);
        let entry = Entry::of(header, offset);
        active.pending.push(Pending { entry, reads, then });
        if active.batch.len() >= BATCH {
            self.flush_class(class);
        }
        Ok(())
    }

    /// The segment of `class` that the next `len` bytes go to.
    fn room(&mut self, class: Class, len: u64, spare: u64) -> io::Result<&mut Active> {
        if len > self.disk.config.max_record() {
            return Err(io::Error::other("the record is too large for a segment"));
        }
        if !self.disk.health.may_write() {
            return Err(io::Error::other("the disk is not written to any more"));
        }
        let size = self.disk.config.segment;
        let slot = class as usize;
        let full = self.active[slot]
            .as_ref()
            .is_some_and(|a| a.end.saturating_add(a.batch.len() as u64).saturating_add(len) > size);
        if full {
            self.seal(class);
        }
        if self.active[slot].is_none() {
            let fresh = self.start_segment(class, spare)?;
            // Making room may have started one meanwhile.
            if self.active[slot].is_some() {
                self.seal(class);
            }
            self.active[slot] = Some(fresh);
        }
        self.active[slot].as_mut().ok_or_else(|| io::ErrorKind::Other.into())
    }

    fn start_segment(&mut self, class: Class, spare: u64) -> io::Result<Active> {
        let size = self.disk.config.segment;
        if !self.take(size, spare) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let made = self.make_segment(class, size);
        if let Err(error) = &made {
            self.disk.space.give_back(size);
            count(&self.disk.counters.write_errors);
            self.disk.health.write_failed(error);
        }
        made
    }

    fn make_segment(&mut self, class: Class, size: u64) -> io::Result<Active> {
        let disk = Arc::clone(&self.disk);
        let (run, number, id) = (disk.folder.run(), self.next_number, disk.segments.next_id());
        self.next_number = self.next_number.saturating_add(1);
        if id > MAX_SEGMENT {
            return Err(io::Error::other("all numbers of segments are used up; restart to go on"));
        }
        let (path, table_path) =
            (disk.folder.segment(run, number, class), disk.folder.table(run, number, class));
        let file = disk.create(&path)?;
        let table = file.allocate(size).and_then(|()| disk.create(&table_path)).inspect_err(|_| {
            let _ = disk.files.remove(&path);
        })?;
        let segment = Segment::fresh(&disk, id, (number, class), file, size);
        disk.segments.add(Arc::clone(&segment));
        Ok(Active { segment, table, end: 0, table_end: 0, batch: Batch::default(), pending: Vec::new() })
    }

    /// Writes both batches.
    pub(super) fn flush(&mut self) {
        self.flush_class(Class::Small);
        self.flush_class(Class::Main);
    }

    fn flush_class(&mut self, class: Class) {
        let slot = class as usize;
        let Some(active) = self.active[slot].as_mut() else { return };
        if active.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut active.pending);
        let written = Self::write(&self.disk, active, &pending);
        active.batch.clear();
        let segment = Arc::clone(&active.segment);
        match written {
            Ok(()) => {
                for one in pending {
                    segment.has(one.entry.epoch);
                    self.show(&segment, one);
                }
            }
            Err(error) => {
                count(&self.disk.counters.write_errors);
                self.disk.health.write_failed(&error);
                for one in &pending {
                    self.lost(one.entry.key, &error);
                    if one.entry.kind == Kind::File && matches!(one.then, Then::Put { .. }) {
                        self.drop_body(one.entry.seq);
                    }
                }
                // Nothing more goes into this segment; what is in it stays.
                self.abandon(class);
            }
        }
    }

    fn write(disk: &Disk, active: &mut Active, pending: &[Pending]) -> io::Result<()> {
        active.batch.write(&*active.segment.file, active.end)?;
        count(&disk.counters.writes);
        active.end = active.end.saturating_add(active.batch.len() as u64);
        let lines: Vec<u8> = pending.iter().flat_map(|one| Line::Record(one.entry).encode()).collect();
        write_all(&*active.table, &lines, active.table_end)?;
        let more = lines.len() as u64;
        active.table_end = active.table_end.saturating_add(more);
        active.segment.charged.fetch_add(more, Relaxed);
        disk.space.charge(more);
        Ok(())
    }

    /// Lets lookups find a record.
    fn show(&self, segment: &Segment, one: Pending) {
        let disk = &self.disk;
        let Entry { key, family, offset, len, seq, epoch, kind } = one.entry;
        let found = Found { place: place(segment.id, offset), len, reads: one.reads, kind };
        match one.then {
            Then::Put { tags, until } => {
                let names = [key, family].into_iter().chain(tags);
                if disk.purges.judge(names, epoch) != Verdict::Gone {
                    count(&disk.counters.inserts);
                    if let Some(before) = disk.index.insert(key, found) {
                        self.drop_displaced(before, seq);
                    }
                } else {
                    count(&disk.counters.purged);
                    if kind == Kind::File {
                        self.drop_body(seq);
                    }
                }
                // It can be found now, or never will be.
                drop(until);
            }
            Then::Replace { from, done } => {
                let shown = disk.index.replace(key, from, found);
                if let Some(done) = done {
                    // Whoever asked may have gone.
                    let _ = done.send(shown);
                }
            }
        }
    }

    /// Removes the file of a body whose object was replaced by the one with number `seq`.
    fn drop_displaced(&self, before: Found, seq: u64) {
        if let Some(old) = self.body_of(before).filter(|old| *old != seq) {
            self.drop_body(old);
        }
    }

    /// The number of the body in a file that belongs to what was `found`.
    pub(super) fn body_of(&self, found: Found) -> Option<u64> {
        let segment = self.disk.segments.get(found.place.segment).filter(|_| found.kind == Kind::File)?;
        Some(read_front(&*segment.file, found).ok()?.header.seq)
    }

    /// Removes the file with the body of number `seq`.
    pub(super) fn drop_body(&self, seq: u64) {
        if let Some(file) = self.disk.bodies.remove(seq) {
            match self.disk.files.remove(&self.disk.folder.object(seq)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.disk.health.write_failed(&error)
                }
                _ => self.disk.space.give_back(file.bytes),
            }
        }
    }

    // === The end of a segment ===

    /// Closes the segment of `class`: nothing is appended any more, and it is synced in the background.
    pub(super) fn seal(&mut self, class: Class) {
        self.flush_class(class);
        let Some(active) = self.active[class as usize].take() else { return };
        let (disk, segment) = (Arc::clone(&self.disk), Arc::clone(&active.segment));
        segment.open.store(false, Relaxed);
        self.disk.syncs.spawn(move || {
            if let Err(error) = seal_on_disk(&*active.segment.file, &*active.table, active.table_end) {
                // It is looked through once more at the next start.
                disk.health.write_failed(&error);
            }
        });
    }

    fn abandon(&mut self, class: Class) {
        if let Some(active) = self.active[class as usize].take() {
            active.segment.open.store(false, Relaxed);
        }
    }

    /// Seals what is open, cut to what is used, and returns when that is on the disk.
    pub(super) fn seal_open(&mut self) {
        self.flush();
        for active in self.active.iter_mut().filter_map(Option::take) {
            let file = &*active.segment.file;
            let done =
                file.set_len(active.end).and_then(|()| seal_on_disk(file, &*active.table, active.table_end));
            if let Err(error) = done {
                self.disk.health.write_failed(&error);
            }
            active.segment.open.store(false, Relaxed);
        }
    }
}

/// Syncs a segment and says so in its table.
pub(super) fn seal_on_disk(file: &dyn Handle, table: &dyn Handle, table_end: u64) -> io::Result<()> {
    file.sync()?;
    write_all(table, &Line::Sealed.encode(), table_end)?;
    table.sync()
}

/// The lines of a table take this many bytes.
pub(super) fn table_bytes(lines: usize) -> u64 {
    (lines as u64).saturating_add(1).saturating_mul(ENTRY as u64)
}
