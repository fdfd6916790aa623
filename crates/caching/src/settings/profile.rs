//! Named sets of defaults.

use schemars::JsonSchema;
use seawall_config::units::Span;
use serde::{Deserialize, Serialize};

use super::{RouteCacheSettings, SetCookie};

/// How careful a route's cache is where its settings do not say. `standard` is the RFC as it is written;
/// `cdn-safe` also guards against what origins forget to say. docs/cache-a-site.md has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// RFC 9111 as it is written: Set-Cookie does not keep a response from being stored, a status 400 or an error
    /// is kept as long as the origin wants, and Cache-Control of requests counts.
    Standard,
    /// What a cache in front of many clients can do without asking: a response that sets a cookie is not
    /// stored, errors are kept for seconds only, no lifetime is guessed for a request with a cookie, and no
    /// client sends its requests past the cache.
    #[default]
    CdnSafe,
}

/// What a profile decides, after the settings that were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) set_cookie: SetCookie,
    pub(crate) honor_request_directives: bool,
    pub(crate) heuristic_with_cookie: bool,
    pub(crate) max_error_ttl: Option<Span>,
    pub(crate) bad_request: bool,
    pub(crate) preferred_language: bool,
}

impl Profile {
    /// The defaults of this profile, each overridden by what `settings` says itself.
    pub(crate) fn resolve(self, settings: &RouteCacheSettings) -> Resolved {
        let standard = self == Self::Standard;
        Resolved {
            set_cookie: settings.set_cookie.unwrap_or(if standard {
                SetCookie::Store
            } else {
                SetCookie::Bypass
            }),
            honor_request_directives: settings.honor_request_directives.unwrap_or(standard),
            heuristic_with_cookie: settings.heuristic_with_cookie.unwrap_or(standard),
            max_error_ttl: settings.max_error_ttl.or((!standard).then_some(Span::secs(10))),
            bad_request: standard,
            preferred_language: standard,
        }
    }
}
