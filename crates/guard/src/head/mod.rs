//! Strict request heads.
//!
//! Pingora's parser is lenient where leniency lets two parties read one request differently. These checks look
//! at what really came over the wire and refuse what the RFCs call malformed or what is known to be read in
//! more than one way. They run on each request, so they read each byte once and allocate nothing.

mod bytes;
mod fields;
mod h2;
mod line;

use std::fmt;

pub use h2::check_h2;

/// How large a head may be.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the whole head; 431 beyond.
    pub max_head: usize,
    /// Header fields; 431 beyond.
    pub max_fields: usize,
    /// Bytes of the request target; 414 beyond.
    pub max_target: usize,
}

/// Why a request head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadFault {
    /// A short stable name: a metric label and a log value.
    pub reason: &'static str,
    /// The status to answer with: 400, 414, 431, 501 or 505.
    pub status: u16,
}

impl HeadFault {
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self { reason, status: 400 }
    }

    const fn with_status(reason: &'static str, status: u16) -> Self {
        Self { reason, status }
    }

    /// The faults that are not 400.
    pub(crate) const TARGET_TOO_LONG: Self = Self::with_status("target_too_long", 414);
    pub(crate) const HEAD_TOO_LARGE: Self = Self::with_status("head_too_large", 431);
    pub(crate) const TOO_MANY_FIELDS: Self = Self::with_status("too_many_fields", 431);
    pub(crate) const UNKNOWN_CODING: Self = Self::with_status("unknown_transfer_coding", 501);
    pub(crate) const UNKNOWN_VERSION: Self = Self::with_status("unknown_version", 505);
}

impl fmt::Display for HeadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused request head: {}", self.reason)
    }
}

impl std::error::Error for HeadFault {}

impl From<crate::LineFault> for HeadFault {
    fn from(fault: crate::LineFault) -> Self {
        match fault {
            crate::LineFault::IllegalByte => Self::bad("illegal_byte_in_line"),
            crate::LineFault::BareLineFeed => Self::bad("bare_lf"),
            crate::LineFault::Unwatched => Self::bad("unwatched_head"),
        }
    }
}

/// How the body of a request is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Framing {
    /// Whether bytes of a body are to come.
    #[must_use]
    pub fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// Checks a whole HTTP/1 request head as it came over the wire, from the request line to the empty line
/// (Pingora: `HttpSession::get_headers_raw_bytes`), and says how the body is framed.
///
/// RFC 9112 sections 2.2 (line ends), 3 (request line), 3.2 (Host, target forms), 5 (fields), 6 (framing).
///
/// # Errors
/// The first fault, with the status to answer. The connection must then be closed: where the next request
/// begins is not known.
pub fn check_h1(raw: &[u8], limits: &HeadLimits) -> Result<Framing, HeadFault> {
    if raw.len() > limits.max_head {
        return Err(HeadFault::HEAD_TOO_LARGE);
    }
    // One empty line before a request is a slip of old clients that RFC 9112 section 2.2 forgives.
    let raw = raw.strip_prefix(b"\r\n").unwrap_or(raw);
    let (line, mut rest) = bytes::split_line(raw)?;
    let line = line::RequestLine::parse(line, limits.max_target)?;
    let mut fields = fields::Fields::new(line.version);
    loop {
        let (field, after) = bytes::split_line(rest)?;
        rest = after;
        if field.is_empty() {
            break;
        }
        if fields.count() >= limits.max_fields {
            return Err(HeadFault::TOO_MANY_FIELDS);
        }
        fields.add(field)?;
    }
    if !rest.is_empty() {
        return Err(HeadFault::bad("bytes_after_head"));
    }
    line.check_authority(fields.host())?;
    fields.framing()
}

#[cfg(test)]
mod tests;
