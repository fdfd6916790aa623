//! Request fields brought into a form that few requests differ in, for the key and for the origin alike.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{KeyPolicy, Name, cookie};
use crate::vary::{Weighted, weighted};

/// What to do with one field of the request before it is looked up and forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The field.
    pub name: HeaderName,
    /// Its only value from now on; `None` takes it out.
    pub value: Option<HeaderValue>,
}

/// The compiled `accept_encoding`, `accept_language` and `ignore_cookies`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Normalizer {
    encodings: Option<Vec<String>>,
    languages: Option<Vec<String>>,
    cookies: Vec<Name>,
}

impl Normalizer {
    pub(super) fn new(settings: &super::KeySettings) -> Self {
        let lower = |list: &Vec<String>| list.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self {
            encodings: settings.accept_encoding.as_ref().map(lower),
            languages: settings.accept_language.clone(),
            cookies: settings.ignore_cookies.iter().map(|name| Name::new(name)).collect(),
        }
    }
}

impl KeyPolicy {
    /// The changes that the route makes to a request that meets the cache.
    ///
    /// Make them before the variant is looked up, on the request that is forwarded too: what is left out of the key
    /// must not reach the origin. Without the settings it costs nothing.
    #[must_use]
    pub fn normalize(&self, request: &HeaderMap) -> Vec<Change> {
        let rules = &self.normalizer;
        let mut changes = Vec::new();
        if let Some(known) = &rules.encodings {
            changes.push(Change { name: header::ACCEPT_ENCODING, value: Some(encoding(request, known)) });
        }
        if let Some(known) = &rules.languages {
            changes.push(Change { name: header::ACCEPT_LANGUAGE, value: language(request, known) });
        }
        if !rules.cookies.is_empty() && request.contains_key(header::COOKIE) {
            changes.extend(cookies(request, &rules.cookies));
        }
        changes
    }
}

/// The known codings that the client accepts, in the order of the settings; `identity` when there are none.
///
/// A client without the field accepts any coding, but no origin that is asked so sends one; asking for `identity`
/// makes it the same variant.
fn encoding(request: &HeaderMap, known: &[String]) -> HeaderValue {
    let members = weighted(request, &header::ACCEPT_ENCODING).unwrap_or_default();
    let weight = |name: &str| {
        let of = |wanted: &[u8]| members.iter().find(|(found, _)| found == wanted).map(|(_, weight)| *weight);
        let alias = match name {
            "gzip" => of(b"x-gzip"),
            _ => None,
        };
        of(name.as_bytes()).or(alias).or_else(|| of(b"*"))
    };
    let mut accepted: Vec<&str> = known
        .iter()
        .map(String::as_str)
        .filter(|name| weight(name).is_some_and(|weight| weight > 0))
        .collect();
    match weight("identity") {
        Some(0) => accepted.push("identity;q=0"),
        _ if accepted.is_empty() => accepted.push("identity"),
        _ => {}
    }
    HeaderValue::try_from(accepted.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("identity"))
}

/// The known language that the client likes best (RFC 4647 §3.4, lookup), or `None` when it likes none of them.
fn language(request: &HeaderMap, known: &[String]) -> Option<HeaderValue> {
    let mut members = weighted(request, &header::ACCEPT_LANGUAGE)?;
    members.retain(|(_, weight)| *weight > 0);
    // Stable: of equal weights the first counts.
    members.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    let best = members.iter().find_map(|member| lookup(member, known))?;
    HeaderValue::try_from(best).ok()
}

fn lookup<'a>((range, _): &Weighted, known: &'a [String]) -> Option<&'a String> {
    if range == b"*" {
        return known.first();
    }
    let mut range = range.as_slice();
    loop {
        if let Some(found) = known.iter().find(|tag| tag.as_bytes().eq_ignore_ascii_case(range)) {
            return Some(found);
        }
        // `de-CH-1996` is also content with `de-CH`, and that with `de`.
        range = &range[..range.iter().rposition(|byte| *byte == b'-')?];
    }
}

/// The Cookie field without the ignored ones; `None` when none of them is there.
fn cookies(request: &HeaderMap, ignored: &[Name]) -> Option<Change> {
    let counts = |name: &[u8]| !ignored.iter().any(|known| known.matches(name));
    if cookie::pairs(request).all(|(name, _)| counts(name)) {
        return None;
    }
    let mut kept: Vec<u8> = Vec::new();
    for (name, value) in cookie::pairs(request).filter(|(name, _)| counts(name)) {
        if !kept.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(name);
        if let Some(value) = value {
            kept.push(b'=');
            kept.extend_from_slice(value);
        }
    }
    let value = (!kept.is_empty()).then(|| HeaderValue::from_bytes(&kept).ok()).flatten();
    Some(Change { name: header::COOKIE, value })
}
