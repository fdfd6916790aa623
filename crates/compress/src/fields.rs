//! Lists in header fields (RFC 9110 §5.6.1).

use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_caching::syntax::trim;

/// The elements of all lines of a field, trimmed, without empty ones. None of the lists that are read here has
/// quoted commas that matter: what stands between two of them is then no name that is looked for.
pub(crate) fn elements<'h>(headers: &'h HeaderMap, name: &'h HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Whether a list has this element, whatever its case.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &[u8]) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(wanted))
}

/// The value of a field that has exactly one line.
pub(crate) fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// The length that Content-Length states, when it can be read.
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = single(headers, &http::header::CONTENT_LENGTH)?;
    std::str::from_utf8(trim(value.as_bytes())).ok()?.parse().ok()
}
