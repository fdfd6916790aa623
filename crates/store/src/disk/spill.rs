//! A body that goes into a file of its own while it comes in, behind everybody's back.
//!
//! What comes is [queued](super::backlog) for the threads that write, and nobody waits for them while they keep up. What is in the
//! file can be read at once, by anybody who is too far behind for the fill's window. When all of it is there the file is
//! synced by threads of their own, and only then its metadata is written: a file whose metadata is found is whole, whatever
//! happened. Until then it belongs to nobody: given up, it is removed.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Disk;
use super::backlog::{Backlog, End};
use super::chunks::Chunks;
use super::finishing::Unfinished;
use super::io::{Handle, Mode};
use super::pieces::Recent;
use super::record::stored_len;
use super::stats::{add, count};

/// Bytes of the disk taken at a time when the length is not known.
pub(super) const GRANT: u64 = 4 << 20;
/// How often a fill that waits for the disk looks whether somebody waits for the fill.
const LOOK: Duration = Duration::from_millis(10);
/// How long a fill waits for a disk that does nothing, although nobody waits for the fill.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a body does not go to the disk any more.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SpillError {
    #[error("there is no room on the disk")]
    NoRoom,
    #[error("the disk does not keep up")]
    TooSlow,
    #[error("{0}")]
    Io(Arc<io::Error>),
}

/// What becomes of a body once all of it has come.
pub(crate) trait Finish: std::fmt::Debug + Send {
    /// All of it is in the file.
    fn written(&mut self);
    /// All of it is on the disk, or will never be.
    fn done(self: Box<Self>, result: Result<(), SpillError>);
}

/// The file of a fill, as readers see it.
#[derive(Debug)]
pub(crate) struct Spill {
    pub(super) disk: Arc<Disk>,
    pub(super) seq: u64,
    /// Bytes of body, where that is known.
    pub(super) expected: Option<u64>,
    /// It is there before anything is written.
    pub(super) file: OnceLock<Arc<dyn Handle>>,
    /// Bytes of body that can be read from the file: whole chunks until the end is there.
    pub(super) written: AtomicU64,
    /// Bytes charged for it.
    pub(super) charged: AtomicU64,
    /// The file is an object's now.
    kept: AtomicBool,
    /// What readers of the file have read lately.
    recent: Arc<Recent>,
    pub(super) backlog: Mutex<Backlog>,
    /// Told of whatever the disk has done.
    pub(super) moved: Notify,
}

impl Spill {
    /// Bytes of body that can be read from the file.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(SeqCst)
    }

    /// A reader of what is in the file; none before anything is.
    pub(crate) fn reader(&self) -> Option<Chunks> {
        let file = Arc::clone(self.file.get()?);
        Some(Chunks::shared(Arc::clone(&self.disk), file, self.seq, Arc::clone(&self.recent)))
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// The file belongs to an object from now on: the disk's own bookkeeping removes it.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Relaxed);
    }

    /// Makes the file, with the blocks that it needs if that is known.
    pub(super) fn open(&self) -> io::Result<Arc<dyn Handle>> {
        let (disk, path) = (&self.disk, self.disk.folder.object(self.seq));
        let file = disk.files.open(&path, Mode::Create).or_else(|error| {
            let Some(folder) = path.parent().filter(|_| error.kind() == io::ErrorKind::NotFound) else {
                return Err(error);
            };
            disk.files.make_folder(folder)?;
            disk.files.open(&path, Mode::Create)
        })?;
        if let Some(expected) = self.expected {
            file.allocate(stored_len(expected)).inspect_err(|_| {
                let _ = disk.files.remove(&path);
            })?;
        }
        Ok(Arc::clone(self.file.get_or_init(|| file)))
    }

    /// Returns when all of the body, which is `len` bytes long, is on the disk.
    pub(super) fn sync(&self, len: u64) -> io::Result<()> {
        let file = self.file.get().ok_or(io::ErrorKind::NotFound)?;
        file.set_len(stored_len(len))?;
        file.sync()
    }

    /// The body is `len` bytes long, and takes no more of the disk than that.
    pub(super) fn charge_for(&self, len: u64) {
        let charged = self.charged.swap(stored_len(len), Relaxed);
        self.disk.space.give_back(charged.saturating_sub(stored_len(len)));
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if self.kept.load(Relaxed) {
            return;
        }
        let (disk, seq, charged) = (Arc::clone(&self.disk), self.seq, self.charged.load(Relaxed));
        if self.file.get().is_none() {
            return disk.space.give_back(charged);
        }
        self.disk.writes.spawn(move || match disk.files.remove(&disk.folder.object(seq)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => disk.health.write_failed(&error),
            _ => disk.space.give_back(charged),
        });
    }
}

/// The writer's end. Dropped, what is not written yet is not written any more.
#[derive(Debug)]
pub(crate) struct SpillWriter {
    spill: Arc<Spill>,
    /// For how long clients have waited for the disk.
    stalled: Duration,
}

impl Disk {
    /// Starts the file with number `seq`, for a body of `expected` bytes where that is known. It waits for nothing: that there
    /// is no room in the end shows at one of the next calls.
    pub(crate) fn spill(
        self: &Arc<Self>,
        seq: u64,
        expected: Option<u64>,
    ) -> Result<SpillWriter, SpillError> {
        // A body that is larger than half of the disk is taken when there is room for it: only nothing is evicted for it.
        if !self.health.may_write() || expected.map_or(0, stored_len) > self.space.limit() {
            return Err(SpillError::NoRoom);
        }
        if self.behind.load(Relaxed) >= self.config.fill_buffer || self.unfinished() >= self.config.fill_queue
        {
            return Err(SpillError::TooSlow);
        }
        let spill = Arc::new(Spill {
            disk: Arc::clone(self),
            seq,
            expected,
            file: OnceLock::new(),
            written: AtomicU64::new(0),
            charged: AtomicU64::new(0),
            kept: AtomicBool::new(false),
            recent: Arc::default(),
            backlog: Mutex::default(),
            moved: Notify::new(),
        });
        spill.pump(&mut spill.backlog.lock());
        Ok(SpillWriter { spill, stalled: Duration::ZERO })
    }

    /// A fill went on without its file.
    pub(crate) fn count_detached(&self, error: &SpillError) {
        count(&self.counters.detached);
        self.count_refused(error);
    }

    /// The disk did not take a body in a file of its own.
    pub(crate) fn count_refused(&self, error: &SpillError) {
        match error {
            SpillError::NoRoom => count(&self.counters.dropped_space),
            SpillError::TooSlow => count(&self.counters.dropped_slow),
            // Counted as an error.
            SpillError::Io(_) => {}
        }
    }
}

impl SpillWriter {
    pub(crate) fn spill(&self) -> &Arc<Spill> {
        &self.spill
    }

    /// Appends `data`. Waits when the disk is further behind than it may be: while somebody is `awaited`, no longer than
    /// `fill_patience` for the whole body.
    ///
    /// # Errors
    /// When the body does not get to the disk.
    pub(crate) async fn append(&mut self, data: Bytes, awaited: impl Fn() -> bool) -> Result<(), SpillError> {
        self.spill.push(data)?;
        let disk = &self.spill.disk;
        let patience = disk.config.fill_patience;
        let began = Instant::now();
        loop {
            let moved = self.spill.moved.notified();
            if !self.spill.is_behind()? {
                return Ok(());
            }
            if self.stalled >= patience || began.elapsed() >= patience.max(PATIENCE) {
                return Err(SpillError::TooSlow);
            }
            let (counts, step) = (awaited(), Instant::now());
            // Either way the next round looks what there is.
            let _ = tokio::time::timeout(LOOK, moved).await;
            if counts {
                let waited = step.elapsed();
                self.stalled = self.stalled.saturating_add(waited);
                add(&disk.counters.stalled_micros, u64::try_from(waited.as_micros()).unwrap_or(0));
            }
        }
    }

    /// All of it has come; `finish` is told when it is on the disk.
    pub(crate) fn finish(self, finish: Box<dyn Finish>) {
        let failed = {
            let mut backlog = self.spill.backlog.lock();
            match backlog.failed.clone() {
                Some(error) => Some((finish, error)),
                None => {
                    backlog.end = End::Finish(finish, Unfinished::begin(&self.spill.disk));
                    self.spill.pump(&mut backlog);
                    None
                }
            }
        };
        if let Some((finish, error)) = failed {
            finish.done(Err(error));
        }
    }

    /// The body is not kept; what has come of it is still written, for those who read it.
    pub(crate) fn let_go(self) {
        let mut backlog = self.spill.backlog.lock();
        backlog.end = End::LetGo;
        self.spill.pump(&mut backlog);
    }
}

impl Drop for SpillWriter {
    fn drop(&mut self) {
        let mut backlog = self.spill.backlog.lock();
        if matches!(backlog.end, End::Open) {
            backlog.end = End::LetGo;
            self.spill.forget(&mut backlog);
        }
    }
}

impl Spill {
    /// The body does not get to the disk. The caller does not hold the backlog.
    pub(super) fn fail(&self, error: SpillError) {
        if let SpillError::Io(error) = &error {
            count(&self.disk.counters.write_errors);
            self.disk.health.write_failed(error);
        }
        let end = {
            let mut backlog = self.backlog.lock();
            self.forget(&mut backlog);
            backlog.busy = false;
            backlog.failed = Some(error.clone());
            match &backlog.end {
                End::Finish(..) => std::mem::replace(&mut backlog.end, End::LetGo),
                End::Open | End::LetGo => End::Open,
            }
        };
        self.moved.notify_waiters();
        if let End::Finish(finish, _unfinished) = end {
            finish.done(Err(error));
        }
    }
}
