//! A body that goes into a file of its own while it comes in.
//!
//! The writer gathers chunks and hands them to the pool, one write at a time; the next one is gathered meanwhile. What
//! is in the file can be read at once, by anybody who is too far behind for the fill's window. The file belongs to
//! nobody until its metadata is in a segment: given up, it is removed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Disk;
use super::io::{Handle, Mode, write_all};
use super::reading::{Chunks, Recent};
use super::record::{CHUNK, push_chunk, stored_len};
use super::stats::count;
use super::writer::Job;

/// Bytes handed over at a time.
const WRITE: usize = 256 << 10;
/// Bytes of the disk taken at a time when the length is not known.
const GRANT: u64 = 4 << 20;
/// How long the disk may take for one write before the fill goes on without it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a body does not go to the disk any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpillError {
    #[error("there is no room on the disk")]
    NoRoom,
    #[error("the disk does not answer")]
    TooSlow,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The file of a fill, as readers see it.
#[derive(Debug)]
pub(crate) struct Spill {
    disk: Arc<Disk>,
    file: Arc<dyn Handle>,
    seq: u64,
    /// Bytes of body that can be read from the file: whole chunks until the end is there.
    written: AtomicU64,
    /// Bytes charged for it.
    charged: AtomicU64,
    /// The file is an object's now.
    kept: AtomicBool,
    /// What readers of the file have read lately.
    recent: Arc<Recent>,
}

impl Spill {
    /// Bytes of body that can be read from the file.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(SeqCst)
    }

    /// A reader of what is in the file.
    pub(crate) fn reader(&self) -> Chunks {
        Chunks::shared(Arc::clone(&self.disk), Arc::clone(&self.file), self.seq, Arc::clone(&self.recent))
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// The file belongs to an object from now on: the disk's own bookkeeping removes it.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Relaxed);
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if !self.kept.load(Relaxed) {
            let (disk, seq, charged) = (Arc::clone(&self.disk), self.seq, self.charged.load(Relaxed));
            self.disk.pool.spawn(move || match disk.files.remove(&disk.folder.object(seq)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => disk.health.write_failed(&error),
                _ => disk.space.give_back(charged),
            });
        }
    }
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct SpillWriter {
    spill: Arc<Spill>,
    /// Bytes that are not a whole write yet.
    buffer: Vec<u8>,
    /// Bytes of body handed over.
    sent: u64,
    running: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Disk {
    /// Starts the file with number `seq`, for a body of `expected` bytes where that is known.
    pub(crate) async fn spill(
        self: &Arc<Self>,
        seq: u64,
        expected: Option<u64>,
    ) -> Result<SpillWriter, SpillError> {
        if !self.health.may_write() {
            return Err(SpillError::NoRoom);
        }
        let grant = expected.map_or(GRANT, stored_len);
        self.grant(grant).await?;
        let disk = Arc::clone(self);
        let open = move || {
            let path = disk.folder.object(seq);
            let file = disk.files.open(&path, Mode::Create).or_else(|error| {
                let Some(folder) = path.parent().filter(|_| error.kind() == io::ErrorKind::NotFound) else {
                    return Err(error);
                };
                disk.files.make_folder(folder)?;
                disk.files.open(&path, Mode::Create)
            })?;
            if let Some(expected) = expected {
                file.allocate(stored_len(expected)).inspect_err(|_| {
                    let _ = disk.files.remove(&path);
                })?;
            }
            Ok(file)
        };
        let opened: Result<_, SpillError> = match tokio::time::timeout(PATIENCE, self.pool.run(open)).await {
            Ok(Ok(Ok(file))) => Ok(file),
            Ok(Ok(Err(error))) => {
                count(&self.counters.write_errors);
                self.health.write_failed(&error);
                Err(SpillError::Io(error))
            }
            Ok(Err(_)) | Err(_) => Err(SpillError::TooSlow),
        };
        let file = opened.inspect_err(|_| self.space.give_back(grant))?;
        let spill = Arc::new(Spill {
            disk: Arc::clone(self),
            file,
            seq,
            written: AtomicU64::new(0),
            charged: AtomicU64::new(grant),
            kept: AtomicBool::new(false),
            recent: Arc::default(),
        });
        Ok(SpillWriter { spill, buffer: Vec::new(), sent: 0, running: None })
    }

    /// Takes `bytes` of the disk for a file.
    async fn grant(&self, bytes: u64) -> Result<(), SpillError> {
        for _ in 0..3 {
            if self.space.take(bytes, self.config.segment) {
                return Ok(());
            }
            let (done, answer) = oneshot::channel();
            if bytes > self.space.size() / 2 || self.jobs.send(Job::MakeRoom(bytes, done)).is_err() {
                break;
            }
            match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(true)) => {}
                Ok(_) => break,
                Err(_) => return Err(SpillError::TooSlow),
            }
        }
        Err(SpillError::NoRoom)
    }
}

impl SpillWriter {
    pub(crate) fn spill(&self) -> &Arc<Spill> {
        &self.spill
    }

    /// Appends `data`. Waits for the disk when it is more than one write behind.
    pub(crate) async fn append(&mut self, mut data: &[u8]) -> Result<(), SpillError> {
        while !data.is_empty() {
            let room = WRITE - self.buffer.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.buffer.extend_from_slice(now);
            data = later;
            if self.buffer.len() == WRITE {
                self.hand_over().await?;
            }
        }
        Ok(())
    }

    /// Hands the gathered bytes to the pool, once the write before is done.
    async fn hand_over(&mut self) -> Result<(), SpillError> {
        self.settle().await?;
        let raw = std::mem::take(&mut self.buffer);
        let (first, after) = (self.sent / CHUNK, self.sent.saturating_add(raw.len() as u64));
        let offset = stored_len(self.sent);
        let needed = stored_len(after);
        let charged = self.spill.charged.load(Relaxed);
        if needed > charged {
            let more = GRANT.max(needed - charged);
            self.spill.disk.grant(more).await?;
            self.spill.charged.fetch_add(more, Relaxed);
        }
        let (done, answer) = oneshot::channel();
        let spill = Arc::clone(&self.spill);
        self.spill.disk.pool.spawn(move || {
            let mut stored = Vec::with_capacity(usize::try_from(stored_len(raw.len() as u64)).unwrap_or(0));
            for (index, chunk) in (first..).zip(raw.chunks(CHUNK as usize)) {
                push_chunk(&mut stored, spill.seq, index, chunk);
            }
            let result = write_all(&*spill.file, &stored, offset);
            if result.is_ok() {
                count(&spill.disk.counters.writes);
                spill.written.store(after, SeqCst);
            }
            let _ = done.send(result);
        });
        self.sent = after;
        self.running = Some(answer);
        Ok(())
    }

    /// Waits for the write that runs.
    async fn settle(&mut self) -> Result<(), SpillError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        match tokio::time::timeout(PATIENCE, running).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => {
                count(&self.spill.disk.counters.write_errors);
                self.spill.disk.health.write_failed(&error);
                Err(error.into())
            }
            Ok(Err(_)) => Err(SpillError::Io(io::ErrorKind::Other.into())),
            Err(_) => Err(SpillError::TooSlow),
        }
    }

    /// Writes the rest, and returns when all of the body is on the disk.
    pub(crate) async fn finish(mut self) -> Result<Arc<Spill>, SpillError> {
        if !self.buffer.is_empty() {
            self.hand_over().await?;
        }
        self.settle().await?;
        let spill = Arc::clone(&self.spill);
        let len = stored_len(self.sent);
        let sync = move || {
            spill.file.set_len(len)?;
            spill.file.sync()
        };
        match tokio::time::timeout(PATIENCE, self.spill.disk.pool.run(sync)).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                count(&self.spill.disk.counters.write_errors);
                self.spill.disk.health.write_failed(&error);
                return Err(error.into());
            }
            Ok(Err(_)) | Err(_) => return Err(SpillError::TooSlow),
        }
        let charged = self.spill.charged.swap(len, Relaxed);
        self.spill.disk.space.give_back(charged.saturating_sub(len));
        Ok(self.spill)
    }
}
