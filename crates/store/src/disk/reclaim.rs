//! Making room: the oldest goes first, unless it was read.
//!
//! S3-FIFO over segments. Newcomers are written to segments of the small class, which gets a twentieth of the space
//! once main has something; main gets the rest. When room is needed, the oldest segment of the class that has too
//! much is given up: records that were read there, or above in memory, are copied to main, the others leave a ghost
//! behind. Bodies in files of their own queue in the same two classes beside the segments: one that was read goes over
//! to main, and every further read buys another round there.
//!
//! At most half a segment is copied for each one that is given up, the most read first, so that for each byte of
//! new content at most one more is written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::append::Then;
use super::find::Head as FoundHead;
use super::front::{Parts, header, names_of, read_body, read_front};
use super::index::{Found, Kind, Place as At};
use super::io::{Handle, Mode, read_exact};
use super::record::{FOOTER, Header, Place, STORED_CHUNK, chunk_is_sound, chunk_len, stored_len};
use super::recover;
use super::segment::{Class, Segment};
use super::stats::{add, count};
use super::toc::{self, Entry};
use super::writer::Writer;
use crate::purged::Verdict;
use crate::storage::Names;

/// The small class may keep this share of the space before main is touched. A tenth finds half a percent less, as in memory.
const SMALL_SHARE: u64 = 20;
/// Files that are given another round before one goes all the same.
const ROUNDS: usize = 64;

/// What to evict.
enum Victim {
    Segment(Arc<Segment>),
    /// The oldest of its class.
    File(Class),
}

impl Writer {
    /// Takes `bytes`, and makes room for them if need be. Without `spare` nothing is evicted: the caller is just
    /// doing that, and lives off the spare.
    pub(super) fn take(&mut self, bytes: u64, spare: u64) -> bool {
        while !self.disk.space.take(bytes, spare) {
            if spare == 0 || !self.evict() {
                return false;
            }
        }
        true
    }

    /// Makes room for `bytes` that somebody else will take.
    pub(super) fn free(&mut self, bytes: u64) -> bool {
        let spare = self.disk.config.segment;
        while self.disk.space.excess(bytes.saturating_add(spare)) > 0 {
            if !self.evict() {
                return false;
            }
        }
        true
    }

    /// Evicts one segment or file; false when there is none that may go.
    pub(super) fn evict(&mut self) -> bool {
        if !self.disk.may_evict.load(Relaxed) || !self.disk.health.may_write() {
            return false;
        }
        match self.victim() {
            Some(Victim::Segment(segment)) => self.reclaim(&segment),
            Some(Victim::File(class)) => self.evict_file(class),
            None => {
                // All there is may be in the segments that are still open.
                for class in [Class::Small, Class::Main] {
                    self.seal(class);
                }
                match self.victim() {
                    Some(Victim::Segment(segment)) => self.reclaim(&segment),
                    Some(Victim::File(class)) => self.evict_file(class),
                    None => return false,
                }
            }
        }
        true
    }

    fn victim(&self) -> Option<Victim> {
        let (segments, bodies) = (&self.disk.segments, &self.disk.bodies);
        let oldest = |class| match (segments.oldest(class), bodies.oldest(class)) {
            (Some(segment), Some(after)) if after < segment.id => Some(Victim::File(class)),
            (Some(segment), _) => Some(Victim::Segment(segment)),
            (None, Some(_)) => Some(Victim::File(class)),
            (None, None) => None,
        };
        let small = segments.charged(Class::Small).saturating_add(bodies.charged(Class::Small));
        if small > self.disk.space.size() / SMALL_SHARE {
            oldest(Class::Small).or_else(|| oldest(Class::Main))
        } else {
            oldest(Class::Main).or_else(|| oldest(Class::Small))
        }
    }

    // === Files ===

    fn evict_file(&mut self, class: Class) {
        for round in 0..=ROUNDS {
            let Some(file) = self.disk.bodies.pop(class) else { return };
            let found = self.disk.index.get(file.key).filter(|found| found.kind == Kind::File);
            let ours = found.filter(|found| {
                let segment = self.disk.segments.get(found.place.segment);
                segment
                    .and_then(|segment| read_front(&*segment.file, *found).ok())
                    .is_some_and(|front| front.header.seq == file.seq)
            });
            if let Some(found) = ours {
                if found.reads > 0 && round < ROUNDS {
                    let reads = if class == Class::Small { 0 } else { found.reads - 1 };
                    self.disk.index.replace(file.key, found.place, Found { reads, ..found });
                    self.disk.bodies.push_back(file.seq, self.disk.segments.last_id());
                    if class == Class::Small {
                        // The class has become smaller: it may be another one's turn.
                        return;
                    }
                    continue;
                }
                self.disk.index.remove_at(file.key, found.place);
                self.disk.ghosts.put(file.key);
                count(&self.disk.counters.evicted_files);
            }
            self.drop_body(file.seq);
            return;
        }
    }

    // === Segments ===

    /// Gives `victim` up, and copies what is worth it.
    fn reclaim(&mut self, victim: &Arc<Segment>) {
        let mut live: Vec<(Entry, Found)> = recover::contents(&self.disk, victim)
            .entries
            .into_iter()
            .filter_map(|e| self.alive(victim, &e))
            .collect();
        // The most read first; what has a file costs next to nothing to keep, and would lose the file.
        live.sort_by_key(|(_, found)| (found.kind != Kind::File, u8::MAX - found.reads));
        // Half of what comes free, so that there is always progress, also with segments that were cut short.
        let limit = self.disk.config.segment.min(victim.charged.load(Relaxed)) / 2;
        let mut copied = 0u64;
        for (entry, found) in live {
            let hot = || self.disk.hot.get().is_some_and(|hot| hot(entry.key));
            let worth = found.kind == Kind::File || found.reads > 0 || hot();
            if worth && copied.saturating_add(entry.len) <= limit && self.copy(victim, &entry, found).is_ok()
            {
                copied = copied.saturating_add(entry.len);
                continue;
            }
            if self.disk.index.remove_at(entry.key, found.place) {
                self.disk.ghosts.put(entry.key);
                count(match victim.class {
                    Class::Small => &self.disk.counters.evicted_small,
                    Class::Main => &self.disk.counters.evicted_main,
                });
            }
        }
        self.flush();
        self.discard(victim);
    }

    /// The place that the index has for the object of `entry`, if the record is still needed: it is the place, or
    /// the record there has its body here.
    fn alive(&self, victim: &Segment, entry: &Entry) -> Option<(Entry, Found)> {
        let found = self.disk.index.get(entry.key)?;
        if found.place == (At { segment: victim.id, offset: entry.offset }) {
            return Some((*entry, found));
        }
        if found.kind != Kind::Link {
            return None;
        }
        let other = self.disk.segments.get(found.place.segment)?;
        let front = read_front(&*other.file, found).ok()?;
        let here = matches!(front.header.place, Place::Record { run, segment, offset, .. }
            if (run, segment, offset) == (victim.run, victim.number, entry.offset));
        here.then_some((*entry, found))
    }

    /// Copies the object of `entry` to main.
    fn copy(&mut self, victim: &Segment, entry: &Entry, found: Found) -> io::Result<()> {
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let segment = self.disk.segments.get(found.place.segment).ok_or_else(damaged)?;
        let front = read_front(&*segment.file, found)?;
        if front.header.key != entry.key
            || self.disk.purges.judge(names_of(&front), front.header.epoch) == Verdict::Gone
        {
            return Err(damaged());
        }
        // What is still valid now is valid up to now: older purges need not be remembered for it. But a purge of
        // another process may not be known here yet.
        let epoch = if self.alone() { self.disk.clock.now() } else { front.header.epoch };
        let (place, body) = self.body_for_copy(victim, &segment, &front, found)?;
        let names = Names { key: front.header.key, family: front.header.family };
        let parts = Parts { meta: &front.meta, tags: &front.tags, body: &body };
        let mut header = header(names, front.header.seq, epoch, &parts, front.header.body_len, place);
        header.epoch = header.epoch.max(front.header.epoch);
        count(&self.disk.counters.copied);
        add(&self.disk.counters.copied_bytes, header.record_len());
        let reads = match (victim.class, found.kind) {
            // Files buy their rounds where they queue themselves.
            (_, Kind::File) => found.reads,
            (Class::Small, _) => 0,
            (Class::Main, _) => found.reads.saturating_sub(1),
        };
        self.append(Class::Main, &header, &parts, reads, Then::Replace { from: found.place, done: None })
    }

    /// Where the body of a copied record will be, and the bytes to write for it. A body that was separate from its
    /// metadata comes together with it again.
    fn body_for_copy(
        &self,
        victim: &Segment,
        segment: &Segment,
        front: &FoundHead,
        found: Found,
    ) -> io::Result<(Place, Vec<u8>)> {
        let header = &front.header;
        let body_len = header.body_len;
        let body = match header.place {
            Place::File => return Ok((Place::File, Vec::new())),
            Place::Here => {
                read_body(&*segment.file, found.place.offset.saturating_add(header.body_at()), body_len)?
            }
            Place::Record { run, segment: number, body_at, .. } => {
                if (run, number) != (victim.run, victim.number) {
                    return Ok((header.place, Vec::new()));
                }
                read_body(&*victim.file, body_at, body_len)?
            }
        };
        if body_is_sound(header.seq, body_len, &body) {
            Ok((Place::Here, body))
        } else {
            count(&self.disk.counters.corrupt);
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Removes a segment with its table.
    fn discard(&self, victim: &Segment) {
        let disk = &self.disk;
        disk.segments.remove(victim.id);
        for path in [&victim.path, &victim.table_path] {
            match disk.files.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => disk.health.write_failed(&error),
                _ => {}
            }
        }
        disk.space.give_back(victim.charged.load(Relaxed));
    }

    /// Whether no other process uses the folder.
    pub(super) fn alone(&self) -> bool {
        self.disk.tails.lock().is_empty() && self.disk.may_evict.load(Relaxed)
    }
}

/// Whether every chunk of a body is what was written.
pub(super) fn body_is_sound(seq: u64, body_len: u64, stored: &[u8]) -> bool {
    if stored.len() as u64 != stored_len(body_len) {
        return false;
    }
    let chunks = stored.chunks(usize::try_from(STORED_CHUNK).unwrap_or(usize::MAX));
    chunks.enumerate().all(|(index, chunk)| {
        chunk.len() == chunk_len(body_len, index as u64) + 4 && chunk_is_sound(seq, index as u64, chunk)
    })
}

/// Whether the record at `offset` of a segment is whole, body and all.
pub(super) fn record_is_sound(file: &dyn Handle, header: &Header, offset: u64) -> io::Result<bool> {
    let mut footer = [0; FOOTER];
    read_exact(file, &mut footer, offset.saturating_add(header.footer_at()))?;
    if !header.is_footer(&footer) {
        return Ok(false);
    }
    if header.place != Place::Here {
        return Ok(true);
    }
    let body = read_body(file, offset.saturating_add(header.body_at()), header.body_len)?;
    Ok(body_is_sound(header.seq, header.body_len, &body))
}

/// Reads the table of `segment` from its file.
pub(super) fn read_table(disk: &super::Disk, segment: &Segment) -> io::Result<toc::Table> {
    toc::read(&*disk.files.open(&segment.table_path, Mode::Read)?)
}
