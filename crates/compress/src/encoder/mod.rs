//! The encoders, behind one trait.

mod brotli;
mod gzip;
mod zstd;

use std::io;

use crate::coding::Coding;
use crate::stream::StreamOptions;

/// The largest window, as a power of two: 512 KiB. What a page repeats lies nearer, and each running encoder holds
/// memory for a few windows. (Clients of zstd must take 8 MiB: RFC 9659.)
const WINDOW: u8 = 19;

/// An encoder that collects what it made until that is taken.
pub(crate) trait Encode: Send + Sync {
    /// Codes more content. What comes of it may stay inside for now.
    fn write(&mut self, content: &[u8]) -> io::Result<()>;
    /// Brings out all that a decoder needs for the content so far.
    fn flush(&mut self) -> io::Result<()>;
    /// Brings out the end. Nothing is written after it.
    fn finish(&mut self) -> io::Result<()>;
    /// What was made since the last time.
    fn take(&mut self) -> Vec<u8>;
}

pub(crate) fn new(options: StreamOptions) -> io::Result<Box<dyn Encode>> {
    Ok(match options.coding {
        Coding::Gzip => Box::new(gzip::Gzip::new(options.level)),
        Coding::Brotli => Box::new(brotli::Brotli::new(options.level, options.length)),
        Coding::Zstd => Box::new(zstd::Zstd::new(options.level, options.length)?),
    })
}

/// The window for content of a known length, which needs none larger than itself.
fn window(length: Option<u64>, least: u8) -> u8 {
    let enough = length.map_or(u32::MAX, |length| u64::BITS - length.saturating_sub(1).leading_zeros());
    u8::try_from(enough).unwrap_or(WINDOW).clamp(least, WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_holds_the_content() {
        assert_eq!((window(None, 10), window(Some(u64::MAX), 10)), (WINDOW, WINDOW));
        assert_eq!((window(Some(0), 10), window(Some(1024), 10), window(Some(1025), 10)), (10, 10, 11));
        assert_eq!((window(Some(1 << 19), 10), window(Some((1 << 19) + 1), 10)), (19, 19));
    }
}
