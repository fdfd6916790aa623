//! Byte ranges cut from a whole response (RFC 9110 §14, §15.3.7).
//!
//! [`select`] says which bytes a request asks for, [`Selection::head`] what the head of the answer becomes. What is
//! malformed, of another unit or abusive (§17.15) is answered with the whole, which §14.2 always allows.

mod head;
mod parse;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::syntax::trim;
use crate::validation::range_applies;
use crate::{Request, Response};

pub use head::{RangeHead, multipart_length, part_head};
pub(crate) use parse::{Spec, only_spec};

/// Ranges of one request by default: each costs six bytes to ask for and a seek and a part's head to answer.
pub const DEFAULT_MAX_RANGES: usize = 5;

/// The most that a route may allow.
pub const MOST_RANGES: usize = 64;

/// How many ranges of one request may overlap another one (RFC 9110 §14.2: more than two are an attack).
pub const MAX_OVERLAPPING: usize = 2;

/// The bytes of a response that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it, as if there were no Range: 200.
    Whole,
    /// One run of bytes, never empty: 206.
    Single(Range<usize>),
    /// At least two runs in the order asked for, none empty, no two touching: 206 with multipart/byteranges.
    Multi(Vec<Range<usize>>),
    /// None of the bytes asked for exists: 416.
    Unsatisfiable,
}

impl Selection {
    /// The same with the parts in the order of the bytes, for a body that can be read only once from its start.
    /// (Their order is a SHOULD, and clients cannot rely on it: RFC 9110 §15.3.7.2.)
    #[must_use]
    pub fn ascending(mut self) -> Self {
        if let Self::Multi(ranges) = &mut self {
            ranges.sort_unstable_by_key(|range| range.start);
        }
        self
    }
}

/// The bytes of `response` that `request` asks for.
///
/// Only a GET for which the answer would be a 200 has ranges (RFC 9110 §14.2), and only when the length of the
/// whole is known. If-Range counts. The request's other conditions come first: ask
/// [`crate::validation::evaluate`] before.
#[must_use]
pub fn select(
    request: &Request<'_>,
    response: &Response<'_>,
    complete: Option<usize>,
    max_ranges: usize,
    now: SystemTime,
) -> Selection {
    let Some(complete) = complete else { return Selection::Whole };
    if *request.method != Method::GET || response.status != StatusCode::OK {
        return Selection::Whole;
    }
    let mut lines = request.headers.get_all(header::RANGE).iter();
    // Range is no list: two lines say nothing together.
    let (Some(field), None) = (lines.next(), lines.next()) else { return Selection::Whole };
    if !range_applies(request.headers, response.headers, now) {
        return Selection::Whole;
    }
    resolve(field.as_bytes(), complete, max_ranges)
}

/// What the value of a Range field selects from `complete` bytes.
#[must_use]
pub fn resolve(field: &[u8], complete: usize, max_ranges: usize) -> Selection {
    let Some(asked) = parse::specs(trim(field), max_ranges) else { return Selection::Whole };
    if complete == 0 && asked.iter().any(|spec| matches!(spec, Spec::Last(count) if *count > 0)) {
        // Satisfiable (§14.1.2), but no Content-Range can name an empty part.
        return Selection::Whole;
    }
    let ranges: Vec<Range<usize>> = asked.iter().filter_map(|spec| spec.on(complete)).collect();
    if overlapping(&ranges) > MAX_OVERLAPPING {
        return Selection::Whole;
    }
    let mut parts = coalesce(&ranges);
    match parts.len() {
        0 => Selection::Unsatisfiable,
        1 => Selection::Single(parts.remove(0)),
        _ => Selection::Multi(parts),
    }
}

/// How many ranges share a byte with another one.
fn overlapping(ranges: &[Range<usize>]) -> usize {
    let overlaps = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    let meets_another = |(i, one): &(usize, &Range<usize>)| {
        ranges.iter().enumerate().any(|(j, other)| *i != j && overlaps(one, other))
    };
    ranges.iter().enumerate().filter(meets_another).count()
}

/// Joins ranges that overlap or adjoin, each group at the place of its first (§15.3.7.2).
fn coalesce(ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut sorted: Vec<(usize, Range<usize>)> = ranges.iter().cloned().enumerate().collect();
    sorted.sort_by_key(|(_, range)| range.start);
    let mut joined: Vec<(usize, Range<usize>)> = Vec::with_capacity(sorted.len());
    for (place, range) in sorted {
        match joined.last_mut() {
            Some((first, last)) if range.start <= last.end => {
                last.end = last.end.max(range.end);
                *first = place.min(*first);
            }
            _ => joined.push((place, range)),
        }
    }
    joined.sort_by_key(|(place, _)| *place);
    joined.into_iter().map(|(_, range)| range).collect()
}

/// The length that Content-Length states: one line of digits that fit, or `None`.
#[must_use]
pub fn complete_length(headers: &HeaderMap) -> Option<usize> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let digits = trim(lines.next()?.as_bytes());
    if lines.next().is_some() || digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| usize::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Accept-Ranges, for a whole response of which ranges could have been asked. What the origin says stays.
#[must_use]
pub fn advertise(response: &Response<'_>, complete: Option<usize>) -> Option<(HeaderName, HeaderValue)> {
    let eligible = response.status == StatusCode::OK && complete.is_some();
    (eligible && !response.headers.contains_key(header::ACCEPT_RANGES))
        .then(|| (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")))
}
