//! Which variant of a stored response a request selects (RFC 9111 §4.1).

mod language;
mod normalize;
#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, header};

pub use language::is_in_preferred_language;

use crate::key::KeyPolicy;
use crate::syntax::{list, push_frame};

pub(crate) use normalize::{Weighted, weighted};

/// Fields that a Vary may name; a response with more is not stored, since hardly a second request would match.
pub const MAX_FIELDS: usize = 16;

/// What the Vary of a response says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vary {
    /// The response is for this one request: `*` stands in the list, or something that is no field name.
    Any,
    /// It names more than [`MAX_FIELDS`] fields.
    TooWide,
    /// It depends on these request fields: sorted, each once. Empty when there is no Vary.
    Fields(Vec<HeaderName>),
}

impl Vary {
    /// Reads all lines of Vary, leaving out the fields of `ignore`. Case, order, repetition and whitespace do
    /// not matter.
    #[must_use]
    pub fn parse(response: &HeaderMap, ignore: &[HeaderName]) -> Self {
        let mut fields: Vec<HeaderName> = Vec::new();
        for name in response.get_all(header::VARY).iter().flat_map(|line| list(line.as_bytes())) {
            // `*` is a token too, so it would pass for a field name.
            let Some(name) = HeaderName::from_bytes(name).ok().filter(|name| name != "*") else {
                return Self::Any;
            };
            if ignore.contains(&name) || fields.contains(&name) {
                continue;
            }
            // One above the bound is enough to know; a `*` after it would not be stored either.
            if fields.len() == MAX_FIELDS {
                return Self::TooWide;
            }
            fields.push(name);
        }
        fields.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        Self::Fields(fields)
    }
}

/// What selects a variant of the stored response with a given key.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Where the request goes, when requests for one URI can go to different places (routes that look at header
    /// fields, splits): the name of the upstream. Empty otherwise.
    pub realm: &'a str,
    /// The route's own header fields and cookies.
    pub key: &'a KeyPolicy,
    /// The fields of the stored response's Vary: [`Vary::Fields`].
    pub vary: &'a [HeaderName],
}

/// The framed variant of a request, to be hashed, or `None` when nothing tells requests apart.
///
/// Two requests get the same bytes exactly when a stored response for one may serve the other: their selecting
/// fields agree after the normalising that RFC 9111 §4.1 allows.
#[must_use]
pub fn variance_key(request: &HeaderMap, selection: &Selection<'_>) -> Option<Vec<u8>> {
    if selection.realm.is_empty() && selection.vary.is_empty() && !selection.key.has_selectors() {
        return None;
    }
    let mut out = Vec::with_capacity(128);
    push_frame(&mut out, selection.realm.as_bytes());
    selection.key.frame_selectors(request, &mut out);
    for name in selection.vary {
        push_frame(&mut out, name.as_str().as_bytes());
        match normalize::value(request, name) {
            // An absent field differs from an empty one.
            None => out.push(0),
            Some(value) => {
                out.push(1);
                push_frame(&mut out, &value);
            }
        }
    }
    Some(out)
}
