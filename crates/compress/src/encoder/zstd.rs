//! Zstandard (RFC 8878).

use std::io::{self, Write as _};

use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

use super::{Encode, WINDOW, window};

/// From this level on the tables grow beyond what the window has use for.
const DEEP: u8 = 10;

/// The largest tables that the window has use for, as a power of two: one entry a byte, and as many again.
const TABLES: u32 = WINDOW as u32 + 1;

pub(super) struct Zstd(Encoder<'static, Vec<u8>>);

impl Zstd {
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn new(level: u8, length: Option<u64>) -> io::Result<Self> {
        let mut encoder = Encoder::new(Vec::new(), level.into())?;
        encoder.set_parameter(CParameter::WindowLog(window(length, 10).into()))?;
        if level >= DEEP && length.is_none() {
            // For content of unknown length its tables would be those of its own, larger windows.
            encoder.set_parameter(CParameter::HashLog(TABLES))?;
            encoder.set_parameter(CParameter::ChainLog(TABLES))?;
        }
        // Also makes the tables no larger than the content needs. A body of another length is then an error.
        encoder.set_pledged_src_size(length)?;
        Ok(Self(encoder))
    }
}

impl Encode for Zstd {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.0.write_all(content)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.do_finish()
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.0.get_mut())
    }
}
