//! What of a fill is not in its file yet, and the work that brings it there.
//!
//! One job at a time has the file: it opens it, or writes some whole chunks, and then stands in the queue of the writing threads
//! again, behind the jobs of other fills. Room is asked of the disk's writer; the job goes on when that has answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use bytes::Bytes;

use super::batch::Batch;
use super::finishing::Unfinished;
use super::record::{CHUNK, stored_len};
use super::spill::{Finish, GRANT, Spill, SpillError};
use super::stats::count;
use super::writer::Job;

/// Bytes gathered before they are written.
const WRITE: u64 = 256 << 10;
/// The most that is written at a time, in bytes.
const MOST: u64 = 1 << 20;
/// How often room is made for one grant: others may take it first.
const ATTEMPTS: u8 = 3;

/// How a body ends.
#[derive(Debug, Default)]
pub(super) enum End {
    /// More may come.
    #[default]
    Open,
    /// No more comes, and it is not kept.
    LetGo,
    /// All of it has come.
    Finish(Box<dyn Finish>, Unfinished),
}

/// What is not in the file yet.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    chunks: VecDeque<Bytes>,
    /// Their bytes.
    bytes: u64,
    /// Bytes that are not written yet, those being written included.
    behind: u64,
    /// Bytes of body that were taken to be written.
    taken: u64,
    /// A job has the file.
    pub(super) busy: bool,
    /// Room was asked for so often since there was some.
    asked: u8,
    pub(super) end: End,
    pub(super) failed: Option<SpillError>,
}

/// What a job found.
enum Step {
    Done,
    /// It takes so many bytes of the disk more.
    Room(u64),
}

impl Spill {
    /// Queues `data`.
    pub(super) fn push(self: &Arc<Self>, data: Bytes) -> Result<(), SpillError> {
        let mut backlog = self.backlog.lock();
        if let Some(error) = &backlog.failed {
            return Err(error.clone());
        }
        let more = data.len() as u64;
        backlog.bytes = backlog.bytes.saturating_add(more);
        backlog.behind = backlog.behind.saturating_add(more);
        self.disk.behind.fetch_add(more, Relaxed);
        backlog.chunks.push_back(data);
        self.pump(&mut backlog);
        Ok(())
    }

    /// Whether more waits than may: of this body, or of all bodies of the disk together.
    pub(super) fn is_behind(&self) -> Result<bool, SpillError> {
        let backlog = self.backlog.lock();
        if let Some(error) = &backlog.failed {
            return Err(error.clone());
        }
        let limit = self.disk.config.fill_buffer;
        let crowded = self.disk.behind.load(Relaxed) > limit && backlog.behind > 0;
        Ok(crowded || backlog.behind > limit / 4)
    }

    /// Drops what is queued.
    pub(super) fn forget(&self, backlog: &mut Backlog) {
        backlog.chunks.clear();
        self.disk.behind.fetch_sub(backlog.behind, Relaxed);
        (backlog.bytes, backlog.behind) = (0, 0);
    }

    /// Starts whatever is to be done next.
    pub(super) fn pump(self: &Arc<Self>, backlog: &mut Backlog) {
        if backlog.busy || backlog.failed.is_some() {
            return;
        }
        let ended = !matches!(backlog.end, End::Open);
        if self.file.get().is_none() || backlog.bytes >= if ended { 1 } else { WRITE } {
            backlog.busy = true;
            let spill = Arc::clone(self);
            self.disk.writes.spawn(move || spill.work());
        } else if let End::Finish(..) = backlog.end
            && let End::Finish(finish, unfinished) = std::mem::replace(&mut backlog.end, End::LetGo)
        {
            let (spill, len) = (Arc::clone(self), backlog.taken);
            self.charge_for(len);
            self.disk.syncs.spawn(move || spill.settle(len, finish, unfinished));
        }
    }

    /// One job.
    fn work(self: Arc<Self>) {
        match self.step() {
            Ok(Step::Done) => {
                let mut backlog = self.backlog.lock();
                (backlog.busy, backlog.asked) = (false, 0);
                self.pump(&mut backlog);
                drop(backlog);
                self.moved.notify_waiters();
            }
            Ok(Step::Room(bytes)) => self.ask_for_room(bytes),
            Err(error) => self.fail(error),
        }
    }

    fn step(&self) -> Result<Step, SpillError> {
        let failed = |error| SpillError::Io(Arc::new(error));
        let Some(file) = self.file.get() else {
            let grant = self.expected.map_or(GRANT, stored_len);
            if self.charged.load(Relaxed) < grant && !self.charge(grant) {
                return Ok(Step::Room(grant));
            }
            self.open().map_err(failed)?;
            return Ok(Step::Done);
        };
        let (taken, ready) = {
            let backlog = self.backlog.lock();
            (backlog.taken, backlog.ready())
        };
        let needed = stored_len(taken.saturating_add(ready));
        let charged = self.charged.load(Relaxed);
        if needed > charged {
            let more = GRANT.max(needed - charged);
            if !self.charge(more) {
                return Ok(Step::Room(more));
            }
        }
        // It may have been given up since.
        let (pieces, bytes) = self.backlog.lock().take(ready);
        if bytes == 0 {
            return Ok(Step::Done);
        }
        let mut batch = Batch::default();
        batch.push_body(self.seq, taken / CHUNK, pieces);
        batch.write(&**file, stored_len(taken)).map_err(failed)?;
        count(&self.disk.counters.writes);
        self.written.store(taken.saturating_add(bytes), SeqCst);
        let mut backlog = self.backlog.lock();
        let done = bytes.min(backlog.behind);
        backlog.behind -= done;
        self.disk.behind.fetch_sub(done, Relaxed);
        Ok(Step::Done)
    }

    fn charge(&self, bytes: u64) -> bool {
        let taken = self.disk.space.take(bytes, self.disk.config.segment);
        if taken {
            self.charged.fetch_add(bytes, Relaxed);
        }
        taken
    }

    fn ask_for_room(self: Arc<Self>, bytes: u64) {
        let asked = {
            let mut backlog = self.backlog.lock();
            backlog.asked = backlog.asked.saturating_add(1);
            backlog.asked
        };
        if asked > ATTEMPTS || bytes > self.disk.space.limit() / 2 {
            return self.fail(SpillError::NoRoom);
        }
        let jobs = self.disk.jobs.clone();
        // Dropped unanswered, the answer is no.
        let _ = jobs.send(Job::MakeRoom(bytes, Asker(Some(self))));
    }

    /// Syncs the file, in a thread that is for that.
    fn settle(self: Arc<Self>, len: u64, mut finish: Box<dyn Finish>, unfinished: Unfinished) {
        finish.written();
        match self.sync(len) {
            Ok(()) => finish.done(Ok(())),
            Err(error) => {
                count(&self.disk.counters.write_errors);
                self.disk.health.write_failed(&error);
                finish.done(Err(SpillError::Io(Arc::new(error))));
            }
        }
        drop(unfinished);
    }
}

impl Backlog {
    /// Bytes that can be written now: whole chunks, and the rest at the end.
    fn ready(&self) -> u64 {
        let most = self.bytes.min(MOST);
        let all = most == self.bytes && !matches!(self.end, End::Open);
        if all { most } else { most - most % CHUNK }
    }

    /// Takes `bytes` from the front, or none if they are not there any more.
    fn take(&mut self, bytes: u64) -> (Vec<Bytes>, u64) {
        let mut pieces = Vec::new();
        if bytes > self.bytes {
            return (pieces, 0);
        }
        let mut left = bytes;
        while left > 0
            && let Some(front) = self.chunks.front_mut()
        {
            let len = front.len() as u64;
            if len <= left {
                pieces.extend(self.chunks.pop_front());
                left -= len;
            } else {
                pieces.push(front.split_to(usize::try_from(left).unwrap_or(usize::MAX)));
                left = 0;
            }
        }
        self.bytes -= bytes;
        self.taken = self.taken.saturating_add(bytes);
        (pieces, bytes)
    }
}

/// Who has asked for room.
#[derive(Debug)]
pub(super) struct Asker(Option<Arc<Spill>>);

impl Asker {
    /// There may be room now, or there is none.
    pub(super) fn answer(mut self, enough: bool) {
        if enough && let Some(spill) = self.0.take() {
            let disk = Arc::clone(&spill.disk);
            disk.writes.spawn(move || spill.work());
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(spill) = self.0.take() {
            spill.fail(SpillError::NoRoom);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_chunks_are_taken_and_the_rest_at_the_end() {
        let mut backlog = Backlog::default();
        for _ in 0..3 {
            backlog.chunks.push_back(Bytes::from(vec![1; 30_000]));
            backlog.bytes += 30_000;
        }
        assert_eq!(backlog.ready(), CHUNK);
        let (pieces, bytes) = backlog.take(CHUNK);
        assert_eq!((pieces.iter().map(Bytes::len).sum::<usize>() as u64, bytes), (CHUNK, CHUNK));
        assert_eq!((backlog.ready(), backlog.taken), (0, CHUNK));
        backlog.end = End::LetGo;
        assert_eq!(backlog.ready(), 90_000 - CHUNK);
        assert_eq!(backlog.take(90_000 - CHUNK + 1).1, 0, "it was given up meanwhile");
    }
}
