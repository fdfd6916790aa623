//! The thread that writes.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use super::sink::Target;

/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The same for a pipe that is merely full.
const SOON: Duration = Duration::from_millis(10);
/// What a pipe takes whole or not at all (`PIPE_BUF`, pipe(7)).
const WHOLE: usize = 4096;

/// The writer's side of an access log.
pub(super) struct Writer {
    buffer: Arc<Buffer>,
    target: Target,
    file: File,
    is_file: bool,
    flush: Duration,
    /// Whether the last write failed, so that a long failure is told once.
    failing: bool,
}

impl Writer {
    pub(super) fn new(buffer: Arc<Buffer>, target: Target, file: File, flush: Duration) -> Self {
        Self { buffer, target, is_file: is_file(&file), file, flush, failing: false }
    }

    /// Writes until told to stop.
    pub(super) fn run(mut self) {
        let buffer = Arc::clone(&self.buffer);
        let mut batch = Vec::new();
        loop {
            let orders = buffer.await_orders(self.flush);
            // What was logged before the order goes to the file as it was then.
            buffer.take(&mut batch, orders.stop.is_some(), |lines| self.write(lines));
            if orders.reopen {
                self.reopen();
            }
            if orders.stop.is_some() {
                break;
            }
        }
        buffer.ended();
    }

    /// Writes whole lines, however long the file refuses them; meanwhile the buffer fills and then drops. What is left
    /// at the time to stop is dropped too.
    fn write(&mut self, lines: &[u8]) {
        let mut at = 0;
        while at < lines.len() {
            let error = match self.file.write(&lines[at..at + self.piece(&lines[at..])]) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(count) => {
                    self.count_lines(&lines[at..at + count]);
                    at += count;
                    self.recovered();
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let delay = self.failed(&error);
            let orders = self.buffer.pause(delay);
            if orders.reopen {
                self.reopen();
                // The new file begins with a whole line; the old one keeps the torn half.
                at = lines[..at].iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
            }
            if orders.stop.is_some_and(|stop| stop <= Instant::now()) {
                let left = line_ends(&lines[at..]);
                self.buffer.counters.dropped.fetch_add(left, Ordering::Relaxed);
                return;
            }
        }
    }

    /// How many bytes to write at once. A pipe may have another writer, the process before or after an upgrade: whole lines that
    /// it takes whole are not torn by those of the other. A file takes any number without.
    fn piece(&self, left: &[u8]) -> usize {
        if self.is_file {
            return left.len();
        }
        let most = &left[..left.len().min(WHOLE)];
        memchr::memrchr(b'\n', most).or_else(|| memchr::memchr(b'\n', left)).map_or(left.len(), |end| end + 1)
    }

    fn count_lines(&self, written: &[u8]) {
        self.buffer.counters.written.fetch_add(line_ends(written), Ordering::Relaxed);
    }

    /// Notes a failed write; returns when to try again.
    fn failed(&mut self, error: &std::io::Error) -> Duration {
        if error.kind() == ErrorKind::WouldBlock {
            return SOON;
        }
        self.buffer.counters.write_errors.fetch_add(1, Ordering::Relaxed);
        if !self.failing {
            self.failing = true;
            log::error!(
                "cannot write the access log {}: {error}; it is tried again each second, lines wait in memory and are then dropped",
                self.target
            );
        }
        RETRY
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            let dropped = self.buffer.counters.dropped.load(Ordering::Relaxed);
            log::warn!(
                "the access log {} is written again; {dropped} lines dropped since the start",
                self.target
            );
        }
    }

    fn reopen(&mut self) {
        match self.target.open() {
            Ok(file) => {
                self.is_file = is_file(&file);
                self.file = file;
                self.buffer.counters.reopened.fetch_add(1, Ordering::Relaxed);
                log::info!("opened the access log {} anew", self.target);
            }
            Err(error) => {
                self.buffer.counters.reopen_failures.fetch_add(1, Ordering::Relaxed);
                log::error!(
                    "cannot open the access log {} anew: {error}; the open file is kept",
                    self.target
                );
            }
        }
    }
}

fn is_file(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file())
}

fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
