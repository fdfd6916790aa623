//! Header fields: their syntax, and the ones that frame a request.

use super::bytes::{digits, is_field_value, is_token, trim};
use super::line::Version;
use super::{Framing, HeadFault};

/// The fields of one head, as far as framing and authority need them.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    version: Version,
    count: usize,
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(version: Version) -> Self {
        Self { version, count: 0, host: None, length: None, chunked: false }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn host(&self) -> Option<&'a [u8]> {
        self.host
    }

    pub(super) fn add(&mut self, field: &'a [u8]) -> Result<(), HeadFault> {
        self.count += 1;
        if matches!(field.first(), Some(b' ' | b'\t')) {
            return Err(HeadFault::bad("folded_field"));
        }
        let Some(colon) = memchr::memchr(b':', field) else {
            return Err(HeadFault::bad("field_without_colon"));
        };
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        if matches!(name.last(), Some(b' ' | b'\t')) {
            return Err(HeadFault::bad("space_before_colon"));
        }
        if !is_token(name) {
            return Err(HeadFault::bad("bad_field_name"));
        }
        if !is_field_value(value) {
            return Err(HeadFault::bad("bad_field_value"));
        }
        // By length first: most fields are none of these.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.add_host(trim(value)),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.add_length(trim(value)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.add_coding(trim(value)),
            _ => Ok(()),
        }
    }

    /// RFC 9112 section 3.2: more than one Host is 400.
    fn add_host(&mut self, value: &'a [u8]) -> Result<(), HeadFault> {
        match self.host.replace(value) {
            None => Ok(()),
            Some(_) => Err(HeadFault::bad("duplicate_host")),
        }
    }

    /// RFC 9112 section 6.3 lets equal duplicates pass; a sender that makes them is not to be trusted.
    fn add_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        let length = digits(value).ok_or(HeadFault::bad("bad_content_length"))?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(HeadFault::bad("duplicate_content_length")),
        }
    }

    /// RFC 9112 sections 6.1 and 7: `chunked`, once, from an HTTP/1.1 client, is all that is understood.
    fn add_coding(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.version == Version::Http10 {
            return Err(HeadFault::bad("transfer_encoding_in_http10"));
        }
        if self.chunked {
            return Err(HeadFault::bad("duplicate_transfer_encoding"));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        // A list, a parameter or anything that only looks like `chunked` is a desync attempt, not a coding.
        if is_token(value) && !contains_chunked(value) {
            return Err(HeadFault::UNKNOWN_CODING);
        }
        Err(HeadFault::bad("bad_transfer_encoding"))
    }

    /// RFC 9112 section 6.1: a request with both is a request smuggling attempt.
    pub(super) fn framing(&self) -> Result<Framing, HeadFault> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(HeadFault::bad("length_and_transfer_encoding")),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::None),
        }
    }
}

fn contains_chunked(value: &[u8]) -> bool {
    value.windows(7).any(|part| part.eq_ignore_ascii_case(b"chunked"))
}
