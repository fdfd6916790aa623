//! No-Vary-Search: which query parameters make no difference to a response (draft-ietf-httpbis-no-vary-search-05).
//!
//! The rule comes with the response, but a key is made before there is one. So the latest rule of each path is
//! remembered ([`SearchRules`], bounded), and the key of a later request is made by it ([`Learned::canonical`]): what
//! the draft calls the simplified URL. A response that was stored under such a key but states another rule, or none,
//! serves its own query only ([`Learned::realm`]).

mod learned;
mod query;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

pub use learned::{Learned, SearchRules};
pub(crate) use query::decode;

/// `No-Vary-Search`.
pub const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// Parameters that a rule may name; a field with more is ignored, which only costs hits.
pub const MAX_PARAMS: usize = 64;

/// Which parameters tell two queries apart: the draft's "URL variation config". The default is that of a response
/// without the field: the query as it is spelled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchRule {
    params: Params,
    ignores_order: bool,
}

/// Names are decoded, sorted, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Params {
    /// All but these count.
    AllBut(Vec<Vec<u8>>),
    /// Only these count.
    Only(Vec<Vec<u8>>),
}

impl Default for Params {
    fn default() -> Self {
        Self::AllBut(Vec::new())
    }
}

impl SearchRule {
    /// The rule that a response states. Anything that is not exactly as the draft wants it gives the default.
    #[must_use]
    pub fn of(response: &HeaderMap) -> Self {
        let mut lines = response.get_all(NO_VARY_SEARCH).iter();
        let Some(first) = lines.next() else { return Self::default() };
        let mut value = Cow::Borrowed(first.as_bytes());
        for line in lines {
            value.to_mut().extend_from_slice(b", ");
            value.to_mut().extend_from_slice(line.as_bytes());
        }
        Parser::parse_dictionary(&value)
            .ok()
            .and_then(|dictionary| Self::read(&dictionary))
            .unwrap_or_default()
    }

    /// The draft's "parse a URL variation config".
    ///
    /// Its text (-05) would make a lone `key-order` the default; its introduction and its examples make that a rule of
    /// its own, and so do the browsers. It is one here.
    fn read(dictionary: &Dictionary) -> Option<Self> {
        let ignores_order = match dictionary.get("key-order") {
            None => false,
            Some(ListEntry::Item(item)) => match item.bare_item {
                BareItem::Boolean(given) => given,
                _ => return None,
            },
            Some(ListEntry::InnerList(_)) => return None,
        };
        let params = match (dictionary.get("params"), dictionary.get("except")) {
            (Some(_), Some(_)) => return None,
            (Some(names), None) => Params::AllBut(parameter_names(names)?),
            (None, Some(names)) => Params::Only(parameter_names(names)?),
            (None, None) => Params::default(),
        };
        Some(Self { params, ignores_order })
    }

    /// Whether queries are compared as they are spelled.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a response for one target may serve the other (the draft's "equivalent modulo variation config").
    /// Both are path and query on one scheme and authority.
    #[must_use]
    pub fn equivalent(&self, a: &[u8], b: &[u8]) -> bool {
        a == b || (!self.is_exact() && self.canonical(a) == self.canonical(b))
    }

    /// A target in a form in which equivalent targets are equal bytes, and others are not: a name, not a URL.
    #[must_use]
    pub fn canonical(&self, target: &[u8]) -> Vec<u8> {
        query::canonical(self, target)
    }

    fn counts(&self, name: &[u8]) -> bool {
        let among = |names: &[Vec<u8>]| names.binary_search_by(|known| known.as_slice().cmp(name)).is_ok();
        match &self.params {
            Params::AllBut(names) => !among(names),
            Params::Only(names) => among(names),
        }
    }
}

/// An inner list of strings, each a decoded name ("parse a key").
fn parameter_names(entry: &ListEntry) -> Option<Vec<Vec<u8>>> {
    let ListEntry::InnerList(list) = entry else { return None };
    if list.items.len() > MAX_PARAMS {
        return None;
    }
    let mut names = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let BareItem::String(name) = &item.bare_item else { return None };
        names.push(query::decode(name.as_str().as_bytes()));
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}
