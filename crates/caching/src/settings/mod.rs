//! The `cache:` of a route.

mod background;
mod bypass;
mod check;
mod profile;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::str::FromStr;

use schemars::JsonSchema;
use seawall_config::units::Span;
use serde::{Deserialize, Serialize};

use crate::key::KeySettings;
use crate::range::DEFAULT_MAX_RANGES;

pub use background::BackgroundFill;
pub use bypass::BypassRule;
pub use profile::Profile;
pub(crate) use profile::Resolved;
pub use status::StatusSelector;

/// How a route uses the cache. May be shortened to `cache: off`, `cache: on`, or `cache: 1h` (a `ttl`).
///
/// The origin decides first: what it forbids to store is never stored, and what it says about freshness counts.
/// The times here speak where the origin is silent, except `force_ttl`, `min_ttl` and `max_ttl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteCacheSettings {
    /// Whether requests of this route meet the cache at all.
    pub enabled: bool,
    /// The defaults of the settings below that name it: `standard` is the RFC as written, `cdn-safe` is careful
    /// about what origins forget. `cache.profile` of the whole file when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The zone of `cache.zones` that keeps the responses; the site's `cache_zone` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How long a response is fresh when the origin says nothing about it. Counts for the statuses 200, 203,
    /// 204, 300, 301 and 308; for others see `statuses`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// How long a response is fresh, whatever lifetime the origin gives. `no-store`, `private` and `no-cache`
    /// still count (but see `force_store`). Same statuses as `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_ttl: Option<Span>,
    /// Raises a shorter lifetime that the origin gives (also one of zero) to this. `no-cache` still counts. Same
    /// statuses as `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ttl: Option<Span>,
    /// Cuts a longer lifetime that the origin gives, or that was guessed, to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<Span>,
    /// Lifetimes by status for when the origin says nothing: `404: 10s`, or a class as `5xx: 1s`. The exact
    /// status counts before its class, both before `ttl`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<StatusSelector, Span>,
    /// The longest that an error (4xx and 5xx, but not 404 and 410) is kept after its arrival, whatever lifetime
    /// the origin gives; `statuses` goes before it. By profile: `standard` has no such limit, `cdn-safe` 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_error_ttl: Option<Span>,
    /// Also store what the origin marks `no-store` or `no-cache`, for `force_ttl`. For origins that forbid caching
    /// out of habit: responses meant for one client are given to all if there are any. `private`,
    /// `Set-Cookie` and `Authorization` still count.
    pub force_store: bool,
    /// Requests that go past the cache: they are not answered from it and their responses are not stored. Any one
    /// rule will do. At most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bypass_when: Vec<BypassRule>,
    /// How long after its lifetime a response may be served while it is fetched anew, when the origin does not
    /// say. Never used where the origin forbids stale responses.
    pub stale_while_revalidate: Span,
    /// How long after its lifetime a response may be served when the origin fails, when the origin does not
    /// say. Never used where the origin forbids stale responses.
    pub stale_if_error: Span,
    /// How long after its lifetime a response may be served when no server of the upstream can be reached or
    /// none finishes its answer (RFC 9111 §4.2.4), when neither the origin nor `stale_if_error` here says how long. An
    /// hour unless set. Never used where the origin forbids stale responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_disconnected: Option<Span>,
    /// Guess a lifetime from Last-Modified when nobody gives one.
    pub heuristic: bool,
    /// Guess also for a request with a cookie, whose response may be for one client only. By profile: `standard`
    /// does, `cdn-safe` does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heuristic_with_cookie: Option<bool>,
    /// The share of the time since Last-Modified that is guessed, in percent, 1 to 100.
    pub heuristic_percent: u8,
    /// The longest lifetime that is guessed.
    pub heuristic_max: Span,
    /// What to do with a response that sets a cookie. By profile: `standard` says `store`, `cdn-safe` says `bypass`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_cookie: Option<SetCookie>,
    /// Header fields that are ignored in the origin's `Vary`. Only for fields that do not change the response.
    /// At most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vary_ignore: Vec<String>,
    /// Variants (`Vary`) kept for one URL of this route; `cache.max_variants` of the whole file when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_variants: Option<u32>,
    /// Heed `No-Vary-Search` of responses: which query parameters make no difference.
    pub no_vary_search: bool,
    /// Heed Cache-Control (`no-cache`, `no-store`, `max-age`, `min-fresh`, `max-stale`) and Pragma of requests,
    /// which lets any client send its requests past the cache. `only-if-cached` always counts. By profile: `standard`
    /// does, `cdn-safe` does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honor_request_directives: Option<bool>,
    /// Let the response to a POST answer later GETs when the origin gives it a lifetime and a `Content-Location`
    /// that is the request's own URL (RFC 9110 §9.3.3).
    pub post_reuse: bool,
    /// What is fetched for a range of what is not stored. `auto`: the whole, except for a single range that begins
    /// after the first MiB, for a suffix, and for any of an object that turned out larger than `cache.max_object`;
    /// those go to the origin as they are, and the part it sends is stored. `whole`: always the whole. `part`: the
    /// part for every single range. Routes with `key.headers` or `key.cookies` fetch the whole.
    pub range_requests: RangeRequests,
    /// Ranges that one request may ask for; one that asks for more gets the whole response. 0 switches ranges off.
    /// At most 64.
    pub max_ranges: usize,
    /// Whether a response on its way into the store goes on when all clients that read it have left: `on`, `off`, or `50%`
    /// to go on when at least half of it is there (one without Content-Length stops then). For a second after its head
    /// came it goes on in any case. What stopped is fetched anew by the next client.
    pub background_fill: BackgroundFill,
    /// What tells two stored responses apart.
    pub key: KeySettings,
}

impl Default for RouteCacheSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            profile: None,
            zone: None,
            ttl: None,
            force_ttl: None,
            min_ttl: None,
            max_ttl: None,
            statuses: BTreeMap::new(),
            max_error_ttl: None,
            force_store: false,
            bypass_when: Vec::new(),
            stale_while_revalidate: Span::default(),
            stale_if_error: Span::default(),
            stale_if_disconnected: None,
            heuristic: true,
            heuristic_with_cookie: None,
            heuristic_percent: 10,
            heuristic_max: Span::secs(86_400),
            set_cookie: None,
            vary_ignore: Vec::new(),
            max_variants: None,
            no_vary_search: true,
            honor_request_directives: None,
            post_reuse: true,
            range_requests: RangeRequests::default(),
            max_ranges: DEFAULT_MAX_RANGES,
            background_fill: BackgroundFill::default(),
            key: KeySettings::default(),
        }
    }
}

/// What is fetched for a range of what is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RangeRequests {
    /// The whole for what is near its start, the part for what is deep inside.
    #[default]
    Auto,
    /// The whole.
    Whole,
    /// The part.
    Part,
}

/// What happens to a response with Set-Cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetCookie {
    /// It is not stored.
    Bypass,
    /// It is stored without its Set-Cookie.
    Strip,
    /// It is stored with its Set-Cookie: every client gets the same cookie.
    Store,
}

/// `off`, `on`, or a time that is the `ttl`.
impl FromStr for RouteCacheSettings {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" | "false" | "no" => Ok(Self { enabled: false, ..Self::default() }),
            "on" | "true" | "yes" => Ok(Self::default()),
            time => time
                .parse()
                .map(|ttl| Self { ttl: Some(ttl), ..Self::default() })
                .map_err(|_| format!("`{text}` is neither `on`, `off` nor a time such as `1h`")),
        }
    }
}
