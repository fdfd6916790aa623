//! What the head of a response becomes when its content is coded (RFC 9110 §8).
//!
//! A coded representation gets a *weak* entity tag, made from the origin's. Two codings of one content must not share a
//! strong one (RFC 9110 §8.8.3.3), and a strong one of its own would be a lie: pieces are flushed as they arrive, so
//! coding the same content again gives other bytes, and a client could join halves of the two. A weak tag still
//! validates; it only never allows to go on with a range, which such a representation does not have.
//!
//! The origin must be asked with its own tag, and its answer compared with that; so the stored head keeps it in
//! [`UNCODED_ETAG`], which no client sees and no origin may send. The field is also how a stored head tells that
//! the coding is ours.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use seawall_caching::syntax::trim;

use crate::coding::Coding;
use crate::fields::{elements, lists, single};

/// The origin's entity tag beside a coding of ours, empty when it had none. Only in the store.
pub const UNCODED_ETAG: HeaderName = HeaderName::from_static("seawall-uncoded-etag");

/// Fields that speak of the bytes as they were. (`Unencoded-Digest` speaks of the content before any coding.)
static OF_THE_BYTES: [HeaderName; 6] = [
    header::ACCEPT_RANGES,
    header::CONTENT_LENGTH,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Changes to a head: first remove, then set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadChange {
    /// Fields to take out.
    pub remove: Vec<HeaderName>,
    /// Fields to set, in the place of what was there.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// What becomes of the head of a response whose content is coded. Vary is apart: [`names_encoding`].
#[must_use]
pub fn coded(headers: &HeaderMap, coding: Coding) -> HeadChange {
    let mut change = of_other_bytes(headers);
    change.set.push((header::CONTENT_ENCODING, HeaderValue::from_static(coding.token())));
    if !change.set.iter().any(|(name, _)| *name == UNCODED_ETAG) {
        change.set.push((UNCODED_ETAG, HeaderValue::from_static("")));
    }
    change
}

/// What becomes of a 304 that the origin sends about the content of a stored response with a coding of ours, before it
/// is merged into that one: it speaks of the content as it was.
#[must_use]
pub fn restated(not_modified: &HeaderMap) -> HeadChange {
    of_other_bytes(not_modified)
}

fn of_other_bytes(headers: &HeaderMap) -> HeadChange {
    let mut change = HeadChange { remove: OF_THE_BYTES.to_vec(), set: Vec::new() };
    if !headers.contains_key(header::ETAG) {
        return change;
    }
    match single(headers, &header::ETAG).and_then(|tag| Some((weak(tag)?, tag.clone()))) {
        Some((weak, tag)) => change.set.extend([(header::ETAG, weak), (UNCODED_ETAG, tag)]),
        // What is no entity tag has no weak form.
        None => change.remove.push(header::ETAG),
    }
    change
}

/// The weak form of an entity tag (RFC 9110 §8.8.3), if it is one.
fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    let text = trim(tag.as_bytes());
    let opaque = text.strip_prefix(b"W/").unwrap_or(text);
    is_tag(opaque).then(|| HeaderValue::from_bytes(&[b"W/", opaque].concat()).ok())?
}

/// Whether this is an opaque tag in its quotes.
fn is_tag(text: &[u8]) -> bool {
    text.strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .is_some_and(|inner| inner.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)))
}

/// Whether a stored response has a coding of ours.
#[must_use]
pub fn is_ours(stored: &HeaderMap) -> bool {
    stored.contains_key(UNCODED_ETAG)
}

/// The entity tag that the origin gave to the content of a stored response with a coding of ours.
#[must_use]
pub fn uncoded_etag(stored: &HeaderMap) -> Option<&HeaderValue> {
    stored.get(UNCODED_ETAG).filter(|tag| !tag.is_empty())
}

/// A stored head with the validators that the origin knows.
#[must_use]
pub fn as_origin_knows(stored: &HeaderMap) -> Cow<'_, HeaderMap> {
    if !is_ours(stored) {
        return Cow::Borrowed(stored);
    }
    let mut headers = stored.clone();
    headers.remove(header::ETAG);
    if let Some(tag) = uncoded_etag(stored) {
        headers.insert(header::ETAG, tag.clone());
    }
    Cow::Owned(headers)
}

/// Whether Vary says already that the response depends on Accept-Encoding.
#[must_use]
pub fn names_encoding(headers: &HeaderMap) -> bool {
    let name = header::ACCEPT_ENCODING;
    lists(headers, &header::VARY, name.as_str().as_bytes()) || lists(headers, &header::VARY, b"*")
}

/// The tag that a 304 for a client must have: the weak form, when that is how the client knows the one that the
/// origin sends, which was asked in the client's own words. (RFC 9111 §4.3.4: a strong tag would freshen nothing.)
#[must_use]
pub fn echoed_etag(request: &HeaderMap, not_modified: &HeaderMap) -> Option<HeaderValue> {
    let tag = single(not_modified, &header::ETAG)?;
    let strong = trim(tag.as_bytes());
    let weak = [b"W/", strong].concat();
    let knows = |wanted: &[u8]| elements(request, &header::IF_NONE_MATCH).any(|known| known == wanted);
    (is_tag(strong) && !knows(strong) && knows(&weak)).then(|| HeaderValue::from_bytes(&weak).ok())?
}

/// Whether If-Range states a date. One date is shared by all codings of a content, which makes it a weak validator
/// (RFC 9110 §8.8.1): no range may be sent on its word where codings differ.
#[must_use]
pub fn is_dated(request: &HeaderMap) -> bool {
    request.get(header::IF_RANGE).is_some_and(|value| !trim(value.as_bytes()).ends_with(b"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    fn apply(mut map: HeaderMap, change: HeadChange) -> HeaderMap {
        for name in change.remove {
            map.remove(name);
        }
        for (name, value) in change.set {
            map.insert(name, value);
        }
        map
    }

    #[test]
    fn the_tag_is_weakened_and_kept() {
        for (origin, weak) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\""), ("\"\"", "W/\"\"")] {
            let stored =
                apply(headers(&[("etag", origin)]), coded(&headers(&[("etag", origin)]), Coding::Gzip));
            assert_eq!(stored["etag"], weak);
            assert_eq!(stored["content-encoding"], "gzip");
            assert!(is_ours(&stored));
            assert_eq!(uncoded_etag(&stored).unwrap(), origin);
            assert_eq!(as_origin_knows(&stored)["etag"], origin);
        }
    }

    #[test]
    fn what_is_no_tag_goes() {
        for (one, two) in [("a", None), ("\"a", None), ("W/a", None), ("\"a\"", Some("\"b\""))] {
            let mut map = headers(&[("etag", one)]);
            map.extend(two.map(|two| (header::ETAG, HeaderValue::from_static(two))));
            let stored = apply(map.clone(), coded(&map, Coding::Brotli));
            assert!(!stored.contains_key("etag") && is_ours(&stored) && uncoded_etag(&stored).is_none());
            assert!(!as_origin_knows(&stored).contains_key("etag"));
        }
    }

    #[test]
    fn what_spoke_of_the_old_bytes_goes() {
        let map = headers(&[
            ("content-length", "9"),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("digest", "x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("unencoded-digest", "x"),
            ("last-modified", "x"),
            ("content-type", "text/html"),
        ]);
        let stored = apply(map.clone(), coded(&map, Coding::Zstd));
        let mut names: Vec<_> = stored.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let kept =
            ["content-encoding", "content-type", "last-modified", "seawall-uncoded-etag", "unencoded-digest"];
        assert_eq!(names, kept);
    }

    #[test]
    fn a_304_about_the_content_is_put_into_terms_of_the_coding() {
        let update = headers(&[("etag", "\"a\""), ("content-length", "9"), ("cache-control", "max-age=9")]);
        let update = apply(update.clone(), restated(&update));
        assert_eq!(update["etag"], "W/\"a\"");
        assert_eq!(update[UNCODED_ETAG], "\"a\"");
        assert!(!update.contains_key("content-length") && !update.contains_key("content-encoding"));
        let silent = headers(&[("cache-control", "max-age=9")]);
        let silent = apply(silent.clone(), restated(&silent));
        assert!(!silent.contains_key(UNCODED_ETAG), "the stored one stays");
    }

    #[test]
    fn a_client_gets_its_tag_back_as_it_knows_it() {
        let echo = |known: &'static str, tag: &'static str| {
            echoed_etag(&headers(&[("if-none-match", known)]), &headers(&[("etag", tag)]))
        };
        assert_eq!(echo("W/\"a\"", "\"a\"").unwrap(), "W/\"a\"");
        assert_eq!(echo("\"b\", W/\"a\"", "\"a\"").unwrap(), "W/\"a\"");
        for (known, tag) in
            [("\"a\"", "\"a\""), ("\"a\", W/\"a\"", "\"a\""), ("W/\"b\"", "\"a\""), ("*", "\"a\"")]
        {
            assert_eq!(echo(known, tag), None, "{known} {tag}");
        }
        assert_eq!(echo("W/\"a\"", "W/\"a\""), None);
    }

    #[test]
    fn vary_and_dates() {
        for (line, named) in
            [("Accept-Encoding", true), ("origin, ACCEPT-encoding", true), ("*", true), ("accept", false)]
        {
            assert_eq!(names_encoding(&headers(&[("vary", line)])), named, "{line}");
        }
        assert!(!names_encoding(&HeaderMap::new()));
        assert!(is_dated(&headers(&[("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")])));
        assert!(!is_dated(&headers(&[("if-range", "W/\"a\"")])) && !is_dated(&HeaderMap::new()));
    }
}
