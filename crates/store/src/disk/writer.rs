//! The one thread that appends to segments: puts, links and refreshed headers, in the order they came.
//!
//! Records are gathered while more wait in the queue, and written together: first the records, then their lines in
//! the table of contents, then the index. Because one thread does it all in order, the log is the order of
//! events: of two records with one key the later one counts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::oneshot;

use super::Disk;
use super::bodies::BodyFile;
use super::find::{Head as FoundHead, place};
use super::index::{Found, Kind, MAX_SEGMENT, Place as At};
use super::io::{Handle, read_exact, write_all};
use super::put::{Link, Put};
use super::record::{
    CHUNK, FOOTER, HEADER, Header, MAX_META, Place, UNIT, decode_tags, push_chunk, stored_len,
};
use super::segment::{Class, Segment};
use super::stats::{add, count};
use super::toc::{ENTRY, Entry, Line};
use crate::codec::{decode_meta, encode_meta};
use crate::head::Head;
use crate::purged::Verdict;
use crate::storage::Names;

/// Bytes gathered before they are written.
const BATCH: usize = 1 << 20;
/// Records up to this size are written anew when their header is refreshed; of larger ones the body stays.
const REWRITE: u64 = 64 << 10;
/// How often the writer looks after the folder when there is nothing to write.
const TICK: Duration = Duration::from_millis(250);

/// Work for the writer.
#[derive(Debug)]
pub(super) enum Job {
    Put(Put, u64),
    Link(Link, oneshot::Sender<bool>),
    Refresh {
        names: Names,
        epoch: u64,
        head: Arc<Head>,
        done: oneshot::Sender<bool>,
    },
    /// Somebody needs this many bytes for a file.
    MakeRoom(u64, oneshot::Sender<bool>),
    Flush(Sender<()>),
    /// Write what waits and close the segments, so that another process finds it.
    Seal(Sender<()>),
    /// Leave the folder to a younger process.
    StepDown(Sender<()>),
    Close(Sender<()>),
    /// Stop on the spot, as if killed.
    #[cfg(test)]
    Die(Sender<()>),
}

/// What becomes of the index once a record is written.
#[derive(Debug)]
pub(super) enum Then {
    /// It is new: it replaces whatever has its key.
    Put { tags: Vec<u128>, done: Option<oneshot::Sender<bool>> },
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
struct Active {
    segment: Arc<Segment>,
    table: Arc<dyn Handle>,
    /// Bytes written.
    end: u64,
    table_end: u64,
    /// Records to be written next.
    buffer: Vec<u8>,
    pending: Vec<Pending>,
}

/// The writer of one disk.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) disk: Arc<Disk>,
    pub(super) todo: Receiver<Job>,
    active: [Option<Active>; 2],
    next_number: u32,
    /// Bytes of other processes' segments that are charged here.
    pub(super) foreign: u64,
}

/// The content of a record.
pub(super) struct Parts<'a> {
    pub(super) meta: &'a [u8],
    pub(super) tags: &'a [u8],
    /// Chunks with their CRCs.
    pub(super) body: &'a [u8],
}

impl Writer {
    pub(super) fn new(disk: Arc<Disk>, todo: Receiver<Job>) -> Self {
        Self { disk, todo, active: [None, None], next_number: 1, foreign: 0 }
    }

    /// Works until the disk is closed.
    pub(super) fn run(mut self) {
        let mut looked = Instant::now();
        loop {
            // Also when there is always something to write.
            if looked.elapsed() >= TICK {
                self.look_after_folder();
                looked = Instant::now();
            }
            match self.todo.recv_timeout(TICK) {
                Ok(Job::Close(done)) => {
                    self.seal_open();
                    // Whoever closes waits for it, unless it has gone.
                    let _ = done.send(());
                    return;
                }
                #[cfg(test)]
                Ok(Job::Die(done)) => {
                    let _ = done.send(());
                    return;
                }
                Ok(job) => {
                    self.work(job);
                    if self.todo.is_empty() {
                        self.flush();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.seal_open(),
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Put(put, bytes) => {
                if let Err(error) = self.put(&put) {
                    self.lost(put.names.key, &error);
                }
                self.disk.unqueue(bytes);
            }
            Job::Link(link, done) => {
                let (seq, key) = (link.seq, link.names.key);
                if let Err(error) = self.link(&link, done) {
                    self.lost(key, &error);
                    self.drop_body(seq);
                }
            }
            Job::Refresh { names, epoch, head, done } => {
                // What is refreshed may be in the batch.
                self.flush();
                if let Err(error) = self.refresh(names, epoch, &head, done) {
                    log::debug!("a refreshed header is not kept: {error}");
                }
            }
            Job::MakeRoom(bytes, done) => {
                let enough = self.free(bytes);
                let _ = done.send(enough);
            }
            Job::Flush(done) => {
                self.flush();
                let _ = done.send(());
            }
            Job::Seal(done) => {
                self.seal_open();
                let _ = done.send(());
            }
            Job::StepDown(done) => {
                self.step_down();
                let _ = done.send(());
            }
            // Taken out by the caller.
            Job::Close(_) => {}
            #[cfg(test)]
            Job::Die(_) => {}
        }
    }

    /// An object could not be kept: nor is what it would have replaced.
    fn lost(&self, key: u128, error: &io::Error) {
        count(&self.disk.counters.dropped_space);
        log::debug!("an object is not kept on disk: {error}");
        self.disk.index.remove(key);
    }

    fn encode(&self, head: &Head) -> io::Result<(Vec<u8>, Vec<u128>)> {
        let meta = head.thaw().map_err(|error| io::Error::other(error.to_string()))?;
        let bytes =
            encode_meta(&meta, &*self.disk.codec).map_err(|error| io::Error::other(error.to_string()))?;
        if bytes.len() as u64 > u64::from(MAX_META) {
            return Err(io::Error::other("the header is too large"));
        }
        Ok((bytes, self.disk.codec.tags(meta.extensions())))
    }

    fn put(&mut self, put: &Put) -> io::Result<()> {
        let (meta, tags) = self.encode(&put.head)?;
        let len = put.body.len();
        let mut body = Vec::with_capacity(usize::try_from(stored_len(len)).unwrap_or(0));
        let mut chunk = Vec::new();
        for index in 0..len.div_ceil(CHUNK) {
            let (mut at, end) = (index * CHUNK, ((index + 1) * CHUNK).min(len));
            chunk.clear();
            while let Some(bytes) = put.body.read(at, end) {
                at = at.saturating_add(bytes.len() as u64);
                chunk.extend_from_slice(&bytes);
            }
            push_chunk(&mut body, put.seq, index, &chunk);
        }
        let tag_bytes: Vec<u8> = tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        let parts = Parts { meta: &meta, tags: &tag_bytes, body: &body };
        let header = header(put.names, put.seq, put.epoch, &parts, len, Place::Here);
        let class = self.class_of(put.names.key);
        add(&self.disk.counters.written_bytes, header.record_len());
        self.append(class, &header, &parts, 0, Then::Put { tags, done: None })
    }

    fn link(&mut self, link: &Link, done: oneshot::Sender<bool>) -> io::Result<()> {
        let bytes = stored_len(link.body_len);
        // First of all: what is listed is removed when anything goes wrong.
        self.disk.bodies.add(BodyFile { seq: link.seq, key: link.names.key, bytes });
        let (meta, tags) = self.encode(&link.head)?;
        add(&self.disk.counters.written_bytes, bytes);
        let tag_bytes: Vec<u8> = tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        let parts = Parts { meta: &meta, tags: &tag_bytes, body: &[] };
        let header = header(link.names, link.seq, link.epoch, &parts, link.body_len, Place::File);
        self.append(Class::Small, &header, &parts, 0, Then::Put { tags, done: Some(done) })
    }

    /// What was pushed out lately and is back belongs to the main class.
    fn class_of(&self, key: u128) -> Class {
        if self.disk.ghosts.has(key) { Class::Main } else { Class::Small }
    }

    fn refresh(
        &mut self,
        names: Names,
        epoch: u64,
        head: &Head,
        done: oneshot::Sender<bool>,
    ) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let found = self.disk.index.get(names.key).ok_or_else(gone)?;
        let segment = self.disk.segments.get(found.place.segment).ok_or_else(gone)?;
        let old = read_front(&*segment.file, found)?;
        let same =
            decode_meta(&old.meta, &*self.disk.codec).is_some_and(|meta| meta.created() == head.created());
        if old.header.key != names.key || !same {
            return Err(gone());
        }
        let (meta, tags) = self.encode(head)?;
        let tag_bytes: Vec<u8> = tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        let (mut body, mut place) = (Vec::new(), old.header.place);
        if place == Place::Here {
            let body_at = found.place.offset.saturating_add(old.header.body_at());
            if old.header.record_len() <= REWRITE {
                body = read_body(&*segment.file, body_at, old.header.body_len)?;
            } else {
                let (run, number, offset) = (segment.run, segment.number, found.place.offset);
                place = Place::Record { run, segment: number, offset, body_at };
            }
        }
        let parts = Parts { meta: &meta, tags: &tag_bytes, body: &body };
        let header = header(names, old.header.seq, epoch, &parts, old.header.body_len, place);
        add(&self.disk.counters.written_bytes, header.record_len());
        count(&self.disk.counters.refreshed);
        let then = Then::Replace { from: found.place, done: Some(done) };
        self.append(segment.class, &header, &parts, found.reads, then)
    }

    // === Appending ===

    /// Adds a record to the batch of `class`.
    pub(super) fn append(
        &mut self,
        class: Class,
        header: &Header,
        parts: &Parts<'_>,
        reads: u8,
        then: Then,
    ) -> io::Result<()> {
        let len = header.record_len();
        let spare =
            if matches!(then, Then::Replace { done: None, .. }) { 0 } else { self.disk.config.segment };
        let active = self.room(class, len, spare)?;
        let offset = active.end.saturating_add(active.buffer.len() as u64);
        let begin = active.buffer.len();
        active.buffer.extend_from_slice(&header.encode());
        active.buffer.extend_from_slice(parts.meta);
        active.buffer.extend_from_slice(parts.tags);
        active.buffer.extend_from_slice(parts.body);
        active.buffer.extend_from_slice(&header.footer());
        let whole = begin.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        debug_assert!(whole - active.buffer.len() < UNIT as usize);
        active.buffer.resize(whole, 0);
        let kind = match header.place {
            Place::Here => Kind::Whole,
            Place::File => Kind::File,
            Place::Record { .. } => Kind::Link,
        };
        let entry = Entry {
            key: header.key,
            family: header.family,
            offset,
            len,
            seq: header.seq,
            epoch: header.epoch,
            kind,
        };
        active.pending.push(Pending { entry, reads, then });
        if active.buffer.len() >= BATCH {
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
            .is_some_and(|a| a.end.saturating_add(a.buffer.len() as u64).saturating_add(len) > size);
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
        let segment = Arc::new(Segment {
            id,
            run,
            number,
            class,
            file,
            path,
            table_path,
            charged: AtomicU64::new(size),
            epoch: AtomicU64::new(u64::MAX),
            first_seq: AtomicU64::new(u64::MAX),
            open: AtomicBool::new(true),
        });
        disk.segments.add(Arc::clone(&segment));
        Ok(Active { segment, table, end: 0, table_end: 0, buffer: Vec::new(), pending: Vec::new() })
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
        active.buffer.clear();
        let segment = Arc::clone(&active.segment);
        match written {
            Ok(()) => {
                for one in pending {
                    segment.has(one.entry.seq, one.entry.epoch);
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
        write_all(&*active.segment.file, &active.buffer, active.end)?;
        count(&disk.counters.writes);
        active.end = active.end.saturating_add(active.buffer.len() as u64);
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
        let (shown, done) = match one.then {
            Then::Put { tags, done } => {
                let names = [key, family].into_iter().chain(tags);
                let valid = disk.purges.judge(names, epoch) != Verdict::Gone;
                if valid {
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
                (valid, done)
            }
            Then::Replace { from, done } => (disk.index.replace(key, from, found), done),
        };
        if let Some(done) = done {
            // Whoever asked may have gone.
            let _ = done.send(shown);
        }
    }

    /// Removes the file of a body whose object was replaced by the one with number `seq`.
    fn drop_displaced(&self, before: Found, seq: u64) {
        if before.kind != Kind::File {
            return;
        }
        let Some(segment) = self.disk.segments.get(before.place.segment) else { return };
        if let Ok(front) = read_front(&*segment.file, before)
            && front.header.seq != seq
        {
            self.drop_body(front.header.seq);
        }
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
        self.disk.pool.spawn(move || {
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

pub(super) fn header(
    names: Names,
    seq: u64,
    epoch: u64,
    parts: &Parts<'_>,
    body_len: u64,
    place: Place,
) -> Header {
    let mut crc = crc32fast::Hasher::new();
    crc.update(parts.meta);
    crc.update(parts.tags);
    Header {
        seq,
        epoch,
        key: names.key,
        family: names.family,
        meta_len: u32::try_from(parts.meta.len()).unwrap_or(u32::MAX),
        tags: u32::try_from(parts.tags.len() / 16).unwrap_or(u32::MAX),
        body_len,
        place,
        meta_crc: crc.finalize(),
    }
}

/// Header, metadata and tags of a record, read without haste.
pub(super) fn read_front(file: &dyn Handle, found: Found) -> io::Result<FoundHead> {
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = vec![0; HEADER];
    read_exact(file, &mut bytes, found.place.offset)?;
    let header = Header::decode(&bytes).ok_or_else(damaged)?;
    if header.footer_at().saturating_add(FOOTER as u64) > found.len {
        return Err(damaged());
    }
    let mut bytes = vec![0; usize::try_from(header.body_at()).map_err(|_| damaged())?];
    read_exact(file, &mut bytes, found.place.offset)?;
    FoundHead::parse(&bytes.into()).ok().flatten().ok_or_else(damaged)
}

/// A body as it is stored.
pub(super) fn read_body(file: &dyn Handle, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut body = vec![0; usize::try_from(stored_len(len)).map_err(|_| io::ErrorKind::InvalidData)?];
    read_exact(file, &mut body, at)?;
    Ok(body)
}

/// The tags of a front, for a judgement.
pub(super) fn names_of(front: &FoundHead) -> impl Iterator<Item = u128> {
    [front.header.key, front.header.family].into_iter().chain(decode_tags(&front.tags))
}
