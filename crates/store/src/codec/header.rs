//! The form of a response's header on disk.
//!
//! ```text
//! status u16 | version u8 | flags u8 | fields u16 | reason u16 | reason
//! each field: name u16 | value u32 | name | value
//! ```
//!
//! Integers are little-endian. Pingora's own form is compressed, which costs more to undo than all else that reading a
//! small object takes; here names and values are slices of what was read.

use bytes::{Buf, Bytes};
use http::{HeaderValue, Version};
use pingora_error::{ErrorType::InternalError, OrErr, Result};
use pingora_http::ResponseHeader;

use crate::head::ADDED_FIELDS;

/// How the names were written is kept.
const HAS_CASE: u8 = 1;
/// The status line had words of its own.
const HAS_REASON: u8 = 2;

const VERSIONS: [Version; 5] =
    [Version::HTTP_09, Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3];

/// Appends `header` to `out`.
///
/// # Errors
/// When a part of it is longer than the form has room for.
pub(super) fn encode(header: &ResponseHeader, out: &mut Vec<u8>) -> Result<()> {
    let version = VERSIONS.iter().position(|version| *version == header.version).unwrap_or(2);
    // What is the usual phrase of the status is not worth keeping.
    let reason =
        header.get_reason_phrase().filter(|reason| Some(*reason) != header.status.canonical_reason());
    let case = if header.has_case() { HAS_CASE } else { 0 };
    let flags = case | if reason.is_some() { HAS_REASON } else { 0 };
    let reason = reason.unwrap_or_default();
    out.extend_from_slice(&header.status.as_u16().to_le_bytes());
    out.extend_from_slice(&[u8::try_from(version).unwrap_or(2), flags]);
    out.extend_from_slice(&short(header.headers.len())?.to_le_bytes());
    out.extend_from_slice(&short(reason.len())?.to_le_bytes());
    out.extend_from_slice(reason.as_bytes());
    let mut push = |name: &[u8], value: &HeaderValue| -> Result<()> {
        let long = u32::try_from(value.len()).or_err(InternalError, "a header value of 4 GiB")?;
        out.extend_from_slice(&short(name.len())?.to_le_bytes());
        out.extend_from_slice(&long.to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(value.as_bytes());
        Ok(())
    };
    if header.has_case() {
        header.case_header_iter().try_for_each(|(name, value)| push(name.as_slice(), value))
    } else {
        header.headers.iter().try_for_each(|(name, value)| push(name.as_str().as_bytes(), value))
    }
}

fn short(len: usize) -> Result<u16> {
    u16::try_from(len).or_err(InternalError, "a part of a response header of more than 64 KiB")
}

/// The header in `bytes`, which is all of them; none when that is not one.
pub(super) fn decode(mut bytes: Bytes) -> Option<ResponseHeader> {
    let (status, version) = (bytes.try_get_u16_le().ok()?, bytes.try_get_u8().ok()?);
    let (flags, fields) = (bytes.try_get_u8().ok()?, bytes.try_get_u16_le().ok()?);
    let reason = usize::from(bytes.try_get_u16_le().ok()?);
    let room = Some(usize::from(fields).saturating_add(ADDED_FIELDS));
    let mut header = if flags & HAS_CASE == 0 {
        ResponseHeader::build_no_case(status, room)
    } else {
        ResponseHeader::build(status, room)
    }
    .ok()?;
    header.set_version(*VERSIONS.get(usize::from(version))?);
    let reason = take(&mut bytes, reason)?;
    if flags & HAS_REASON != 0 {
        header.set_reason_phrase(Some(std::str::from_utf8(&reason).ok()?)).ok()?;
    }
    for _ in 0..fields {
        let name = usize::from(bytes.try_get_u16_le().ok()?);
        let value = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
        let name = take(&mut bytes, name)?;
        let value = HeaderValue::from_maybe_shared(take(&mut bytes, value)?).ok()?;
        match crate::head::known_name(&name) {
            Some(name) => header.append_header(name, value),
            None => header.append_header(name, value),
        }
        .ok()?;
    }
    bytes.is_empty().then_some(header)
}

fn take(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(header: &ResponseHeader) -> Vec<u8> {
        let mut wire = Vec::new();
        header.header_to_h1_wire(&mut wire);
        wire
    }

    proptest! {
        #[test]
        fn comes_back_as_it_went_in_and_pieces_do_not(
            status in 100..1000u16,
            version in 0..VERSIONS.len(),
            case: bool,
            reason in prop::option::of("[a-zA-Z ]{0,20}"),
            fields in prop::collection::vec(("[a-zA-Z][a-zA-Z0-9-]{0,12}|ETag|date", "[ -~]{0,40}"), 0..12),
        ) {
            let build = if case { ResponseHeader::build } else { ResponseHeader::build_no_case };
            let mut header = build(status, None).unwrap();
            header.set_version(VERSIONS[version]);
            header.set_reason_phrase(reason.as_deref()).unwrap();
            for (name, value) in fields {
                header.append_header(name, value).unwrap();
            }
            let mut bytes = Vec::new();
            encode(&header, &mut bytes).unwrap();
            let back = decode(bytes.clone().into()).unwrap();
            prop_assert_eq!(wire(&back), wire(&header));
            prop_assert_eq!(back.version, header.version);
            prop_assert_eq!(back.get_reason_phrase(), header.get_reason_phrase());
            prop_assert_eq!(back.has_case(), header.has_case());
            for len in 0..bytes.len() {
                prop_assert!(decode(Bytes::copy_from_slice(&bytes[..len])).is_none());
            }
        }

        #[test]
        fn any_bytes_are_taken_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(bytes.into());
        }
    }
}
