//! An origin that knows ranges.

use seawall_testkit::{Call, Origin, OriginBuilder, Reply, Request, Response, body};

/// The length of the object: enough for a range to be deep.
pub(crate) const LENGTH: usize = 3 << 20;
/// Where deep begins.
pub(crate) const DEEP: usize = 1 << 20;

pub(crate) fn object() -> Vec<u8> {
    body(7, LENGTH)
}

/// What an origin that knows ranges answers: 206, 304, 416 or 200.
pub(crate) fn answer(request: &Request, whole: &[u8], fields: &[(&str, &str)]) -> Reply {
    let etag = fields.iter().find(|(name, _)| *name == "etag").map(|(_, value)| *value);
    if etag.is_some() && request.header("if-none-match") == etag {
        return Reply::new(304).headers(fields);
    }
    let applies = request.header("if-range").is_none_or(|condition| Some(condition) == etag);
    let Some(range) = request.header("range").filter(|_| applies) else {
        return Reply::ok(whole).headers(fields);
    };
    match bytes(range, whole.len()) {
        Some((first, last)) => Reply::new(206)
            .body(&whole[first..=last])
            .headers(fields)
            .header("content-range", &format!("bytes {first}-{last}/{}", whole.len())),
        None => Reply::new(416).header("content-range", &format!("bytes */{}", whole.len())),
    }
}

/// First and last byte of a single range.
fn bytes(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first, last) {
        ("", count) => (length - count.parse::<usize>().ok()?.min(length), length - 1),
        (first, "") => (first.parse().ok()?, length - 1),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.min(length - 1)),
    };
    (first < length).then_some((first, last))
}

/// An origin of the object with these fields.
pub(crate) fn origin(fields: &'static [(&'static str, &'static str)]) -> Origin {
    builder(fields).start()
}

pub(crate) fn builder(fields: &'static [(&'static str, &'static str)]) -> OriginBuilder {
    let whole = object();
    Origin::builder(move |request| answer(request, &whole, fields))
}

/// A request for a range of the object.
pub(crate) fn range(range: &str) -> Call {
    crate::call("/o", &[("Range", range)])
}

/// Whether this is that part of the object and says so.
#[track_caller]
pub(crate) fn check(response: &Response, first: usize, last: usize) {
    assert_eq!(response.status, 206, "{:?}", response.header("cache-status"));
    let said = response.header("content-range");
    assert_eq!(said, Some(format!("bytes {first}-{last}/{LENGTH}").as_str()));
    assert_eq!(response.header("content-length"), Some((last - first + 1).to_string().as_str()));
    assert!(response.body == object()[first..=last], "the bytes are not those of the range");
}

/// What the cache did.
pub(crate) fn status(response: &Response) -> &str {
    response.header("cache-status").unwrap_or_default()
}
