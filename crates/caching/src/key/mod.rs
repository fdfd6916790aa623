//! The name of a stored response: what was asked for, framed so that no two targets share a name.
//!
//! A key is scheme, authority and the path and query *as they are forwarded*, each behind its length. A route
//! may drop or sort query parameters; then the target that goes to the origin is changed in the same way, so
//! that the same key always means the same forwarded target.
//!
//! Header fields and cookies that a route keys on are no part of the name but of the *variant*
//! ([`crate::vary::variance_key`]): a purge or an unsafe request for a URI must reach every stored response
//! of that URI (RFC 9111 §4.4), whatever fields it was asked with.

pub(crate) mod cookie;
mod name;
mod normalize;
#[cfg(test)]
mod normalize_tests;
mod query;
mod selectors;
mod settings;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::HeaderName;

use crate::no_vary_search::Learned;
use crate::policy::PolicyError;
use crate::syntax::push_frame;
use query::QueryRule;

pub(crate) use name::Name;
pub use normalize::Change;
use normalize::Normalizer;
pub use settings::{KeySettings, QuerySettings};
pub(crate) use settings::{
    check_headers, check_name_of_cookie, check_name_of_header, check_name_of_parameter,
};

/// Changes with the meaning of the frames, so that a store on disk never mixes two of them.
const FRAME_VERSION: u8 = 1;

/// A key and the target that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key<'a> {
    /// The framed name, for the store.
    pub primary: Vec<u8>,
    /// Path and query as they must go to the origin.
    pub target: Cow<'a, [u8]>,
}

/// How a route names its stored responses; made from [`KeySettings`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPolicy {
    query: QueryRule,
    headers: Vec<HeaderName>,
    cookies: Vec<Vec<u8>>,
    normalizer: Normalizer,
}

impl KeyPolicy {
    /// Compiles checked settings.
    ///
    /// # Errors
    /// When a header's name is not one.
    pub fn new(settings: &KeySettings) -> Result<Self, PolicyError> {
        let headers = settings
            .headers
            .iter()
            .map(|name| crate::policy::header_name("key.headers", name))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            query: QueryRule::new(&settings.query),
            headers,
            cookies: settings.cookies.iter().map(|name| name.clone().into_bytes()).collect(),
            normalizer: Normalizer::new(settings),
        })
    }

    /// The key of a request, and what to forward for it.
    #[must_use]
    pub fn key<'a>(&self, scheme: &str, authority: &str, path_and_query: &'a [u8]) -> Key<'a> {
        self.key_by(scheme, authority, path_and_query, None)
    }

    /// The key of a request for whose path a rule of No-Vary-Search was learned, and what to forward for it. Here,
    /// and only here, one key stands for different targets: the origin has said that they are one.
    #[must_use]
    pub fn key_by<'a>(
        &self,
        scheme: &str,
        authority: &str,
        path_and_query: &'a [u8],
        learned: Option<&Learned>,
    ) -> Key<'a> {
        let target = self.target(path_and_query);
        let primary = match learned {
            Some(learned) => learned.frame(scheme, authority, &target),
            None => frame(scheme, authority, &target),
        };
        Key { primary, target }
    }

    /// Path and query as they must go to the origin: unchanged unless the route has query rules.
    #[must_use]
    pub fn target<'a>(&self, path_and_query: &'a [u8]) -> Cow<'a, [u8]> {
        let path_and_query = if path_and_query.is_empty() { b"/" } else { path_and_query };
        self.query.apply(path_and_query)
    }

    /// Whether responses differ by something that only this route's settings name.
    #[must_use]
    pub fn has_selectors(&self) -> bool {
        !(self.headers.is_empty() && self.cookies.is_empty())
    }
}

/// Frames a target that is already in its forwarded form. See [`frame_into`].
#[must_use]
pub fn frame(scheme: &str, authority: &str, target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(25 + scheme.len() + authority.len() + target.len());
    frame_into(scheme, authority, target, &mut out);
    out
}

/// Appends the framed key of a target to `out`.
///
/// Scheme and host are lower-cased and a default port is dropped (RFC 3986 §6.2.2.1, §6.2.3); path and query
/// stay as they are, since only the origin knows which of their spellings mean the same.
pub fn frame_into(scheme: &str, authority: &str, target: &[u8], out: &mut Vec<u8>) {
    out.push(FRAME_VERSION);
    push_lowercase(scheme.as_bytes(), 0, out);
    let authority = without_default_port(scheme, authority);
    // User information is case-sensitive; it should have been refused long before.
    let host = authority.rfind('@').map_or(0, |at| at + 1);
    push_lowercase(authority.as_bytes(), host, out);
    push_frame(out, target);
}

fn push_lowercase(part: &[u8], from: usize, out: &mut Vec<u8>) {
    push_frame(out, part);
    let start = out.len() - part.len() + from;
    out[start..].make_ascii_lowercase();
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let Some((host, port)) = authority.rsplit_once(':') else { return authority };
    // The last colon of an address in brackets is no port's; what follows it ends in `]`, so it is never equal.
    let default = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => "80",
        _ if scheme.eq_ignore_ascii_case("https") => "443",
        _ => "",
    };
    if port.is_empty() || port == default { host } else { authority }
}
