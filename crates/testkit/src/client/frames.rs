//! HTTP/2 frame by frame, for what a well-behaved library refuses to send (RFC 9113 §4, §6).

use super::raw::RawClient;
use super::response::ReadError;
use crate::wait::OrDie;

/// Frame types (RFC 9113 §6).
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Frame flags (RFC 9113 §6).
pub mod flags {
    #![allow(missing_docs, reason = "the names are those of the RFC")]
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type, see [`kind`].
    pub kind: u8,
    /// Its flags, see [`flags`].
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Any frame, sensible or not.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A complete header block of these fields, never indexed and never compressed, so that any octet is
    /// possible. Pseudo fields are fields like others here.
    #[must_use]
    pub fn headers(stream: u32, fields: &[(&str, &str)], end_stream: bool) -> Self {
        let flags = flags::END_HEADERS | if end_stream { flags::END_STREAM } else { 0 };
        Self::new(kind::HEADERS, flags, stream, block(fields))
    }

    /// A `GET` of a path.
    #[must_use]
    pub fn get(stream: u32, host: &str, path: &str) -> Self {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path)];
        Self::headers(stream, &fields, true)
    }

    /// A piece of a body.
    #[must_use]
    pub fn data(stream: u32, bytes: &[u8], end_stream: bool) -> Self {
        Self::new(kind::DATA, if end_stream { flags::END_STREAM } else { 0 }, stream, bytes)
    }

    /// A reset with this code.
    #[must_use]
    pub fn reset(stream: u32, code: u32) -> Self {
        Self::new(kind::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    /// More room for the other side.
    #[must_use]
    pub fn window_update(stream: u32, more: u32) -> Self {
        Self::new(kind::WINDOW_UPDATE, 0, stream, more.to_be_bytes())
    }

    /// Settings, by identifier (RFC 9113 §6.5.2).
    #[must_use]
    pub fn settings(values: &[(u16, u32)]) -> Self {
        let encode = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
        Self::new(kind::SETTINGS, 0, 0, values.iter().flat_map(encode).collect::<Vec<u8>>())
    }

    /// The error code of a `RST_STREAM` or `GOAWAY`.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }

    /// The frame's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut out = vec![length[1], length[2], length[3], self.kind, self.flags];
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.payload);
        out
    }
}

/// A header block of literals without indexing or Huffman coding (RFC 7541 §6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            let bytes = crate::headers::latin1(text);
            integer(&mut out, bytes.len());
            out.extend(bytes);
        }
    }
    out
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn integer(out: &mut Vec<u8>, value: usize) {
    const PREFIX: usize = 127;
    let Some(mut rest) = value.checked_sub(PREFIX) else {
        out.push(u8::try_from(value).unwrap_or(u8::MAX));
        return;
    };
    out.push(127);
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap_or_default() | 0x80);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap_or_default());
}

/// A connection on which the test writes every frame itself, apart from the preface.
#[derive(Debug)]
pub struct FrameClient {
    raw: RawClient,
}

impl FrameClient {
    /// Sends the preface and empty settings over this connection.
    #[track_caller]
    #[must_use]
    pub fn over(mut raw: RawClient) -> Self {
        raw.send([PREFACE, &Frame::settings(&[]).to_bytes()].concat());
        Self { raw }
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// It cannot be sent; see [`FrameClient::try_send`].
    #[track_caller]
    pub fn send(&mut self, frame: &Frame) -> &mut Self {
        self.raw.send(frame.to_bytes());
        self
    }

    /// Sends a frame, when a closed connection is a possible outcome.
    ///
    /// # Errors
    /// The connection is closed or takes nothing.
    pub fn try_send(&mut self, frame: &Frame) -> std::io::Result<()> {
        self.raw.try_send(frame.to_bytes())
    }

    /// The connection under it.
    pub fn raw(&mut self) -> &mut RawClient {
        &mut self.raw
    }

    /// Reads the next frame.
    ///
    /// # Errors
    /// None comes before the deadline or the end of the connection.
    pub fn read(&mut self) -> Result<Frame, ReadError> {
        let head = self.raw.try_read_exact(9)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        let payload = self.raw.try_read_exact(usize::try_from(number(&head[..3])).unwrap_or(usize::MAX))?;
        let stream = number(&head[5..9]) & 0x7fff_ffff;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads frames until one of this type, acknowledging settings and pings on the way.
    ///
    /// # Panics
    /// None comes before the deadline or the end of the connection.
    #[track_caller]
    #[must_use]
    pub fn read_until(&mut self, wanted: u8) -> Frame {
        loop {
            let frame = self.read().or_die(&format!("read a frame of type {wanted}"));
            if frame.flags & flags::ACK == 0 && matches!(frame.kind, kind::SETTINGS | kind::PING) {
                let payload = if frame.kind == kind::PING { frame.payload.clone() } else { Vec::new() };
                // The other side may be closing: then the frame waited for is still to be read.
                let _ = self.try_send(&Frame::new(frame.kind, flags::ACK, 0, payload));
            }
            if frame.kind == wanted {
                return frame;
            }
        }
    }
}
