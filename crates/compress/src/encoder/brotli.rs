//! Brotli (RFC 7932).

use std::io::{self, Write as _};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;

use super::{Encode, window};

/// Bytes that the encoder hands out at a time.
const BUFFER: usize = 16 * 1024;

pub(super) struct Brotli {
    /// Until the end.
    writer: Option<CompressorWriter<Vec<u8>>>,
    end: Vec<u8>,
}

impl Brotli {
    pub(super) fn new(level: u8, length: Option<u64>) -> Self {
        let params = BrotliEncoderParams {
            quality: level.into(),
            lgwin: window(length, 10).into(),
            size_hint: length.and_then(|length| length.try_into().ok()).unwrap_or(0),
            ..BrotliEncoderParams::default()
        };
        Self { writer: Some(CompressorWriter::with_params(Vec::new(), BUFFER, &params)), end: Vec::new() }
    }
}

impl Encode for Brotli {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.writer.as_mut().map_or(Err(ended()), |writer| writer.write_all(content))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Err(ended()), io::Write::flush)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.end = self.writer.take().ok_or_else(ended)?.into_inner();
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.as_mut().map_or(&mut self.end, CompressorWriter::get_mut))
    }
}

fn ended() -> io::Error {
    io::Error::other("the stream has ended")
}
