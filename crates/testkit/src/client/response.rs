//! A response as it was read, and why one could not be.

use crate::headers::{Headers, text};
use crate::http1::Framing;
use std::time::Duration;

/// A response read to its end (or, inside [`ReadError::Truncated`], as far as it came).
#[derive(Clone, Debug)]
pub struct Response {
    /// `HTTP/1.1`, `HTTP/1.0` or `HTTP/2`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The reason phrase, empty in HTTP/2.
    pub reason: String,
    /// The fields in order.
    pub headers: Headers,
    /// The content, without its framing.
    pub body: Vec<u8>,
    /// The fields after the content.
    pub trailers: Headers,
    /// The 1xx responses that came before.
    pub interim: Vec<(u16, Headers)>,
    /// How the body was framed.
    pub framing: Framing,
    /// The sizes of the chunks, when there were any.
    pub chunks: Vec<u64>,
    /// The head's bytes as received, empty in HTTP/2.
    pub raw_head: Vec<u8>,
    /// From the call that read it to the end of the head.
    pub first_byte: Duration,
    /// From the call that read it to the end of the body.
    pub elapsed: Duration,
}

impl Response {
    /// The value of the first field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text; bytes outside ASCII become the characters of the same number.
    #[must_use]
    pub fn text(&self) -> String {
        text(&self.body)
    }
}

/// Why a response could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The deadline passed.
    #[error("nothing for {within:?} while waiting for {awaited}; received so far: {}", shown(received))]
    Timeout {
        /// The deadline.
        within: Duration,
        /// What was missing.
        awaited: String,
        /// The bytes that were not yet used.
        received: Vec<u8>,
    },
    /// The connection ended before the head did. With nothing received it was simply closed.
    #[error("closed{} before a whole head; received: {}", if *reset { " by a reset" } else { "" }, shown(received))]
    Closed {
        /// Whether by a reset.
        reset: bool,
        /// The bytes of the unfinished head.
        received: Vec<u8>,
    },
    /// What came is not HTTP/1.1.
    #[error("malformed: {reason}; received: {}", shown(received))]
    Malformed {
        /// What is wrong with it.
        reason: String,
        /// The bytes around the error.
        received: Vec<u8>,
    },
    /// The head was good, the body did not come to its end.
    #[error("truncated{}: {awaited} missing after {} bytes of body", if *reset { " by a reset" } else { "" }, partial.body.len())]
    Truncated {
        /// Whether by a reset.
        reset: bool,
        /// What was missing.
        awaited: String,
        /// What there is.
        partial: Box<Response>,
    },
    /// Another failure of the connection.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

impl ReadError {
    /// Whether the connection was closed with not one byte of an answer.
    #[must_use]
    pub fn is_silent_close(&self) -> bool {
        matches!(self, Self::Closed { received, .. } if received.is_empty())
    }

    /// Whether a body was cut short.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}

/// The beginning of some bytes, quoted for a message.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 400;
    let start = &bytes[..bytes.len().min(MOST)];
    let rest = if bytes.len() > MOST { format!(" … ({} bytes)", bytes.len()) } else { String::new() };
    format!("{:?}{rest}", text(start))
}
