//! Whether a disk can be trusted: a few errors are forgiven, many take it out, step by step.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::io::Errno;

/// How a disk is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DiskState {
    /// Read and written.
    Ok = 0,
    /// Read only: writing failed too often.
    ReadOnly = 1,
    /// Not used at all: reading failed too often, or a purge could not be recorded.
    Offline = 2,
}

impl DiskState {
    /// The state in a word, for metrics and log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ReadOnly => "read_only",
            Self::Offline => "offline",
        }
    }
}

/// Errors within this time are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// How often it is said at most that there is no space.
const FULL_SAID: Duration = Duration::from_secs(60);

/// Whether there was no space, which is no fault of the disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether it is the disk that is in trouble, and not those who set it up.
pub(crate) fn is_trouble(error: &io::Error) -> bool {
    let of_the_device = [Errno::IO, Errno::NXIO, Errno::NODEV, Errno::STALE, Errno::UCLEAN, Errno::BADMSG];
    is_full(error)
        || error.kind() == io::ErrorKind::ReadOnlyFilesystem
        || Errno::from_io_error(error).is_some_and(|errno| of_the_device.contains(&errno))
}

#[derive(Debug, Default)]
struct Recent {
    reads: VecDeque<Instant>,
    writes: VecDeque<Instant>,
    /// When it was said last that there is no space, and how many writes found none since.
    full: Option<(Instant, u64)>,
}

/// The state of one disk. It only gets worse: a disk that failed is looked at by people, then by a restart.
#[derive(Debug)]
pub(crate) struct Health {
    path: PathBuf,
    state: AtomicU8,
    /// The process has left the folder to its successor.
    retired: AtomicBool,
    budget: usize,
    recent: Mutex<Recent>,
}

impl Health {
    /// A sound disk that may fail `budget` times a minute each way.
    pub(crate) fn new(path: PathBuf, budget: u32) -> Self {
        Self {
            path,
            state: AtomicU8::new(0),
            retired: AtomicBool::new(false),
            budget: budget as usize,
            recent: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> DiskState {
        match self.state.load(Relaxed) {
            0 => DiskState::Ok,
            1 => DiskState::ReadOnly,
            _ => DiskState::Offline,
        }
    }

    pub(crate) fn may_write(&self) -> bool {
        self.state() == DiskState::Ok && !self.retired.load(Relaxed)
    }

    /// Nothing is written any more, though nothing is wrong.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    pub(crate) fn may_read(&self) -> bool {
        self.state() != DiskState::Offline
    }

    fn worsen(&self, to: DiskState, why: &str) {
        if self.state.fetch_max(to as u8, Relaxed) < to as u8 {
            log::error!("disk {} is {} from now on: {why}", self.path.display(), to.as_str());
        }
    }

    /// A write failed. A full disk is no fault of the disk.
    pub(crate) fn write_failed(&self, error: &io::Error) {
        match error.kind() {
            _ if is_full(error) => self.say_full(error),
            io::ErrorKind::ReadOnlyFilesystem => self.worsen(DiskState::ReadOnly, &error.to_string()),
            _ => {
                log::warn!("disk {}: a write failed: {error}", self.path.display());
                if Self::over(&mut self.recent.lock().writes, self.budget) {
                    self.worsen(DiskState::ReadOnly, "too many writes failed");
                }
            }
        }
    }

    fn say_full(&self, error: &io::Error) {
        let full = &mut self.recent.lock().full;
        let more = match full {
            Some((said, more)) if said.elapsed() < FULL_SAID => return *more = more.saturating_add(1),
            Some((_, more)) => std::mem::take(more),
            None => 0,
        };
        *full = Some((Instant::now(), 0));
        log::warn!("disk {}: no space for a write, and for {more} before it: {error}", self.path.display());
    }

    /// The folder is gone, or cannot be had any more.
    pub(crate) fn lost(&self, why: &str) {
        self.worsen(DiskState::Offline, why);
    }

    /// A read failed. A file that was evicted meanwhile is no fault.
    pub(crate) fn read_failed(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        log::warn!("disk {}: a read failed: {error}", self.path.display());
        if Self::over(&mut self.recent.lock().reads, self.budget) {
            self.worsen(DiskState::Offline, "too many reads failed");
        }
    }

    /// A purge could not be recorded: what it names may be here, and must not be served after a restart either.
    pub(crate) fn purge_failed(&self, error: &io::Error) {
        self.worsen(DiskState::Offline, &format!("a purge could not be recorded: {error}"));
    }

    fn over(recent: &mut VecDeque<Instant>, budget: usize) -> bool {
        let now = Instant::now();
        while recent.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            recent.pop_front();
        }
        recent.push_back(now);
        if recent.len() > budget {
            recent.pop_front();
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_of_errors_is_forgiven() {
        let health = Health::new(PathBuf::from("x"), 3);
        let bad = io::Error::from_raw_os_error(5);
        let full = io::Error::from_raw_os_error(28);
        for _ in 0..10 {
            health.write_failed(&full);
            health.read_failed(&io::ErrorKind::NotFound.into());
        }
        for _ in 0..3 {
            health.write_failed(&bad);
            health.read_failed(&bad);
        }
        assert_eq!(health.state(), DiskState::Ok);
        health.write_failed(&bad);
        assert_eq!(health.state(), DiskState::ReadOnly);
        assert!(health.may_read() && !health.may_write());
        health.read_failed(&bad);
        assert_eq!(health.state(), DiskState::Offline);
        health.write_failed(&io::Error::from_raw_os_error(30));
        assert_eq!(health.state(), DiskState::Offline, "it never gets better by itself");
    }

    #[test]
    fn a_read_only_file_system_is_believed_at_once() {
        let health = Health::new(PathBuf::from("x"), 3);
        health.write_failed(&io::Error::from_raw_os_error(30));
        assert_eq!(health.state(), DiskState::ReadOnly);
    }
}
