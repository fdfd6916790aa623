//! Other processes in the folder, as during an upgrade: what they purge, what they wrote, what they removed.
//!
//! The older process evicts and the younger one reads what was there when it came. When the older one
//! [steps down](Writer::step_down) it seals its segments and lets go of the lock; the younger one takes the lock and
//! [adopts](Writer::adopt_segment) what was written meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::bodies::BodyFile;
use super::find::place;
use super::folder::{Entrance, parse_segment};
use super::index::{Found, Kind};
use super::io::Mode;
use super::journal::{Next, Tail};
use super::recover;
use super::segment::Segment;
use super::toc::{self, Entry};
use super::writer::Writer;

impl Writer {
    /// Leaves the folder to a younger process: what waits is written, what is open is sealed, and nothing is written
    /// or evicted afterwards. What is there can still be read, and purges are still recorded.
    pub(super) fn step_down(&mut self) {
        self.seal_open();
        self.disk.health.retire();
        self.disk.may_evict.store(false, Relaxed);
        self.disk.folder.leave_eviction();
    }

    /// Now and then: what other processes do in the folder, and purges that have done their work.
    pub(super) fn look_after_folder(&mut self) {
        let disk = Arc::clone(&self.disk);
        self.see_to_folder();
        self.give_way();
        if !disk.may_evict.load(Relaxed) && disk.health.may_write() {
            match disk.folder.try_evict_lock() {
                Ok(true) => {
                    log::info!("disk {}: this process evicts from now on", disk.folder.root().display());
                    disk.may_evict.store(true, Relaxed);
                }
                Ok(false) => {}
                Err(error) => disk.health.read_failed(&error),
            }
        }
        self.follow_others();
        if self.todo.is_empty()
            && disk.is_recovered()
            && self.alone()
            && disk.purges.len() > 0
            && let Some(epoch) = disk.segments.earliest_epoch()
            && let Some(_entrance) = self.kept_out()
        {
            // The queue is empty now, so what is in the segments is all there is. What comes later was judged by
            // the purges of until now.
            disk.purges.nothing_older(disk.number, epoch.min(disk.clock.now()));
            disk.shorten_journal();
        }
    }

    /// Keeps other processes out, so that none comes in between: it would miss a purge that is forgotten then.
    fn kept_out(&self) -> Option<Entrance> {
        let kept = self.disk.folder.keep_out(&*self.disk.files);
        kept.inspect_err(|error| self.disk.health.read_failed(error)).ok().flatten()
    }

    /// Learns the purges of other processes, takes over their segments when they are done with them, counts those that
    /// they are not done with, and forgets those they removed.
    fn follow_others(&mut self) {
        let disk = Arc::clone(&self.disk);
        self.meet_others();
        if disk.tails.lock().is_empty() && self.foreign == 0 {
            return;
        }
        // Asked before their journals are read: who is over by then has written all there is to read.
        let mut over: Vec<u32> = {
            let tails = disk.tails.lock();
            let runs = tails.iter().map(|tail| tail.run);
            runs.filter(|run| disk.folder.is_over(&*disk.files, *run)).collect()
        };
        for tail in disk.tails.lock().iter_mut() {
            let run = tail.run;
            let told = tail.more(&*disk.files, &mut |next| match next {
                Next::Purge(purge) => disk.learn(purge),
                Next::Gap => disk.learn_everything(run),
            });
            if let Err(error) = &told {
                disk.health.read_failed(error);
            }
            if told.is_err() || tail.is_unsure() {
                // There is more to read, though nothing is added any more.
                over.retain(|over| *over != run);
            }
        }
        let Ok(names) = disk.files.list(&disk.folder.segments_folder()) else { return };
        let names: HashSet<String, ahash::RandomState> = names.into_iter().collect();
        self.forget_removed(&names);
        // Before it has looked through what was there at its start, everything may still be found by that.
        if disk.is_recovered() {
            for segment in disk.segments.all() {
                if segment.run != disk.folder.run() && segment.is_open() {
                    self.adopt_segment(&segment, over.contains(&segment.run));
                }
            }
        }
        let mut foreign = 0u64;
        for name in &names {
            let Some((run, number, class)) = parse_segment(name) else { continue };
            if run == disk.folder.run() || disk.segments.named(run, number).is_some() {
                continue;
            }
            let file = disk.files.open(&disk.folder.segment(run, number, class), Mode::Read);
            let segment = file.and_then(|file| Segment::of_another(&disk, (run, number, class), file, true));
            let Ok(segment) = segment else { continue };
            let bytes = segment.file.len().unwrap_or(0);
            if disk.is_recovered() && self.adopt_segment(&segment, over.contains(&run)) {
                continue;
            }
            foreign = foreign.saturating_add(bytes);
        }
        disk.space.give_back(self.foreign);
        disk.space.charge(foreign);
        self.foreign = foreign;
        if disk.is_recovered() {
            disk.tails.lock().retain(|tail| !over.contains(&tail.run));
        }
    }

    /// Forgets the segments of other processes whose files are gone.
    fn forget_removed(&self, names: &HashSet<String, ahash::RandomState>) {
        let disk = &self.disk;
        let mut any_gone = false;
        for segment in disk.segments.all() {
            let name = segment.path.file_name().map(|name| name.to_string_lossy().into_owned());
            if segment.run != disk.folder.run() && name.is_some_and(|name| !names.contains(&name)) {
                disk.segments.remove(segment.id);
                disk.space.give_back(segment.charged.load(Relaxed));
                any_gone = true;
            }
        }
        if any_gone {
            disk.index.retain_segments(|id| disk.segments.get(id).is_some());
        }
    }

    /// Takes what is in the segment of another process into the index, once nothing is added to it any more: it is
    /// sealed, or its process is over. Whether it was.
    fn adopt_segment(&self, segment: &Arc<Segment>, over: bool) -> bool {
        let disk = &self.disk;
        if !(over || toc::is_sealed(&*disk.files, &segment.table_path)) {
            return false;
        }
        segment.open.store(false, Relaxed);
        let before = segment.charged.load(Relaxed);
        if disk.segments.get(segment.id).is_none() {
            // Charged for like those that were there at the start.
            disk.segments.add(Arc::clone(segment));
            disk.space.charge(before);
        }
        let table = recover::contents(disk, segment);
        let mut bodies = HashMap::<u64, u128, ahash::RandomState>::default();
        for entry in &table.entries {
            if self.adopt_entry(segment, entry) && entry.kind == Kind::File {
                bodies.insert(entry.seq, entry.key);
            }
        }
        bodies.retain(|seq, _| !disk.bodies.has(*seq));
        for (seq, key) in bodies {
            let file = disk.files.open(&disk.folder.object(seq), Mode::Read);
            let Ok(bytes) = file.and_then(|file| file.len()) else { continue };
            disk.space.charge(bytes);
            let (class, after) = (segment.class, segment.id);
            disk.bodies.add(BodyFile { seq, key, bytes, class, after });
        }
        true
    }

    /// Puts one record into the index, unless this process has a newer one of its own.
    fn adopt_entry(&self, segment: &Segment, entry: &Entry) -> bool {
        let disk = &self.disk;
        let found =
            Found { place: place(segment.id, entry.offset), len: entry.len, reads: 0, kind: entry.kind };
        let Some(known) = disk.index.get(entry.key) else {
            return disk.index.insert_absent(entry.key, found);
        };
        let owner = disk.segments.get(known.place.segment).map(|known| (known.run, known.number));
        let later = owner.is_none_or(|(run, number)| run == segment.run && number <= segment.number);
        later && known.place != found.place && disk.index.replace(entry.key, known.place, found)
    }

    /// Notices processes that came later. One that has gone again meanwhile may have purged something all the same.
    fn meet_others(&mut self) {
        let disk = &self.disk;
        let runs = match disk.folder.present_runs(&*disk.files) {
            Ok(runs) => runs,
            Err(error) => return disk.health.read_failed(&error),
        };
        let known = disk.folder.other_runs();
        let mut tails = disk.tails.lock();
        for &run in &runs {
            if known.iter().all(|other| other.number != run) && self.met.insert(run) {
                tails.push(Tail::new(run, disk.folder.purges(run)));
            }
        }
        // The file of a run is removed once its purges are in the journal of a later one.
        self.met.retain(|run| runs.contains(run));
    }
}
