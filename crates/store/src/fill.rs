//! A response on its way in, shared by the one who writes it and everybody who reads along.
//!
//! The writer appends under a write lock and then moves the [`Progress`] on; readers wait for progress and
//! copy references out under a read lock, so a thousand readers do not queue behind each other. Only the
//! unfinished last piece is copied for them, in small portions.
//!
//! A fill that cannot be stored any further ([`Fill::stop_storing`]) becomes a *pass*: a window over the
//! stream for those who already read along. A reader never gets a clean end from a fill that did not finish.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::body::{Body, Builder};
use crate::disk::spill::Spill;
use crate::head::Head;
use crate::storage::Names;

/// The most that is copied out of the unfinished piece for one read.
const COPY: usize = 16 << 10;
/// How long the origin is held up per [`PACED`] bytes when the first client is a whole window behind. It
/// makes 32 KiB/s the slowest client that is never cut off.
const MAX_PACE: Duration = Duration::from_secs(2);
/// The bytes that the longest pause is meant for; fewer wait less.
const PACED: f64 = 65536.0;

/// How a fill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Complete,
    Failed,
}

/// How far a fill has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) len: u64,
    pub(crate) state: State,
}

#[derive(Debug)]
enum Content {
    /// On its way into the store.
    Storing(Builder),
    /// Stored (or complete, but purged meanwhile).
    Complete(Arc<Body>),
    /// Not stored: only the last bytes are kept, for the readers who are there.
    Passing { window: VecDeque<(u64, Bytes)>, bytes: u64 },
    /// On its way into a file: the last bytes are kept, and those not written yet. Once it is `detached` it is
    /// not stored any more; what is in the file is still there for its readers, and what was queued for it up to that length
    /// is brought there still.
    Spilled { window: VecDeque<(u64, Bytes)>, bytes: u64, spill: Arc<Spill>, detached: Option<u64> },
}

/// What a fill came to.
#[derive(Debug)]
pub(crate) enum Sealed {
    Memory(Arc<Body>),
    File(Arc<Spill>),
    /// It was not stored.
    Nothing,
}

/// Bytes kept in memory of a fill that goes into a file, beside those not written yet.
pub(crate) const SPILL_WINDOW: u64 = 256 << 10;

/// From so many readers on a fill that goes into a file hands out copies of its window, each of this size at most: who does
/// not take a reference keeps a whole network buffer, or the window, in memory.
const CROWD: usize = 16;
const PIECE: u64 = 16 << 10;

/// The most that a reader gets at a time, in bytes: what Pingora brings in the time of one read, four buffers of the network.
const JOINED: u64 = 256 << 10;

/// A reader who is so many bytes behind the writer has something to do meanwhile.
const AHEAD: u64 = 256 << 10;

/// What a read of a fill found.
#[derive(Debug)]
pub(crate) enum Read {
    Bytes(Bytes),
    /// It is in the file.
    InFile(Arc<Spill>),
    /// Nothing there yet.
    Nothing,
    /// The reader fell out of the window.
    TooLate,
}

/// A response on its way in.
#[derive(Debug)]
pub(crate) struct Fill {
    /// Its number: later fills have larger ones.
    pub(crate) id: u64,
    pub(crate) key: u128,
    pub(crate) family: u128,
    /// The epoch in which its request began.
    pub(crate) epoch: u64,
    pub(crate) head: Arc<Head>,
    /// The length it must have, where the header says one.
    pub(crate) expected: Option<u64>,
    /// Whether the disk takes it; if not, it is kept in memory alone.
    pub(crate) to_disk: bool,
    content: RwLock<Content>,
    progress: watch::Sender<Progress>,
    /// Set once a soft purge meets it.
    stale_since: OnceLock<SystemTime>,
    /// Set once a newer fill of its key is stored, even if that object is gone again by the end of this one.
    overtaken: AtomicBool,
    /// The generation of purges in which it was last judged.
    pub(crate) judged: AtomicU64,
    window: u64,
    readers: AtomicUsize,
    /// How far the reader of the request that pays for the fill has come.
    owner_at: AtomicU64,
    owned: AtomicBool,
    /// How far any reader has come.
    furthest: AtomicU64,
}

impl Fill {
    pub(crate) fn new(
        id: u64,
        names: Names,
        epoch: u64,
        head: Arc<Head>,
        window: u64,
        to_disk: bool,
    ) -> Self {
        let expected = head.content_length();
        Self {
            id,
            key: names.key,
            family: names.family,
            epoch,
            head,
            expected,
            to_disk,
            content: RwLock::new(Content::Storing(Builder::new(expected))),
            progress: watch::Sender::new(Progress { len: 0, state: State::Running }),
            stale_since: OnceLock::new(),
            overtaken: AtomicBool::new(false),
            judged: AtomicU64::new(0),
            window,
            readers: AtomicUsize::new(0),
            owner_at: AtomicU64::new(0),
            owned: AtomicBool::new(false),
            furthest: AtomicU64::new(0),
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// A soft purge: what comes of it is stale since `instant`.
    pub(crate) fn expire_at(&self, instant: SystemTime) {
        // The first one counts; later ones find it stale already.
        let _ = self.stale_since.set(instant);
    }

    pub(crate) fn stale_since(&self) -> Option<SystemTime> {
        self.stale_since.get().copied()
    }

    /// A newer fill of its key was stored.
    pub(crate) fn overtake(&self) {
        self.overtaken.store(true, Relaxed);
    }

    pub(crate) fn is_overtaken(&self) -> bool {
        self.overtaken.load(Relaxed)
    }

    // === What the writer does ===

    /// How much memory more it takes to append `more` bytes; nothing once it is only passing through.
    pub(crate) fn growth(&self, more: usize) -> u64 {
        match &*self.content.read() {
            Content::Storing(builder) => builder.growth(more),
            Content::Complete(_) | Content::Passing { .. } | Content::Spilled { .. } => 0,
        }
    }

    /// Appends `data` and wakes the readers.
    pub(crate) fn append(&self, data: Bytes) {
        let added = data.len() as u64;
        match &mut *self.content.write() {
            Content::Storing(builder) => builder.append(&data),
            Content::Passing { window, bytes } => {
                window.push_back((self.progress().len, data));
                *bytes = bytes.saturating_add(added);
                self.trim(window, bytes, self.window);
            }
            Content::Spilled { window, bytes, spill, detached } => {
                window.push_back((self.progress().len, data));
                *bytes = bytes.saturating_add(added);
                self.trim_spilled(window, bytes, spill, *detached);
            }
            Content::Complete(_) => return,
        }
        self.progress.send_modify(|progress| progress.len = progress.len.saturating_add(added));
    }

    /// Stops storing; those who read along keep a window over the stream.
    pub(crate) fn stop_storing(&self) {
        let mut content = self.content.write();
        let Content::Storing(builder) = &mut *content else { return };
        let builder = std::mem::replace(builder, Builder::new(None));
        let (mut window, mut at) = (VecDeque::new(), 0u64);
        for chunk in builder.into_chunks() {
            let len = chunk.len() as u64;
            window.push_back((at, chunk));
            at = at.saturating_add(len);
        }
        self.trim(&mut window, &mut at, self.window);
        *content = Content::Passing { window, bytes: at };
    }

    /// Goes on in the file of `spill`. Hands out what has to be written into it from the start.
    pub(crate) fn start_spill(&self, spill: &Arc<Spill>) -> Vec<Bytes> {
        let mut content = self.content.write();
        let Content::Storing(builder) = &mut *content else { return Vec::new() };
        let builder = std::mem::replace(builder, Builder::new(None));
        let chunks: Vec<Bytes> = builder.into_chunks().collect();
        let (mut window, mut bytes) = (VecDeque::new(), 0u64);
        for chunk in &chunks {
            window.push_back((bytes, chunk.clone()));
            bytes = bytes.saturating_add(chunk.len() as u64);
        }
        *content = Content::Spilled { window, bytes, spill: Arc::clone(spill), detached: None };
        chunks
    }

    /// The file cannot be written any further. Those who read along go on, from what is there.
    pub(crate) fn detach(&self) {
        if let Content::Spilled { detached, .. } = &mut *self.content.write() {
            detached.get_or_insert(self.progress().len);
        }
    }

    /// All of it has come: memory keeps nothing any more of what is in the file.
    pub(crate) fn drop_written(&self) {
        if let Content::Spilled { window, bytes, spill, .. } = &mut *self.content.write() {
            drop_written(window, bytes, spill.written(), 0);
        }
    }

    /// Drops what the window is not for. What is not in the file yet stays while it is to get there.
    fn trim_spilled(
        &self,
        window: &mut VecDeque<(u64, Bytes)>,
        bytes: &mut u64,
        spill: &Spill,
        detached: Option<u64>,
    ) {
        if let Some(end) = detached {
            // Those who are behind find the rest of it in the file a little later.
            let keep = self.window.saturating_add(end.saturating_sub(spill.written()));
            return self.trim(window, bytes, keep);
        }
        drop_written(window, bytes, spill.written(), SPILL_WINDOW);
    }

    /// Drops what lies outside the last `keep` bytes, and what the only reader has behind it.
    fn trim(&self, window: &mut VecDeque<(u64, Bytes)>, bytes: &mut u64, keep: u64) {
        let alone = self.owned.load(SeqCst) && self.readers.load(SeqCst) == 1;
        let read = if alone { self.owner_at.load(Relaxed) } else { 0 };
        while let Some((start, chunk)) = window.front() {
            let len = chunk.len() as u64;
            if *bytes <= keep && start.saturating_add(len) > read {
                break;
            }
            *bytes = bytes.saturating_sub(len);
            window.pop_front();
        }
    }

    /// How long the writer should wait before it brings `more` bytes, so that the first client keeps up.
    ///
    /// The store cannot make the writer wait for the client: both are driven by one task, and the client
    /// would never be served. A pause lets the client's socket drain meanwhile. A fill that is `close` to
    /// outgrowing the store is slowed down too, or its client would lie outside the window once it does;
    /// but not while others read along, who must not suffer from a slow first client.
    pub(crate) fn pace(&self, more: usize, close: bool) -> Option<Duration> {
        let alone = close && self.readers.load(SeqCst) == 1;
        if !self.owned.load(SeqCst) || !(alone || self.is_passing()) {
            return None;
        }
        let behind = self.progress().len.saturating_sub(self.owner_at.load(Relaxed));
        let slack = self.window / 4;
        let over = behind.saturating_sub(slack).min(self.window);
        let share = over as f64 / self.window.max(1) as f64;
        let part = (more as f64 / PACED).min(1.0);
        (over > 0).then(|| MAX_PACE.mul_f64(share * share * part))
    }

    /// Whether it is neither stored nor read by anybody: there is no point in going on.
    pub(crate) fn is_pointless(&self) -> bool {
        self.is_passing() && self.readers.load(SeqCst) == 0
    }

    pub(crate) fn is_passing(&self) -> bool {
        matches!(&*self.content.read(), Content::Passing { .. } | Content::Spilled { detached: Some(_), .. })
    }

    /// Turns what was written into a body. The readers go on reading and wait for
    /// [`complete`](Self::complete).
    pub(crate) fn seal(&self) -> Sealed {
        let mut content = self.content.write();
        match &mut *content {
            Content::Storing(builder) => {
                let body = Arc::new(std::mem::replace(builder, Builder::new(None)).finish());
                *content = Content::Complete(Arc::clone(&body));
                Sealed::Memory(body)
            }
            Content::Complete(body) => Sealed::Memory(Arc::clone(body)),
            Content::Spilled { spill, detached: None, .. } => Sealed::File(Arc::clone(spill)),
            Content::Passing { .. } | Content::Spilled { .. } => Sealed::Nothing,
        }
    }

    /// Tells the readers that all of it is there.
    pub(crate) fn complete(&self) {
        self.progress.send_modify(|progress| progress.state = State::Complete);
    }

    /// Tells the readers that the rest will never come.
    pub(crate) fn fail(&self) {
        self.progress.send_modify(|progress| progress.state = State::Failed);
    }

    // === What readers do ===

    /// Whether a new reader may come.
    pub(crate) fn is_joinable(&self) -> bool {
        self.progress().state != State::Failed && !self.is_passing()
    }

    /// Counts a reader in; the owner is the request that the fill belongs to.
    pub(crate) fn enter(&self, owner: bool) {
        self.readers.fetch_add(1, SeqCst);
        if owner {
            self.owned.store(true, SeqCst);
        }
    }

    /// Counts a reader out.
    pub(crate) fn leave(&self, owner: bool) {
        if owner {
            self.owned.store(false, SeqCst);
        }
        self.readers.fetch_sub(1, SeqCst);
    }

    /// Who reads it.
    pub(crate) fn readers(&self) -> usize {
        self.readers.load(SeqCst)
    }

    /// A reader has read up to `at`.
    pub(crate) fn reached(&self, at: u64, owner: bool) {
        if owner {
            self.owner_at.store(at, Relaxed);
        }
        self.furthest.fetch_max(at, Relaxed);
    }

    /// Whether somebody who reads it is about to wait for more.
    pub(crate) fn is_awaited(&self) -> bool {
        let ahead = self.progress().len.saturating_sub(self.furthest.load(Relaxed));
        ahead < AHEAD && self.readers() > 0
    }

    /// Bytes of the whole, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        let progress = self.progress();
        self.expected.or_else(|| (progress.state == State::Complete).then_some(progress.len))
    }

    /// Bytes from `at`, as many as are at hand in one go, at most to `limit`.
    pub(crate) fn read(&self, at: u64, limit: u64) -> Read {
        let found = match &*self.content.read() {
            Content::Storing(builder) => builder.read(at, limit, COPY),
            Content::Complete(body) => body.read(at, limit),
            Content::Passing { window, .. } => match window.front() {
                Some((start, _)) if *start <= at => gather(window, at, limit),
                None if at >= self.progress().len => None,
                _ => return Read::TooLate,
            },
            Content::Spilled { window, spill, .. } => match window.front() {
                Some((start, _)) if *start <= at && self.readers() > CROWD => {
                    let piece = gather(window, at, limit.min(at.saturating_add(PIECE)));
                    piece.map(|piece| Bytes::copy_from_slice(&piece))
                }
                Some((start, _)) if *start <= at => gather(window, at, limit),
                _ if at < spill.written() => return Read::InFile(Arc::clone(spill)),
                None if at >= self.progress().len => None,
                _ => return Read::TooLate,
            },
        };
        found.map_or(Read::Nothing, Read::Bytes)
    }
}

/// Drops of a window what is before `written`, as long as more than `keep` bytes are there.
fn drop_written(window: &mut VecDeque<(u64, Bytes)>, bytes: &mut u64, written: u64, keep: u64) {
    while *bytes > keep
        && let Some((start, chunk)) = window.front()
        && start.saturating_add(chunk.len() as u64) <= written
    {
        *bytes = bytes.saturating_sub(chunk.len() as u64);
        window.pop_front();
    }
}

/// The window from `at` to `limit` in one buffer, but no more than [`JOINED`] bytes of several chunks. The writer brings
/// some chunks in the time of one read; a reader who took them one by one would fall behind for no reason.
fn gather(window: &VecDeque<(u64, Bytes)>, at: u64, limit: u64) -> Option<Bytes> {
    let limit = limit.min(at.saturating_add(JOINED));
    let mut parts = window.iter().filter_map(|(start, chunk)| {
        let from = usize::try_from(at.saturating_sub(*start)).unwrap_or(usize::MAX).min(chunk.len());
        let to = usize::try_from(limit.saturating_sub(*start)).unwrap_or(usize::MAX).min(chunk.len());
        (from < to).then(|| chunk.slice(from..to))
    });
    let first = parts.next()?;
    let Some(second) = parts.next() else { return Some(first) };
    let parts: Vec<Bytes> = [first, second].into_iter().chain(parts).collect();
    Some(parts.concat().into())
}
