//! The one thread that appends to segments: puts, links and refreshed headers, in the order they came.
//!
//! Records are gathered while more wait in the queue, and written together: first the records, then their lines in
//! the table of contents, then the index. Because one thread does it all in order, the log is the order of
//! events: of two records with one key the later one counts.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::oneshot;

use super::Disk;
use super::append::{Active, Then};
use super::backlog::Asker;
use super::batch::Batch;
use super::bodies::BodyFile;
use super::front::{Parts, header, read_body, read_front};
use super::index::Found;
use super::put::{Link, Put, Until};
use super::record::{MAX_META, Place, stored_len};
use super::segment::Class;
use super::stats::{add, count};
use crate::codec::{decode_meta, encode_meta};
use crate::head::Head;
use crate::storage::Names;

/// Records up to this size are written anew when their header is refreshed; of larger ones the body stays.
const REWRITE: u64 = 64 << 10;
/// How often the writer looks after the folder when there is nothing to write.
const TICK: Duration = Duration::from_millis(250);

/// Work for the writer.
#[derive(Debug)]
pub(super) enum Job {
    Put(Put, u64),
    Link(Link, Until),
    Refresh {
        names: Names,
        epoch: u64,
        head: Arc<Head>,
        done: oneshot::Sender<bool>,
    },
    /// This was purged.
    Discard(Found),
    /// Somebody needs this many bytes for a file.
    MakeRoom(u64, Asker),
    /// Give something up: the file system has no space.
    GiveWay(Sender<()>),
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

/// The writer of one disk.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) disk: Arc<Disk>,
    pub(super) todo: Receiver<Job>,
    pub(super) active: [Option<Active>; 2],
    pub(super) next_number: u32,
    /// Bytes of other processes' segments that are charged here.
    pub(super) foreign: u64,
    /// The runs that came later and were noticed.
    pub(super) met: HashSet<u32, ahash::RandomState>,
}

impl Writer {
    pub(super) fn new(disk: Arc<Disk>, todo: Receiver<Job>) -> Self {
        Self { disk, todo, active: [None, None], next_number: 1, foreign: 0, met: HashSet::default() }
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

    pub(super) fn work(&mut self, job: Job) {
        match job {
            Job::Put(put, bytes) => {
                if let Err(error) = self.put(&put) {
                    self.lost(put.names.key, &error);
                }
                self.disk.unqueue(bytes);
            }
            Job::Link(link, until) => {
                let (seq, key) = (link.seq, link.names.key);
                if let Err(error) = self.link(&link, until) {
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
            Job::Discard(found) => {
                if let Some(seq) = self.body_of(found) {
                    self.drop_body(seq);
                }
            }
            Job::MakeRoom(bytes, asker) => {
                let enough = self.free(bytes);
                asker.answer(enough);
            }
            Job::GiveWay(done) => {
                self.give_way();
                let _ = done.send(());
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
    pub(super) fn lost(&self, key: u128, error: &io::Error) {
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
        Ok((bytes, head.labels().names().to_vec()))
    }

    fn put(&mut self, put: &Put) -> io::Result<()> {
        let (meta, tags) = self.encode(&put.head)?;
        let len = put.body.len();
        let mut at = 0;
        let pieces = std::iter::from_fn(|| {
            let piece = put.body.read(at, len)?;
            at = at.saturating_add(piece.len() as u64);
            Some(piece)
        });
        let body = |batch: &mut Batch| batch.push_body(put.seq, 0, pieces);
        let tag_bytes: Vec<u8> = tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        let parts = Parts { meta: &meta, tags: &tag_bytes, body: &[] };
        let header = header(put.names, put.seq, put.epoch, &parts, len, Place::Here);
        let class = self.class_of(put.names.key);
        add(&self.disk.counters.written_bytes, header.record_len());
        self.append_with(class, &header, &parts, body, 0, Then::Put { tags, until: None })
    }

    fn link(&mut self, link: &Link, until: Until) -> io::Result<()> {
        let bytes = stored_len(link.body_len);
        // First of all: what is listed is removed when anything goes wrong.
        let (key, class, after) =
            (link.names.key, self.class_of(link.names.key), self.disk.segments.last_id());
        self.disk.bodies.add(BodyFile { seq: link.seq, key, bytes, class, after });
        let (meta, tags) = self.encode(&link.head)?;
        add(&self.disk.counters.written_bytes, bytes);
        let tag_bytes: Vec<u8> = tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        let parts = Parts { meta: &meta, tags: &tag_bytes, body: &[] };
        let header = header(link.names, link.seq, link.epoch, &parts, link.body_len, Place::File);
        self.append(class, &header, &parts, 0, Then::Put { tags, until: Some(until) })
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
            decode_meta(&old.meta, &*self.disk.codec).is_some_and(|old| old.meta.created() == head.created());
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
}
