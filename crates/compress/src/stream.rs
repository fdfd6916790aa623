//! One body on its way through an encoder.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::coding::Coding;
use crate::encoder::{self, Encode};

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// The coding.
    pub coding: Coding,
    /// Its level, one of [`Coding::levels`].
    pub level: u8,
    /// The length of the content in bytes, where it is known.
    pub length: Option<u64>,
}

impl StreamOptions {
    /// The memory that the encoder may hold, in bytes: somewhat more than was seen (`examples/cost.rs`).
    #[must_use]
    pub const fn memory(&self) -> u64 {
        const MIB: u64 = 1 << 20;
        match (self.coding, self.level) {
            (Coding::Gzip, _) | (Coding::Brotli, 0..=1) => MIB / 2,
            (Coding::Zstd, 0..=2) => MIB,
            (Coding::Zstd, 3..=5) | (Coding::Brotli, 2..=4) => 2 * MIB,
            (Coding::Brotli, 5) => 3 * MIB,
            (Coding::Brotli, 6) => 4 * MIB,
            (Coding::Zstd, _) | (Coding::Brotli, 7) => 10 * MIB,
            (Coding::Brotli, 9) => 34 * MIB,
            (Coding::Brotli, _) => 18 * MIB,
        }
    }
}

/// A body that is being coded.
pub struct Stream {
    options: StreamOptions,
    encoder: Box<dyn Encode>,
    content: u64,
    coded: u64,
    took: Duration,
}

impl Stream {
    /// An encoder at its start.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(options: StreamOptions) -> io::Result<Self> {
        let began = Instant::now();
        let encoder = encoder::new(options)?;
        Ok(Self { options, encoder, content: 0, coded: 0, took: began.elapsed() })
    }

    /// Codes a piece, and flushes it: a client can decode all of it at once, whenever the next may come. The last
    /// piece, which may be empty, ends the stream.
    ///
    /// # Errors
    /// When the content is longer or shorter than was said. The stream is of no use then.
    pub fn piece(&mut self, content: &[u8], last: bool) -> io::Result<Bytes> {
        let began = Instant::now();
        let left = self.options.length.map(|length| length.saturating_sub(self.content));
        if !content.is_empty() {
            self.encoder.write(content)?;
        }
        self.content += content.len() as u64;
        let complete = left == Some(content.len() as u64);
        if last {
            self.encoder.finish()?;
        } else if !content.is_empty() && !complete {
            // With all of it here the end is next: it brings out everything.
            self.encoder.flush()?;
        }
        let coded = self.encoder.take();
        self.coded += coded.len() as u64;
        self.took += began.elapsed();
        Ok(coded.into())
    }

    /// Whether a piece of this many bytes can keep a thread busy for longer than others should wait for it.
    #[must_use]
    pub fn is_slow(&self, bytes: usize) -> bool {
        // What a level makes in a millisecond, roughly (`examples/cost.rs`).
        let in_a_millisecond = match (self.options.coding, self.options.level) {
            (Coding::Gzip, _) => 48_000,
            (Coding::Zstd, 0..=5) => 100_000,
            (Coding::Zstd, 6..=9) => 32_000,
            (Coding::Brotli, 0..=4) => 50_000,
            (Coding::Brotli, 5..=6) => 20_000,
            (coding, level) if level < coding.slow_from() => 4000,
            _ => 0,
        };
        bytes > in_a_millisecond
    }

    /// Its coding.
    #[must_use]
    pub fn coding(&self) -> Coding {
        self.options.coding
    }

    /// Bytes of content so far.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content
    }

    /// Bytes made of them.
    #[must_use]
    pub fn coded_bytes(&self) -> u64 {
        self.coded
    }

    /// The time it took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }
}

#[cfg(test)]
mod tests;
