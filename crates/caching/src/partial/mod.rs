//! Parts of a response that are stored as such (RFC 9111 §3.3, RFC 9110 §15.3.7).
//!
//! A range deep inside a large object is asked of the origin as it is, and its 206 is stored: for the same range
//! again ([`Asked`]), and for every range that lies within the bytes received ([`Asked::within`]). In all else a part
//! is stored like the whole that it is of: [`decide`].

mod content_range;
#[cfg(test)]
mod tests;

use std::ops::Range;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::range::{Spec, complete_length, only_spec};
use crate::syntax::trim;
use crate::{Admission, CachePolicy, NotStored, Request, Response, Times, storability};

pub use content_range::ContentRange;

/// Where a range is deep, in bytes: up to here the whole object is on its way soon enough, and serves more requests.
pub const DEEP: u64 = 1 << 20;

/// One range as a client asks for it, in its one canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asked(Spec);

impl Asked {
    /// The range of a request that asks for exactly one, in the unit `bytes`. A suffix of no bytes is none.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Option<Self> {
        let mut lines = request.get_all(header::RANGE).iter();
        let (Some(field), None) = (lines.next(), lines.next()) else { return None };
        only_spec(trim(field.as_bytes())).filter(|spec| *spec != Spec::Last(0)).map(Self)
    }

    /// The value of a Range field that asks for it.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        let text = match self.0 {
            Spec::From(first, u64::MAX) => format!("bytes={first}-"),
            Spec::From(first, last) => format!("bytes={first}-{last}"),
            Spec::Last(count) => format!("bytes=-{count}"),
        };
        // Digits and dashes are a valid value.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes=0-"))
    }

    /// Whether it begins so far from the start of the object that nobody should wait for what lies before it. A suffix
    /// does: how far is not known.
    #[must_use]
    pub fn is_deep(&self) -> bool {
        match self.0 {
            Spec::From(first, _) => first >= DEEP,
            Spec::Last(_) => true,
        }
    }

    /// The bytes of the object that it means, first and behind the last, when all of them lie within `part`. What the
    /// origin itself gave for everything up to the end answers an open range too, be it short: less than was
    /// asked for is lawful where Content-Range says so (RFC 9110 §15.3.7).
    #[must_use]
    pub fn within(&self, received: &Received) -> Option<Range<u64>> {
        let part = &received.range;
        let (first, last) = match (self.0, part.complete) {
            (Spec::From(first, u64::MAX), _) if received.to_end => (first, part.last),
            (Spec::From(first, last), Some(complete)) => (first, last.min(complete.checked_sub(1)?)),
            (Spec::From(first, last), None) => (first, last),
            (Spec::Last(count), Some(complete)) => (complete.saturating_sub(count), complete.checked_sub(1)?),
            (Spec::Last(_), None) => return None,
        };
        (part.first <= first && first <= last && last <= part.last).then_some(first..last.saturating_add(1))
    }

    /// Whether an answer with this Content-Range is one to this question: it begins where asked and does not go
    /// beyond. A suffix may have come with more before it.
    fn is_answered_by(&self, part: &ContentRange) -> bool {
        match self.0 {
            Spec::From(first, last) => part.first == first && part.last <= last,
            Spec::Last(count) => part.complete.is_some_and(|complete| {
                part.last.checked_add(1) == Some(complete) && part.first <= complete.saturating_sub(count)
            }),
        }
    }
}

/// The bytes that came for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which they are.
    pub range: ContentRange,
    /// By the origin's word nothing follows: what it announced is the end of the object.
    pub to_end: bool,
}

/// A part that may be stored, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartAdmission {
    /// The bytes that the part has. The stored copy says so in Content-Range, and their number in Content-Length.
    pub received: Received,
    /// How it is stored; without Vary.
    pub admission: Admission,
}

/// Whether and how a 206 is stored that answers `request`, which asked for `asked`.
///
/// Everything counts as for a 200 of the same fields. Where Content-Length states fewer bytes than Content-Range,
/// only the bytes that come count; without Content-Length all that Content-Range announces must come, so store the
/// part with that length and take a shorter body for one that broke off. For a 304 call it with the merged fields.
///
/// # Errors
/// The reason not to store it. [`NotStored::ContentRange`]: it does not say clearly which bytes these are.
/// [`NotStored::PartVaries`]: parts are told apart by their range alone.
pub fn decide(
    request: &Request<'_>,
    asked: &Asked,
    headers: &HeaderMap,
    times: Times,
    policy: &CachePolicy,
) -> Result<PartAdmission, NotStored> {
    let received = received(headers).filter(|_| !is_multipart(headers)).ok_or(NotStored::ContentRange)?;
    // Whether it answers the question is seen in what was announced.
    if !ContentRange::of(headers).is_some_and(|announced| asked.is_answered_by(&announced)) {
        return Err(NotStored::ContentRange);
    }
    let as_whole = Response { status: StatusCode::OK, headers };
    let admission = storability::decide(request, &as_whole, times, policy)?;
    if !admission.vary.is_empty() {
        return Err(NotStored::PartVaries);
    }
    Ok(PartAdmission { received, admission })
}

/// The bytes that the content of a 206 with these fields is: what Content-Range says, as far as Content-Length lets
/// them come. `None` when the two contradict each other in any other way.
#[must_use]
pub fn received(headers: &HeaderMap) -> Option<Received> {
    let announced = ContentRange::of(headers)?;
    let to_end = announced.complete == announced.last.checked_add(1);
    if !headers.contains_key(header::CONTENT_LENGTH) {
        return Some(Received { range: announced, to_end });
    }
    let length = complete_length(headers)? as u64;
    let last = announced.first.checked_add(length.checked_sub(1)?)?;
    (last <= announced.last).then_some(Received { range: ContentRange { last, ..announced }, to_end })
}

/// What tells the versions of an object apart: the bytes of its entity tag, or else of Last-Modified. Parts of which
/// these differ do not belong together (RFC 9110 §15.3.7.3).
#[must_use]
pub fn version(headers: &HeaderMap) -> Option<&[u8]> {
    [header::ETAG, header::LAST_MODIFIED].iter().find_map(|name| {
        let mut lines = headers.get_all(name).iter();
        let first = lines.next()?;
        lines.next().is_none().then(|| trim(first.as_bytes()))
    })
}

/// Several parts in one message have their own Content-Range each, and the message none (RFC 9110 §15.3.7.2).
fn is_multipart(headers: &HeaderMap) -> bool {
    const TYPE: &[u8] = b"multipart/byteranges";
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| trim(value.as_bytes()).get(..TYPE.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
}
