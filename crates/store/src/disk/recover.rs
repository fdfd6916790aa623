//! After a start: finding again what is there, newest first, while requests are served.
//!
//! The [survey] only lists segments and counts bytes, so that the bound holds from the first moment. Then a thread
//! reads table after table, from the newest segment to the oldest, and puts into the index what is not there yet:
//! what is newer always came first, or was written meanwhile. A segment that its process could not seal is looked
//! through beyond its table, and from end to end if the machine was started anew since, when what was never synced
//! may be missing. Its tail is cut at the first record that is not whole.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::Disk;
use super::append::{seal_on_disk, table_bytes};
use super::bodies::BodyFile;
use super::find::place;
use super::index::{Found, Kind};
use super::io::{Handle, Mode, read_exact};
use super::reclaim::{read_table, record_is_sound};
use super::record::{HEADER, Header, UNIT};
use super::segment::{Class, Segment};
use super::stats::count;
use super::toc::{Entry, Table};

/// Bodies in files that were found in the folder, by number, with their bytes.
#[derive(Debug, Default)]
pub(super) struct Survey {
    bodies: Vec<(u64, u64)>,
}

/// Lists what is there and charges for it.
pub(super) fn survey(disk: &Disk) -> io::Result<Survey> {
    for (run, number, class) in disk.folder.segments_of_others(&*disk.files)? {
        let file = match disk.files.open(&disk.folder.segment(run, number, class), Mode::Read) {
            Ok(file) => file,
            // Evicted by another process, or out of reach: the rest is of use all the same.
            Err(error) => {
                disk.health.read_failed(&error);
                continue;
            }
        };
        let segment = Segment::of_another(disk, (run, number, class), file, disk.folder.lives(run))?;
        disk.space.charge(segment.charged.load(Relaxed));
        disk.segments.add(segment);
    }
    let mut survey = Survey::default();
    let folder = disk.folder.objects_folder();
    for sub in disk.files.list(&folder)? {
        for name in disk.files.list(&folder.join(&sub)).unwrap_or_default() {
            let Ok(seq) = u64::from_str_radix(&name, 16) else { continue };
            if let Ok(len) = disk.files.open(&folder.join(&sub).join(&name), Mode::Read).and_then(|f| f.len())
            {
                disk.space.charge(len);
                survey.bodies.push((seq, len));
            }
        }
    }
    disk.progress.total.store(disk.segments.len() as u64, Relaxed);
    Ok(survey)
}

/// Looks through everything that `survey` found.
pub(super) fn run(disk: &Arc<Disk>, survey: Survey) {
    let began = Instant::now();
    let segments: Vec<Arc<Segment>> =
        disk.segments.all().into_iter().filter(|segment| segment.run != disk.folder.run()).collect();
    let mut wanted: HashSet<u64, ahash::RandomState> = HashSet::default();
    let mut owners = Vec::new();
    let mut said = Instant::now();
    for segment in segments.iter().rev() {
        // It may have been given up meanwhile.
        if disk.segments.get(segment.id).is_some() {
            let table = contents(disk, segment);
            // Later entries are newer.
            for entry in table.entries.iter().rev() {
                if adopt(disk, segment, entry) && entry.kind == Kind::File && wanted.insert(entry.seq) {
                    owners.push((entry.seq, (entry.key, segment.class, segment.id)));
                }
            }
        }
        let done = disk.progress.done.fetch_add(1, Relaxed).saturating_add(1);
        if said.elapsed().as_secs() >= 5 {
            said = Instant::now();
            log::info!("disk {}: {done} of {} segments read", disk.folder.root().display(), segments.len());
        }
    }
    adopt_bodies(disk, survey, &owners);
    clear_away(disk);
    disk.progress.complete.store(true, Relaxed);
    log::info!(
        "disk {}: {} objects in {} segments and {} files, read in {:.2} s",
        disk.folder.root().display(),
        disk.index.len(),
        segments.len(),
        disk.bodies.len(),
        began.elapsed().as_secs_f64()
    );
}

fn adopt(disk: &Disk, segment: &Segment, entry: &Entry) -> bool {
    let at = place(segment.id, entry.offset);
    disk.index.insert_absent(entry.key, Found { place: at, len: entry.len, reads: 0, kind: entry.kind })
}

/// The key of a file's object, and the segment of its metadata: where the file queues, and how old it is.
type Owner = (u128, Class, u32);

/// Queues the files that belong to an object, and removes those that do not: their fill did not come to its end, or
/// their object was replaced.
fn adopt_bodies(disk: &Disk, survey: Survey, owners: &[(u64, Owner)]) {
    let owners: HashMap<u64, Owner, ahash::RandomState> = owners.iter().copied().collect();
    // What another process is just filling belongs to no object yet.
    let others = disk.folder.other_runs().iter().any(|run| !run.dead);
    let mut found = Vec::new();
    for (seq, bytes) in survey.bodies {
        if let Some((key, class, after)) = owners.get(&seq).copied() {
            found.push(BodyFile { seq, key, bytes, class, after });
        } else if disk.may_evict.load(Relaxed) && !others {
            match disk.files.remove(&disk.folder.object(seq)) {
                Ok(()) => disk.space.give_back(bytes),
                Err(error) => disk.health.read_failed(&error),
            }
        }
    }
    disk.bodies.add_found(found);
}

/// The traces of processes that are gone: nothing of them is unsealed any more.
fn clear_away(disk: &Disk) {
    if !disk.may_evict.load(Relaxed) {
        return;
    }
    for run in disk.folder.other_runs().iter().filter(|run| run.dead) {
        // One that stays is looked at again at the next start.
        let _ = disk.files.remove(&disk.folder.life(run.number));
    }
}

/// What is in `segment`: by its table as far as that goes, by looking through the segment beyond.
pub(super) fn contents(disk: &Disk, segment: &Segment) -> Table {
    let mut table = match read_table(disk, segment) {
        Ok(table) => table,
        Err(error) => {
            disk.health.read_failed(&error);
            Table { damaged: true, ..Table::default() }
        }
    };
    let mine = segment.run == disk.folder.run();
    if !(table.sealed || mine) {
        let same_boot = disk.folder.other_runs().iter().any(|run| run.number == segment.run && run.same_boot);
        if !same_boot {
            // What the table names was perhaps never on the disk.
            table.entries.retain(|entry| is_whole(disk, segment, entry));
        }
        let from = table.end();
        scan(segment, from, &mut table);
        if !disk.folder.lives(segment.run) && disk.may_evict.load(Relaxed) {
            finish(disk, segment, &table);
        }
    } else if table.damaged {
        let from = table.end();
        scan(segment, from, &mut table);
    }
    // What is in it is not older than its oldest record; until now it might have been.
    if !segment.is_open() {
        let epochs = table.entries.iter().map(|entry| entry.epoch);
        segment.epoch.store(epochs.min().unwrap_or(u64::MAX), Relaxed);
    }
    table
}

fn is_whole(disk: &Disk, segment: &Segment, entry: &Entry) -> bool {
    let header = header_at(&*segment.file, entry.offset);
    let whole = header.is_some_and(|header| {
        header.key == entry.key && record_is_sound(&*segment.file, &header, entry.offset).unwrap_or(false)
    });
    if !whole {
        count(&disk.counters.corrupt);
    }
    whole
}

/// The header at `offset` of a segment; none when there is no record.
pub(super) fn header_at(file: &dyn Handle, offset: u64) -> Option<Header> {
    let mut bytes = [0; HEADER];
    read_exact(file, &mut bytes, offset).ok()?;
    Header::decode(&bytes)
}

/// Adds the records from `from` on, up to the first that is not whole.
fn scan(segment: &Segment, from: u64, table: &mut Table) {
    let mut offset = from;
    while let Some(header) = header_at(&*segment.file, offset) {
        if !record_is_sound(&*segment.file, &header, offset).unwrap_or(false) {
            // The process was stopped while it wrote this one.
            log::info!("{}: cut at {offset}, where a record was not finished", segment.path.display());
            break;
        }
        table.entries.push(Entry::of(&header, offset));
        offset = offset.saturating_add(header.record_len().max(UNIT));
    }
}

/// Seals what its process could not: cuts the segment to what is used, and writes its table anew.
fn finish(disk: &Disk, segment: &Segment, table: &Table) {
    let done = (|| {
        let file = disk.files.open(&segment.path, Mode::Write)?;
        file.set_len(table.end())?;
        let lines: Vec<u8> =
            table.entries.iter().flat_map(|entry| super::toc::Line::Record(*entry).encode()).collect();
        let toc = disk.files.open(&segment.table_path, Mode::Write)?;
        super::io::write_all(&*toc, &lines, 0)?;
        toc.set_len(lines.len() as u64)?;
        seal_on_disk(&*file, &*toc, lines.len() as u64)
    })();
    match done {
        Ok(()) => {
            let bytes = table.end().saturating_add(table_bytes(table.entries.len()));
            let before = segment.charged.swap(bytes, Relaxed);
            disk.space.charge(bytes);
            disk.space.give_back(before);
        }
        // It is looked through again at the next start.
        Err(error) => disk.health.write_failed(&error),
    }
}
