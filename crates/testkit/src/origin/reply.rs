//! What an origin answers, good manners and bad.

use super::gate::Gate;
use crate::headers::{Headers, latin1};
use crate::http1::Framing;
use bytes::Bytes;
use std::time::Duration;

/// A scripted answer. HTTP/1 obeys all of it; HTTP/2 what it has a form for.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) kind: Kind,
    pub(super) version: &'static str,
    pub(super) status: u16,
    pub(super) reason: Option<String>,
    pub(super) headers: Headers,
    pub(super) interim: Vec<(u16, Headers)>,
    pub(super) before: Vec<Part>,
    pub(super) parts: Vec<Part>,
    pub(super) framing: Option<Framing>,
    pub(super) trailers: Headers,
    pub(super) cut: Option<usize>,
    pub(super) extra: Vec<u8>,
    pub(super) after: After,
    pub(super) stream_reset: Option<u32>,
    pub(super) goaway: bool,
}

/// What the answer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    /// Bytes that need not be HTTP.
    Raw(Bytes),
    /// A message, and then whatever comes is sent back.
    Echo,
}

/// A step on the way.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Data(Bytes),
    Pause(Duration),
    Gate(Gate),
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
    Reset,
    Hang,
}

impl Reply {
    /// An answer with this status and no body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            kind: Kind::Message,
            version: "HTTP/1.1",
            status,
            reason: None,
            headers: Headers::new(),
            interim: Vec::new(),
            before: Vec::new(),
            parts: Vec::new(),
            framing: None,
            trailers: Headers::new(),
            cut: None,
            extra: Vec::new(),
            after: After::KeepAlive,
            stream_reset: None,
            goaway: false,
        }
    }

    /// A 200 with this body.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200).body(body)
    }

    /// These bytes, whatever they are. The connection stays open unless told otherwise.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind: Kind::Raw(Bytes::from(bytes.into())), ..Self::new(200) }
    }

    /// No answer, with the connection held open until the client leaves.
    #[must_use]
    pub fn silence() -> Self {
        Self::raw("").hang()
    }

    /// A 101 to this protocol; then everything received is sent back.
    #[must_use]
    pub fn upgrade(protocol: &str) -> Self {
        let reply = Self::new(101).header("Connection", "upgrade").header("Upgrade", protocol);
        Self { kind: Kind::Echo, ..reply }
    }

    /// A 200 without an announced length that sends back the request's body while it comes. For HTTP/2
    /// origins that answer early (see [`crate::OriginBuilder::answer_early`]).
    #[must_use]
    pub fn echo() -> Self {
        Self { kind: Kind::Echo, ..Self::new(200) }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Adds many fields.
    #[must_use]
    pub fn headers(self, fields: &[(&str, &str)]) -> Self {
        fields.iter().fold(self, |reply, (name, value)| reply.header(name, value))
    }

    /// Sets the reason phrase.
    #[must_use]
    pub fn reason(mut self, phrase: &str) -> Self {
        self.reason = Some(phrase.into());
        self
    }

    /// Speaks HTTP/1.0.
    #[must_use]
    pub fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// Adds to the body. Each call is one chunk when the body is chunked.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.parts.push(Part::Data(Bytes::from(bytes.into())));
        self
    }

    /// Stays silent for a while at this point of the body.
    #[must_use]
    pub fn pause(mut self, time: Duration) -> Self {
        self.parts.push(Part::Pause(time));
        self
    }

    /// Waits at this point of the body until the gate opens.
    #[must_use]
    pub fn gate(mut self, gate: &Gate) -> Self {
        self.parts.push(Part::Gate(gate.clone()));
        self
    }

    /// Stays silent for a while before the head.
    #[must_use]
    pub fn delay(mut self, time: Duration) -> Self {
        self.before.push(Part::Pause(time));
        self
    }

    /// Waits with the head until the gate opens.
    #[must_use]
    pub fn hold(mut self, gate: &Gate) -> Self {
        self.before.push(Part::Gate(gate.clone()));
        self
    }

    /// Sends a 1xx response first (before any delay).
    #[must_use]
    pub fn interim(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        self.interim.push((status, fields.iter().copied().collect()));
        self
    }

    /// Frames the body in chunks.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.framing = Some(Framing::Chunked);
        self
    }

    /// Announces this length, true or not.
    #[must_use]
    pub fn length(mut self, length: u64) -> Self {
        self.framing = Some(Framing::Length(length));
        self
    }

    /// Ends the body by closing.
    #[must_use]
    pub fn until_close(mut self) -> Self {
        self.framing = Some(Framing::UntilClose);
        self.close()
    }

    /// Adds a field after the body, which is then chunked.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push(name, value);
        self.chunked()
    }

    /// Stops after so many bytes of the body and closes (or resets, or hangs, if so told).
    #[must_use]
    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        if self.after == After::KeepAlive { self.close() } else { self }
    }

    /// Sends these bytes after the response, on the same connection.
    #[must_use]
    pub fn extra(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.extra = bytes.into();
        self
    }

    /// Closes the connection at the end.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.after = After::Close;
        self
    }

    /// Resets the connection at the end (TCP RST).
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.after = After::Reset;
        self
    }

    /// Holds the connection open and silent at the end, until the client leaves.
    #[must_use]
    pub fn hang(mut self) -> Self {
        self.after = After::Hang;
        self
    }

    /// HTTP/2: ends the stream with `RST_STREAM` and this code instead of its proper end.
    #[must_use]
    pub fn stream_reset(mut self, code: u32) -> Self {
        self.stream_reset = Some(code);
        self
    }

    /// HTTP/2: announces before this answer that the connection takes no more streams.
    #[must_use]
    pub fn goaway(mut self) -> Self {
        self.goaway = true;
        self
    }

    /// Whether the body is chunked on HTTP/1.
    pub(super) fn is_chunked(&self) -> bool {
        self.framing == Some(Framing::Chunked)
    }

    /// The head of this answer on HTTP/1. Framing fields the test set itself are left alone.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut out = latin1(&format!("{} {} {}\r\n", self.version, self.status, self.phrase()));
        out.extend(self.headers.to_lines());
        let set = self.headers.has("content-length") || self.headers.has("transfer-encoding");
        let bodiless = self.status < 200 || self.status == 204 || self.status == 304;
        match self.framing {
            Some(Framing::Chunked) if !set => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Some(Framing::Length(length)) => out.extend(latin1(&format!("Content-Length: {length}\r\n"))),
            None if !set && !bodiless && self.kind == Kind::Message => {
                out.extend(latin1(&format!("Content-Length: {}\r\n", self.content_length())));
            }
            _ => {}
        }
        if self.after == After::Close && !self.headers.has("connection") {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    fn phrase(&self) -> &str {
        let known = || http::StatusCode::from_u16(self.status).ok().and_then(|code| code.canonical_reason());
        self.reason.as_deref().or_else(known).unwrap_or("Scripted")
    }

    fn content_length(&self) -> usize {
        let sizes = self.parts.iter().map(|part| if let Part::Data(bytes) = part { bytes.len() } else { 0 });
        sizes.sum()
    }
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self::new(status)
    }
}

impl From<&str> for Reply {
    fn from(body: &str) -> Self {
        Self::ok(body)
    }
}
