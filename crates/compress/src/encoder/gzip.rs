//! gzip (RFC 1952).

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Encode;

pub(super) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    pub(super) fn new(level: u8) -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::new(level.into())))
    }
}

impl Encode for Gzip {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.0.write_all(content)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.try_finish()
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.0.get_mut())
    }
}
