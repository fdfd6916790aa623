//! The log of the process itself: the `log` facade to standard error.
//!
//! Three things a plain logger does not do: libraries are held to what an operator can use, one place in the
//! code cannot fill the disk however often a client triggers it, and a message is one line whatever it
//! quotes.

mod limit;

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};
use once_cell::sync::OnceCell;
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use crate::settings::{LogLevel, LogSettings, LogStyle};
use crate::text::{Clock, push_json, push_u64};
use limit::{Limiter, Verdict};

/// The longest message kept; Pingora quotes whole request targets.
const MAX_MESSAGE: usize = 8 * 1024;

static LOGGER: OnceCell<ProcessLog> = OnceCell::new();
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

/// Why the process log cannot be set up.
#[derive(Debug, Error)]
#[error("another logger is already in place; call `process_log::install` before anything else sets one")]
pub struct LogError;

/// Starts the process log, or gives the running one new settings.
///
/// # Errors
/// When something else has set a logger.
pub fn install(settings: &LogSettings) -> Result<(), LogError> {
    let mut fresh = false;
    let logger = LOGGER.get_or_init(|| {
        fresh = true;
        ProcessLog::new(settings)
    });
    if fresh {
        log::set_logger(logger).map_err(|_| LogError)?;
    }
    logger.configure(settings);
    log::set_max_level(level(settings.level));
    Ok(())
}

/// Lines held back as repetitions since the start.
#[must_use]
pub fn suppressed() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Trace => LevelFilter::Trace,
    }
}

/// Whether a line comes from this project.
fn is_ours(target: &str) -> bool {
    target.starts_with("seawall")
}

/// The most a library may say at the operator's level: below `debug` only what went wrong, since Pingora and its
/// friends speak of single requests and connections at `info`; at `debug` their `info`, at `trace` all.
fn cap(target: &str, level: LevelFilter) -> LevelFilter {
    match level {
        _ if is_ours(target) => level,
        LevelFilter::Trace => LevelFilter::Trace,
        LevelFilter::Debug => LevelFilter::Info,
        level => level.min(LevelFilter::Warn),
    }
}

struct ProcessLog {
    settings: RwLock<LogSettings>,
    limiter: Mutex<Limiter>,
}

impl ProcessLog {
    fn new(settings: &LogSettings) -> Self {
        Self { settings: RwLock::new(settings.clone()), limiter: Mutex::default() }
    }

    fn configure(&self, settings: &LogSettings) {
        settings.clone_into(&mut self.settings.write());
    }

    /// The text for a record: none when it is held back, more than a line when held-back ones are summed up.
    fn render(&self, record: &Record<'_>, now: Instant, time: SystemTime) -> Vec<u8> {
        let (style, repeat) = {
            let settings = self.settings.read();
            (settings.format, settings.repeat)
        };
        let limited = record.level() <= if is_ours(record.target()) { Level::Warn } else { Level::Info };
        // The lock ends before the message is formatted, which runs code of whoever logs.
        let (notes, verdict) = {
            let mut limiter = self.limiter.lock();
            let notes = limiter.expired(now);
            let limited = limited && repeat > 0;
            (notes, if limited { limiter.check(record, repeat, now) } else { Verdict::Write })
        };
        let mut lines = Vec::new();
        for note in notes {
            let message = note.to_string();
            push_line(&mut lines, style, time, note.level, &note.target, message.as_bytes());
        }
        match verdict {
            Verdict::Suppress => drop(SUPPRESSED.fetch_add(1, Ordering::Relaxed)),
            Verdict::Write => {
                let message = record.args().to_string();
                push_line(&mut lines, style, time, record.level(), record.target(), message.as_bytes());
            }
        }
        lines
    }
}

impl Log for ProcessLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= cap(metadata.target(), level(self.settings.read().level))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let lines = self.render(record, Instant::now(), SystemTime::now());
            // A log that cannot be written has nobody to tell.
            let _ = std::io::stderr().lock().write_all(&lines);
        }
    }

    fn flush(&self) {}
}

fn push_line(
    out: &mut Vec<u8>,
    style: LogStyle,
    time: SystemTime,
    level: Level,
    target: &str,
    message: &[u8],
) {
    // Lines are rare here: no clock is kept from one to the next.
    let mut clock = Clock::default();
    match style {
        LogStyle::Text => {
            clock.push_rfc3339(out, time);
            out.push(b' ');
            out.extend_from_slice(level.as_str().as_bytes());
            out.push(b' ');
            out.extend_from_slice(target.as_bytes());
            out.extend_from_slice(b": ");
            push_printable(out, message);
            out.push(b'\n');
        }
        LogStyle::Json => {
            out.extend_from_slice(b"{\"time\":\"");
            clock.push_rfc3339(out, time);
            out.extend_from_slice(b"\",\"level\":\"");
            out.extend(level.as_str().bytes().map(|b| b.to_ascii_lowercase()));
            out.extend_from_slice(b"\",\"target\":\"");
            push_json(out, target.as_bytes(), MAX_MESSAGE);
            out.extend_from_slice(b"\",\"message\":\"");
            push_json(out, message, MAX_MESSAGE);
            out.extend_from_slice(b"\",\"pid\":");
            push_u64(out, std::process::id().into());
            out.extend_from_slice(b"}\n");
        }
    }
}

/// As in JSON, but quotes and backslashes stand for themselves: a person reads it.
fn push_printable(out: &mut Vec<u8>, message: &[u8]) {
    for piece in message[..message.len().min(MAX_MESSAGE)].split_inclusive(|b| matches!(b, b'"' | b'\\')) {
        let (piece, last) = match piece {
            [front @ .., last @ (b'"' | b'\\')] => (front, Some(*last)),
            piece => (piece, None),
        };
        push_json(out, piece, MAX_MESSAGE);
        out.extend(last);
    }
    if message.len() > MAX_MESSAGE {
        out.extend_from_slice("…".as_bytes());
    }
}

#[cfg(test)]
mod tests;
