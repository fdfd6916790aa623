//! The disk tier: objects that survive a restart.
//!
//! - Objects are appended as [records](record) to [segments](segment): files of a fixed size that are never
//!   changed once they are full, only removed. Bodies over `large_object` get [files of their own](bodies), and only
//!   their metadata goes into a segment.
//! - The [index](index) tells where an object is. It lives in memory and is rebuilt from the segments' [tables of
//!   contents](toc) at a start, newest first, [while requests are served](recover).
//! - One thread per disk [writes](writer), [gives up](reclaim) what is oldest when room is needed, and never lets the
//!   bytes pass `size`. Whoever reads does so [at once or through a pool](reading).
//! - [Purges](crate::purges) are names with a moment; their [journal](journal) is the only thing that is synced before
//!   anybody gets an answer.
//! - All file access goes through a [trait](io); what fails is counted, and too much of it takes the disk
//!   [out of use](health). A disk that fails costs hits.

mod admission;
mod anew;
mod append;
mod backlog;
mod batch;
pub(crate) mod bodies;
pub(crate) mod chunks;
mod find;
mod finishing;
pub(crate) mod folder;
mod front;
pub(crate) mod ghosts;
pub(crate) mod health;
mod index;
pub(crate) mod inspect;
pub(crate) mod io;
pub(crate) mod journal;
mod others;
mod pieces;
mod pool;
mod put;
mod read_buffer;
pub(crate) mod reading;
mod reclaim;
pub(crate) mod record;
mod recover;
mod room;
pub(crate) mod segment;
#[cfg(feature = "simulation")]
pub(crate) mod simulation;
mod space;
pub(crate) mod spill;
mod start;
pub(crate) mod stats;
pub(crate) mod toc;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use bodies::Bodies;
pub(crate) use find::OnDisk;
use finishing::Finishing;
use folder::{Folder, FolderError};
use ghosts::Ghosts;
use health::{Health, is_full, is_trouble};
use index::{Found, Index, Kind};
use io::{Files, Handle};
use journal::{Journal, Tail};
use pool::Pool;
pub(crate) use put::{Link, Put, Until};
use read_buffer::ReadBuffer;
use segment::Segments;
use space::Space;
use start::Opened;
use stats::{Counters, DiskStats};
use writer::Job;

use crate::clock::Clock;
use crate::codec::ExtensionCodec;
use crate::purges::{Purge, Purges};

/// How long a disk may take to write what waits when the process ends.
const CLOSE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What a disk is asked to be, resolved from the settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Bytes it may take.
    pub(crate) size: u64,
    /// Bytes of a segment.
    pub(crate) segment: u64,
    /// Threads that read.
    pub(crate) io_threads: usize,
    /// Reads that may wait.
    pub(crate) io_queue: usize,
    /// Bytes read that clients may not have taken yet.
    pub(crate) read_buffer: u64,
    /// Bytes of objects that may wait to be written.
    pub(crate) write_buffer: u64,
    /// Threads that write bodies into files of their own, and as many that sync.
    pub(crate) write_threads: usize,
    /// Bytes of bodies on their way into files of their own that may wait to be written; a quarter of it of one body.
    pub(crate) fill_buffer: u64,
    /// Bodies that may wait to be synced.
    pub(crate) fill_queue: u64,
    /// For how long one body may hold those up who read along.
    pub(crate) fill_patience: std::time::Duration,
    /// Errors a minute that are forgiven.
    pub(crate) error_budget: u32,
    /// Keys remembered of what was pushed out.
    pub(crate) ghosts: usize,
    /// First requests remembered, so that only what is asked for a second time is taken; everything is taken without.
    pub(crate) remembered: Option<usize>,
    /// Bytes of the file system that are left to others.
    pub(crate) min_free: u64,
}

impl Config {
    /// The largest record that goes into a segment, in bytes.
    pub(crate) fn max_record(&self) -> u64 {
        self.segment / 2
    }
}

/// What all disks of a store share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) purges: Arc<Purges>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) codec: Arc<dyn ExtensionCodec>,
}

/// How far the look through what was there has come.
#[derive(Debug, Default)]
struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    complete: AtomicBool,
}

/// Whether an object is worth keeping although nobody read it here: it was read in memory.
pub(crate) type Hot = Box<dyn Fn(u128) -> bool + Send + Sync>;

/// A disk in use.
pub(crate) struct Disk {
    /// Its place among the disks of the store.
    number: usize,
    folder: Folder,
    files: Arc<dyn Files>,
    config: Config,
    index: Index,
    segments: Segments,
    space: Space,
    bodies: Bodies,
    ghosts: Ghosts,
    /// What was asked for, if that counts.
    requested: Option<Ghosts>,
    health: Health,
    counters: Counters,
    /// Reads for hits.
    pool: Pool,
    /// What they have read and nobody has taken yet.
    read_buffer: Arc<ReadBuffer>,
    /// Writes of bodies that go into files of their own.
    writes: Pool,
    /// Syncs, which may take long.
    syncs: Pool,
    /// Bytes of bodies that are not in their files yet.
    behind: AtomicU64,
    finishing: Finishing,
    purges: Arc<Purges>,
    clock: Arc<Clock>,
    codec: Arc<dyn ExtensionCodec>,
    journal: Mutex<Option<Journal>>,
    tails: Mutex<Vec<Tail>>,
    hot: std::sync::OnceLock<Hot>,
    jobs: crossbeam_channel::Sender<Job>,
    queued: AtomicU64,
    progress: Progress,
    may_evict: AtomicBool,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Why a disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file system call failed.
    #[error("disk {path}: {source}")]
    Io {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl DiskError {
    /// Whether the disk is in trouble: full, failing, or read-only. Anything else is a matter of how it is set up.
    pub(crate) fn is_trouble(&self) -> bool {
        match self {
            Self::Folder(FolderError::Io { source, .. }) | Self::Io { source, .. } => is_trouble(source),
            Self::Folder(_) => false,
        }
    }
}

impl Disk {
    /// Takes a place in the folder `root`, and adds the purges found there to those of `shared`.
    pub(crate) fn open(
        files: Arc<dyn Files>,
        number: usize,
        root: &std::path::Path,
        config: Config,
        shared: &Shared,
    ) -> Result<Opened, DiskError> {
        let failed = |source| DiskError::Io { path: root.to_owned(), source };
        let (folder, entrance) = Folder::open(&*files, root)?;
        let pool = Pool::new("io", config.io_threads, config.io_queue).map_err(failed)?;
        // What they are given is bounded by the bytes that may wait, and by the number of responses on their way in.
        let writes = Pool::new("write", config.write_threads, 0).map_err(failed)?;
        let syncs = Pool::new("sync", config.write_threads, 0).map_err(failed)?;
        // Entries are bounded by the bytes, so the channel needs no bound of its own.
        let (jobs, todo) = crossbeam_channel::unbounded();
        let disk = Arc::new(Self {
            number,
            index: Index::new(),
            segments: Segments::default(),
            space: Space::new(config.size),
            bodies: Bodies::default(),
            ghosts: Ghosts::new(config.ghosts),
            requested: config.remembered.map(Ghosts::new),
            health: Health::new(root.to_owned(), config.error_budget),
            counters: Counters::default(),
            pool,
            read_buffer: ReadBuffer::new(config.read_buffer),
            writes,
            syncs,
            behind: AtomicU64::new(0),
            finishing: Finishing::default(),
            purges: Arc::clone(&shared.purges),
            clock: Arc::clone(&shared.clock),
            codec: Arc::clone(&shared.codec),
            journal: Mutex::default(),
            tails: Mutex::default(),
            hot: std::sync::OnceLock::new(),
            jobs,
            queued: AtomicU64::new(0),
            progress: Progress::default(),
            may_evict: AtomicBool::new(false),
            folder,
            files,
            config,
        });
        disk.read_purges().map_err(failed)?;
        Ok(Opened { disk, todo, entrance })
    }

    /// Takes note of a purge that is on a disk.
    fn learn(&self, purge: &Purge) {
        self.clock.not_before(purge.epoch);
        self.purges.add(purge);
    }

    /// Records purges for good. On an error the disk goes out of use: it may hold what they name.
    pub(crate) fn record_purges(&self, purges: &[Purge]) -> bool {
        let append = || match self.journal.lock().as_mut() {
            Some(journal) => journal.append(purges).map(|()| true),
            None => Ok(false),
        };
        let recorded = match append() {
            // Something older gives way to it.
            Err(error) if is_full(&error) && self.give_way() => append(),
            recorded => recorded,
        };
        match recorded {
            Ok(recorded) => recorded,
            Err(error) => {
                stats::count(&self.counters.write_errors);
                self.health.purge_failed(&error);
                false
            }
        }
    }

    /// Makes room for the next purges, so that they are recorded quickly. Nobody waits for it.
    pub(crate) fn ready_journal(&self) {
        if let Some(journal) = self.journal.lock().as_mut() {
            // Then the next purge makes it, or fails.
            let _ = journal.make_room();
        }
    }

    /// Has the writer give up something. False when it does not get to it.
    pub(crate) fn give_way(&self) -> bool {
        self.ask(Job::GiveWay) == Some(true)
    }

    /// Asks the writer for something, and waits until it has done it. None without a writer, false when it takes too long.
    fn ask(&self, job: impl FnOnce(crossbeam_channel::Sender<()>) -> Job) -> Option<bool> {
        let (done, wait) = crossbeam_channel::bounded(1);
        self.jobs.send(job(done)).ok()?;
        Some(wait.recv_timeout(CLOSE_PATIENCE).is_ok())
    }

    /// Rewrites the journal when most of it is history.
    fn shorten_journal(&self) {
        let mut journal = self.journal.lock();
        let Some(journal) = journal.as_mut().filter(|journal| journal.is_long(self.purges.len())) else {
            return;
        };
        // Purges recorded from now on wait for the lock; those in the table already are in the new file.
        if let Err(error) = journal.shorten(&*self.files, &self.folder, &self.purges.all()) {
            stats::count(&self.counters.write_errors);
            self.health.write_failed(&error);
        }
    }

    /// Forgets `key`. The purge itself is a matter of the shared table; this only frees the slot.
    pub(crate) fn forget(&self, key: u128) -> bool {
        let found = self.index.remove(key);
        if let Some(found) = found {
            self.discard(found);
        }
        found.is_some()
    }

    /// What was `found` is in the index no more. A body in a file of its own, which may be most of the disk, goes at once; what
    /// is in a segment goes with that.
    fn discard(&self, found: Found) {
        if found.kind == Kind::File {
            // Without a writer nothing is written, and nothing needs the room.
            let _ = self.jobs.send(Job::Discard(found));
        }
    }

    /// Forgets all there is.
    pub(crate) fn forget_all(&self) -> u64 {
        let objects = self.index.len();
        self.index.clear();
        objects
    }

    /// Whether the disk can be asked.
    pub(crate) fn is_usable(&self) -> bool {
        self.health.may_read()
    }

    /// Whether there may be an object with this key.
    pub(crate) fn may_have(&self, key: u128) -> bool {
        self.health.may_read() && self.index.get(key).is_some()
    }

    pub(crate) fn root(&self) -> &std::path::Path {
        self.folder.root()
    }

    /// Says which objects are in memory.
    pub(crate) fn set_hot(&self, hot: Hot) {
        // A second store cannot sit above the same disk.
        let _ = self.hot.set(hot);
    }

    /// Whether all that was there at the start has been looked through.
    pub(crate) fn is_recovered(&self) -> bool {
        self.progress.complete.load(Relaxed)
    }

    /// Writes what waits to be written, and returns when it is in its file.
    pub(crate) fn flush(&self) {
        self.all_finished(std::time::Duration::MAX);
        let (done, wait) = crossbeam_channel::bounded(1);
        if self.jobs.send(Job::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Writes what waits to be written and seals what is open: a process that opens the folder now finds all of it.
    pub(crate) fn seal(&self) {
        self.finish_bodies();
        // A disk that hangs does not hold an upgrade up.
        if self.ask(Job::Seal) == Some(false) {
            log::warn!("disk {}: what is new there is found later", self.folder.root().display());
        }
    }

    /// Leaves the folder to a younger process: what waits is written, nothing is written or evicted afterwards. What is
    /// there can still be read, and purges are recorded as before.
    pub(crate) fn step_down(&self) {
        self.finish_bodies();
        // A disk that hangs does not hold the upgrade up: its lock is free at the latest when this process ends.
        if self.ask(Job::StepDown) == Some(false) {
            log::warn!("disk {}: it is not handed over in time", self.folder.root().display());
        }
    }

    /// Writes what waits to be written, seals what is open, and gives up the place in the folder. Nothing is
    /// written afterwards.
    pub(crate) fn close(&self) {
        self.finish_bodies();
        // A disk that hangs does not keep the process from ending.
        if self.ask(Job::Close) == Some(false) {
            log::warn!("disk {}: what waited was not written in time", self.folder.root().display());
        }
        *self.journal.lock() = None;
        self.may_evict.store(false, Relaxed);
        self.folder.leave();
    }

    #[cfg(test)]
    pub(crate) fn break_journal(&self) {
        let files = io::faulty::FaultyFiles::sound(io::faulty::Fault::From(5), true);
        let path = self.folder.root().join("purges/ffffffff");
        if let Some(journal) = self.journal.lock().as_mut() {
            journal.swap_file(files.open(&path, io::Mode::Create).unwrap());
        }
        self.files.remove(&path).unwrap();
        files.break_now();
    }

    #[cfg(test)]
    pub(crate) fn vanish(&self) {
        self.health.purge_failed(&std::io::Error::other("killed by a test"));
        let (done, wait) = crossbeam_channel::bounded(1);
        if self.jobs.send(Job::Die(done)).is_ok() {
            let _ = wait.recv();
        }
        self.folder.leave();
    }

    pub(crate) fn stats(&self) -> DiskStats {
        let (total, done) = (self.progress.total.load(Relaxed), self.progress.done.load(Relaxed));
        let recovered = if self.is_recovered() {
            1.0
        } else if total == 0 {
            0.0
        } else {
            // Complete is said by the flag alone.
            (done as f64 / total as f64).min(0.999)
        };
        DiskStats {
            path: self.folder.root().to_owned(),
            state: self.health.state(),
            objects: self.index.len(),
            bytes: self.space.used(),
            capacity_bytes: self.space.size(),
            limit_bytes: self.space.limit(),
            segments: self.segments.len() as u64,
            files: self.bodies.len() as u64,
            index_bytes: self.index.bytes(),
            purges: self.purges.len() as u64,
            remembered: self.requested.as_ref().map_or(0, Ghosts::len),
            queue: self.jobs.len() as u64,
            queue_bytes: self.queued.load(Relaxed),
            reads_waiting: self.pool.waiting(),
            read_buffer_bytes: self.read_buffer.used(),
            fill_bytes: self.behind.load(Relaxed),
            fills_unfinished: self.unfinished(),
            recovered,
            counts: self.counters.snapshot(),
        }
    }
}

impl Disk {
    /// A file opened for the writer.
    fn create(&self, path: &std::path::Path) -> std::io::Result<Arc<dyn Handle>> {
        self.files.open(path, io::Mode::Create)
    }
}
