//! The Cache-Control of a request (RFC 9111 §5.2.1), with Pragma for old clients (§5.4).

use http::{HeaderMap, header};

use super::{Delta, each_directive};
use crate::syntax::list;

/// How much staleness a client accepts (RFC 9111 §5.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxStale {
    /// None: it did not say, or not in a way that can be read.
    #[default]
    None,
    /// Up to that many seconds.
    Seconds(u32),
    /// Any.
    Any,
}

/// What a client asks of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestDirectives {
    /// `no-cache`, or `Pragma: no-cache` without any Cache-Control.
    pub no_cache: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age`: greatest age in seconds.
    pub max_age: Delta,
    /// `min-fresh`: least remaining freshness in seconds.
    pub min_fresh: Delta,
    /// `max-stale`.
    pub max_stale: MaxStale,
}

impl RequestDirectives {
    /// Reads the directives of a request; without the fields it costs two look-ups.
    #[must_use]
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut this = Self::default();
        if !headers.contains_key(header::CACHE_CONTROL) {
            this.no_cache = pragma_no_cache(headers);
            return this;
        }
        each_directive(headers, &header::CACHE_CONTROL, |name, argument| {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("no-cache") {
                this.no_cache = true;
            } else if is("no-store") {
                this.no_store = true;
            } else if is("only-if-cached") {
                this.only_if_cached = true;
            } else if is("max-age") {
                this.max_age.add(argument.seconds());
            } else if is("min-fresh") {
                this.min_fresh.add(argument.seconds());
            } else if is("max-stale") {
                this.max_stale = match (argument.is_none(), argument.seconds()) {
                    (true, _) => MaxStale::Any,
                    (false, Some(seconds)) => MaxStale::Seconds(seconds),
                    (false, None) => MaxStale::None,
                };
            }
        });
        this
    }
}

/// RFC 9111 §5.4: `Pragma: no-cache` counts only when there is no Cache-Control.
fn pragma_no_cache(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::PRAGMA)
        .iter()
        .any(|line| list(line.as_bytes()).any(|element| element.eq_ignore_ascii_case(b"no-cache")))
}
