//! What the head of an answer becomes when only some of the bytes are sent.

use std::io::Write as _;
use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::Selection;

/// Fields of a 206 that speak of the content of the message, which is no longer the whole. (Repr-Digest speaks of
/// the representation and stays: RFC 9530 §3.)
static NOT_OF_A_PART: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// Fields that describe the stored representation or let it be stored; a 416 is neither. Stored under the URI by
/// another cache it would deny the resource to everyone.
static NOT_OF_AN_ERROR: [HeaderName; 17] = [
    header::ACCEPT_RANGES,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("repr-digest"),
    header::ETAG,
    header::LAST_MODIFIED,
    header::EXPIRES,
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("seawall-cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("no-vary-search"),
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// The changes to the head of the whole response: first remove, then set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeHead {
    /// The status.
    pub status: StatusCode,
    /// Fields to take out.
    pub remove: &'static [HeaderName],
    /// Fields to set, in the place of what was there.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// The Content-Type of each part of a multipart answer: that of the whole, when it is printable.
    pub part_type: Option<String>,
}

impl Selection {
    /// What becomes of the head of the whole response, `None` for [`Selection::Whole`].
    ///
    /// `headers` are those of the whole, `complete` its length; `boundary` is used for several parts only and must
    /// be one that the content does not hold (random, at most 70 characters of a token: RFC 2046 §5.1.1).
    #[must_use]
    pub fn head(&self, headers: &HeaderMap, complete: usize, boundary: &str) -> Option<RangeHead> {
        let number = |n: usize| HeaderValue::from(n as u64);
        Some(match self {
            Self::Whole => return None,
            Self::Single(range) => RangeHead {
                status: StatusCode::PARTIAL_CONTENT,
                remove: &NOT_OF_A_PART,
                set: vec![
                    (header::CONTENT_LENGTH, number(range.len())),
                    (header::CONTENT_RANGE, content_range(range, complete)?),
                ],
                part_type: None,
            },
            Self::Multi(ranges) => {
                let part_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let length = multipart_length(ranges, complete, boundary, part_type);
                let value = format!("multipart/byteranges; boundary={boundary}");
                RangeHead {
                    status: StatusCode::PARTIAL_CONTENT,
                    remove: &NOT_OF_A_PART,
                    set: vec![
                        (header::CONTENT_LENGTH, number(length)),
                        (header::CONTENT_TYPE, HeaderValue::try_from(value).ok()?),
                    ],
                    part_type: part_type.map(str::to_owned),
                }
            }
            Self::Unsatisfiable => RangeHead {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                remove: &NOT_OF_AN_ERROR,
                set: vec![
                    (header::CONTENT_LENGTH, HeaderValue::from_static("0")),
                    (header::CONTENT_RANGE, HeaderValue::try_from(format!("bytes */{complete}")).ok()?),
                    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ],
                part_type: None,
            },
        })
    }
}

fn content_range(range: &Range<usize>, complete: usize) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("bytes {}-{}/{complete}", range.start, range.end.saturating_sub(1))).ok()
}

/// What stands before the bytes of one part: the boundary, the part's fields, an empty line (RFC 9110 §14.6).
#[must_use]
pub fn part_head(
    range: &Range<usize>,
    complete: usize,
    boundary: &str,
    content_type: Option<&str>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let last = range.end.saturating_sub(1);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "\r\n--{boundary}\r\n");
    if let Some(content_type) = content_type {
        let _ = write!(out, "Content-Type: {content_type}\r\n");
    }
    let _ = write!(out, "Content-Range: bytes {}-{last}/{complete}\r\n\r\n", range.start);
    out
}

/// The length of a multipart/byteranges body: each part's head and bytes, then `CRLF--boundary--CRLF`. Saturates.
#[must_use]
pub fn multipart_length(
    ranges: &[Range<usize>],
    complete: usize,
    boundary: &str,
    content_type: Option<&str>,
) -> usize {
    ranges.iter().fold(boundary.len().saturating_add(8), |sum, range| {
        let head = part_head(range, complete, boundary, content_type).len();
        // What an origin says its object is long may be as long as numbers go.
        sum.saturating_add(head).saturating_add(range.len())
    })
}
