//! Conditional requests (RFC 9110 §13).

use std::time::SystemTime;

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

use crate::validators::{EntityTag, Validators};

/// What the conditions make of a `GET` or `HEAD` that would otherwise be a 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer as if there were no conditions.
    Serve,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Judges the four preconditions in the order of RFC 9110 §13.2.2.
pub(crate) fn judge(headers: &HeaderMap, file: &Validators) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !lists(headers, IF_MATCH, |tag| tag.is_same(&file.tag)) {
            return Verdict::Failed;
        }
    } else if date(headers, IF_UNMODIFIED_SINCE).is_some_and(|since| file.modified > since) {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if lists(headers, IF_NONE_MATCH, |tag| tag.is_equivalent(&file.tag)) {
            return Verdict::NotModified;
        }
    } else if date(headers, IF_MODIFIED_SINCE).is_some_and(|since| file.modified <= since) {
        return Verdict::NotModified;
    }
    Verdict::Serve
}

/// Whether a `Range` may be honoured: without `If-Range`, or when it names this very version (§13.1.5).
///
/// Both kinds of validator must compare strongly: a range of one version must never be joined to one of another.
pub(crate) fn allows_range(headers: &HeaderMap, file: &Validators) -> bool {
    let mut values = headers.get_all(IF_RANGE).iter();
    let Some(value) = values.next() else { return true };
    if values.next().is_some() {
        return false;
    }
    if let Some((tag, rest)) = tag(value.as_bytes()) {
        return rest.is_empty() && tag.is_same(&file.tag);
    }
    file.modified_is_strong && date(headers, IF_RANGE) == Some(file.modified)
}

/// Whether a list of entity tags is `*` or has a member that `matches`. What follows a malformed member is not
/// looked at.
fn lists(headers: &HeaderMap, name: HeaderName, matches: impl Fn(&EntityTag) -> bool) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut rest = value.as_bytes().trim_ascii();
        if rest == b"*" {
            return true;
        }
        loop {
            rest = skip_commas(rest);
            let Some((tag, after)) = tag(rest) else { return false };
            if matches(&tag) {
                return true;
            }
            rest = after;
        }
    })
}

fn skip_commas(text: &[u8]) -> &[u8] {
    let from = text.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t')).unwrap_or(text.len());
    &text[from..]
}

/// Reads one entity tag; returns it with what follows.
fn tag(text: &[u8]) -> Option<(EntityTag, &[u8])> {
    let (weak, text) = match text.strip_prefix(b"W/") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|&byte| byte == b'"')?;
    let (opaque, rest) = text.split_at(end);
    // etagc = %x21 / %x23-7E / obs-text
    if opaque.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    Some((EntityTag { weak, opaque: opaque.to_vec() }, &rest[1..]))
}

/// The date in a header, if there is exactly one and it is an HTTP date; otherwise the field is ignored (§13.1.3).
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests;
