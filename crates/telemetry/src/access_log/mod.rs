//! One line for every request.
//!
//! [`AccessLog::write`] formats into a buffer of the calling thread, copies the line to the buffer of its stripe and
//! returns: it never waits for the file. One thread writes. While the file takes nothing (a full disk, a pipe nobody
//! reads), lines wait up to [`buffer`](crate::AccessLogSettings::buffer) and are then dropped and counted.

mod buffer;
mod format;
mod record;
mod sink;
mod writer;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use thiserror::Error;

pub use record::{AccessRecord, Listener};

use crate::settings::{AccessLogSettings, LogFormat};
use crate::text::Clock;
use buffer::Buffer;
use sink::Target;
use writer::Writer;

/// Why there is no access log.
#[derive(Debug, Error)]
pub enum AccessLogError {
    /// The file cannot be opened.
    #[error(
        "cannot open the access log {target}: {source}; make its folder and let the user of this process write there"
    )]
    Open {
        /// What was to be opened.
        target: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The writer's thread cannot be started.
    #[error("cannot start the thread that writes the access log: {0}")]
    Thread(std::io::Error),
}

/// How an access log fares. Counts run since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessLogStats {
    /// Lines written.
    pub written: u64,
    /// Lines lost.
    pub dropped: u64,
    /// Writes that failed and were tried again.
    pub write_errors: u64,
    /// Times the file was opened anew.
    pub reopened: u64,
    /// Times that failed.
    pub reopen_failures: u64,
    /// Lines that wait in memory.
    pub buffered_lines: u64,
    /// Bytes that wait in memory.
    pub buffered_bytes: u64,
}

/// The access log. Dropping it writes what is left, for at most a second.
pub struct AccessLog {
    format: LogFormat,
    max_field: usize,
    buffer: Option<Arc<Buffer>>,
}

/// What a thread needs to format lines.
#[derive(Default)]
struct Scratch {
    clock: Clock,
    line: Vec<u8>,
}

/// How long a drop waits for the writer.
const PARTING: Duration = Duration::from_secs(1);

impl AccessLog {
    /// Opens the log and starts its thread. Call it after any fork.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread cannot be started.
    pub fn new(settings: &AccessLogSettings) -> Result<Self, AccessLogError> {
        let max_field = settings.max_field.as_usize();
        if settings.format == LogFormat::Off {
            return Ok(Self { format: settings.format, max_field, buffer: None });
        }
        let target = Target::new(&settings.path);
        let file =
            target.open().map_err(|source| AccessLogError::Open { target: target.to_string(), source })?;
        let buffer = Arc::new(Buffer::new(settings.buffer.as_usize()));
        let writer = Writer::new(Arc::clone(&buffer), target, file, settings.flush.duration());
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run())
            .map_err(AccessLogError::Thread)?;
        Ok(Self { format: settings.format, max_field, buffer: Some(buffer) })
    }

    /// Whether lines are kept at all; with `format: off` a caller can save itself the record.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.buffer.is_some()
    }

    /// Logs a request. Never waits; a line without room is dropped and counted.
    pub fn write(&self, record: &AccessRecord<'_>) {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::default();
        }
        let Some(buffer) = &self.buffer else { return };
        SCRATCH.with_borrow_mut(|Scratch { clock, line }| {
            line.clear();
            match self.format {
                LogFormat::Json => format::json(line, clock, record, self.max_field),
                LogFormat::Combined => format::combined(line, clock, record, self.max_field),
                LogFormat::Off => return,
            }
            buffer.push(line);
        });
    }

    /// Opens the file anew, after a rotation moved it: lines logged before go to the old file, later ones to the new.
    /// Returns at once; when the file cannot be opened, the old one is kept and the process log says so.
    pub fn reopen(&self) {
        if let Some(buffer) = &self.buffer {
            buffer.order(|orders| orders.reopen = true);
        }
    }

    /// Writes what is left and ends; lines logged afterwards are dropped. Whether it was done within `patience`.
    pub fn shutdown(&self, patience: Duration) -> bool {
        let Some(buffer) = &self.buffer else { return true };
        let until = Instant::now() + patience;
        buffer.order(|orders| orders.stop = Some(until));
        // The writer itself gives up at `until`; a moment more lets it say so.
        buffer.await_end(until + Duration::from_millis(100))
    }

    /// How the log fares.
    #[must_use]
    pub fn stats(&self) -> AccessLogStats {
        let Some(buffer) = &self.buffer else { return AccessLogStats::default() };
        let counters = &buffer.counters;
        let (buffered_bytes, buffered_lines) = buffer.waiting();
        AccessLogStats {
            written: counters.written.load(Ordering::Relaxed),
            dropped: counters.dropped.load(Ordering::Relaxed),
            write_errors: counters.write_errors.load(Ordering::Relaxed),
            reopened: counters.reopened.load(Ordering::Relaxed),
            reopen_failures: counters.reopen_failures.load(Ordering::Relaxed),
            buffered_lines,
            buffered_bytes,
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shutdown(PARTING);
    }
}

#[cfg(test)]
mod tests;
