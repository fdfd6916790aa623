//! The Cookie field, pair by pair (RFC 6265 §4.2).

use http::{HeaderMap, header};

use crate::syntax::trim;

/// The pairs of all Cookie lines: name and value, trimmed. A pair without `=` has its text for a name, and no value.
pub(crate) fn pairs(request: &HeaderMap) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    request
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .map(trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { return (pair, None) };
            (trim(&pair[..equals]), Some(trim(&pair[equals + 1..])))
        })
}
