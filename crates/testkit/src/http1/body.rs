//! A body arriving in pieces.

use super::Framing;
use super::head::field;
use crate::headers::{Headers, text};

/// A line of a chunked body is short; a longer one is an error and not something to wait for.
const LINE_MAX: usize = 64 * 1024;

#[derive(Debug)]
enum Expect {
    /// So many bytes more, and then the end.
    Length(u64),
    Everything,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    Nothing,
}

/// Takes a body out of a growing buffer and leaves what follows it there.
#[derive(Debug)]
pub(crate) struct BodyReader {
    expect: Expect,
    /// The content so far.
    pub(crate) data: Vec<u8>,
    /// The sizes of the chunks so far.
    pub(crate) chunks: Vec<u64>,
    /// The fields after the last chunk.
    pub(crate) trailers: Headers,
}

impl BodyReader {
    pub(crate) fn new(framing: Framing) -> Self {
        let expect = match framing {
            Framing::None | Framing::Length(0) => Expect::Nothing,
            Framing::Length(length) => Expect::Length(length),
            Framing::Chunked => Expect::ChunkSize,
            Framing::UntilClose => Expect::Everything,
        };
        Self { expect, data: Vec::new(), chunks: Vec::new(), trailers: Headers::new() }
    }

    /// Takes what it can from `buffer`. `Ok(true)` once the body is whole.
    pub(crate) fn advance(&mut self, buffer: &mut Vec<u8>) -> Result<bool, String> {
        while !self.is_done() {
            if !self.step(buffer)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the body is whole.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.expect, Expect::Nothing)
    }

    /// Whether the end of the connection is the proper end of this body.
    pub(crate) fn ends_at_close(&self) -> bool {
        matches!(self.expect, Expect::Everything | Expect::Nothing)
    }

    /// What it still waits for, in words.
    pub(crate) fn awaited(&self) -> String {
        match &self.expect {
            Expect::Length(left) => format!("{left} more bytes of the content-length"),
            Expect::Everything => "the close that ends the body".into(),
            Expect::ChunkSize => "a chunk size".into(),
            Expect::ChunkData(left) => format!("{left} more bytes of a chunk"),
            Expect::ChunkEnd => "the line end after a chunk".into(),
            Expect::Trailer => "the end of the trailers".into(),
            Expect::Nothing => "nothing".into(),
        }
    }

    /// One state further; `false` when the buffer holds too little for it.
    fn step(&mut self, buffer: &mut Vec<u8>) -> Result<bool, String> {
        match self.expect {
            Expect::Nothing => Ok(true),
            Expect::Everything => {
                self.data.append(buffer);
                Ok(false)
            }
            Expect::Length(left) => {
                let rest = self.take(left, buffer);
                self.expect = if rest == 0 { Expect::Nothing } else { Expect::Length(rest) };
                Ok(rest == 0)
            }
            Expect::ChunkData(left) => {
                let rest = self.take(left, buffer);
                self.expect = if rest == 0 { Expect::ChunkEnd } else { Expect::ChunkData(rest) };
                Ok(rest == 0)
            }
            Expect::ChunkSize => self.on_line(buffer, Self::chunk_size),
            Expect::ChunkEnd => self.on_line(buffer, Self::chunk_end),
            Expect::Trailer => self.on_line(buffer, Self::trailer),
        }
    }

    fn take(&mut self, left: u64, buffer: &mut Vec<u8>) -> u64 {
        let available = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.data.extend(buffer.drain(..available));
        left.saturating_sub(available as u64)
    }

    fn on_line(
        &mut self,
        buffer: &mut Vec<u8>,
        then: fn(&mut Self, &str) -> Result<(), String>,
    ) -> Result<bool, String> {
        let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
            return if buffer.len() > LINE_MAX { Err("an endless line".into()) } else { Ok(false) };
        };
        let line: Vec<u8> = buffer.drain(..=end).collect();
        let content =
            line.strip_suffix(b"\r\n").ok_or_else(|| format!("no CR LF after {:?}", text(&line)))?;
        then(self, &text(content))?;
        Ok(true)
    }

    fn chunk_size(&mut self, line: &str) -> Result<(), String> {
        let size = line.split_once(';').map_or(line, |(size, _extension)| size);
        let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| digits);
        let size = size.ok_or_else(|| format!("{line:?} is not a chunk size"))?;
        if size > 0 {
            self.chunks.push(size);
        }
        self.expect = if size == 0 { Expect::Trailer } else { Expect::ChunkData(size) };
        Ok(())
    }

    fn chunk_end(&mut self, line: &str) -> Result<(), String> {
        self.expect = Expect::ChunkSize;
        if line.is_empty() { Ok(()) } else { Err(format!("{line:?} where a chunk ends")) }
    }

    fn trailer(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() {
            self.expect = Expect::Nothing;
            return Ok(());
        }
        let (name, value) = field(line)?;
        self.trailers.push(name, value);
        Ok(())
    }
}
