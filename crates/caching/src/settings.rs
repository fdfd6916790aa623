//! The `cache:` of a route.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use seawall_config::units::Span;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use crate::MAX_DELTA;
use crate::key::KeySettings;
use crate::range::{DEFAULT_MAX_RANGES, MOST_RANGES};
use crate::storability::NEVER_STORED;

/// How a route uses the cache. May be shortened to `cache: off`, `cache: on`, or `cache: 1h` (a `ttl`).
///
/// The origin decides first: what it forbids to store is never stored, and what it says about freshness counts.
/// The times here speak where the origin is silent, except `force_ttl`, `min_ttl` and `max_ttl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteCacheSettings {
    /// Whether requests of this route meet the cache at all.
    pub enabled: bool,
    /// How long a response is fresh when the origin says nothing about it. Counts for the statuses 200, 203,
    /// 204, 300, 301 and 308; for others see `statuses`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// How long a response is fresh, whatever lifetime the origin gives. `no-store`, `private` and `no-cache`
    /// still count. Same statuses as `ttl`.
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
    /// The share of the time since Last-Modified that is guessed, in percent, 1 to 100.
    pub heuristic_percent: u8,
    /// The longest lifetime that is guessed.
    pub heuristic_max: Span,
    /// What to do with a response that sets a cookie.
    pub set_cookie: SetCookie,
    /// Header fields that are ignored in the origin's `Vary`. Only for fields that do not change the response.
    /// At most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vary_ignore: Vec<String>,
    /// Heed Cache-Control (`no-cache`, `no-store`, `max-age`, `min-fresh`, `max-stale`) and Pragma of
    /// requests. Off, because it lets any client send its requests past the cache. `only-if-cached` always counts.
    pub honor_request_directives: bool,
    /// Ranges that one request may ask for; one that asks for more gets the whole response. 0 switches ranges off.
    /// At most 64.
    pub max_ranges: usize,
    /// What tells two stored responses apart.
    pub key: KeySettings,
}

impl Default for RouteCacheSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: None,
            force_ttl: None,
            min_ttl: None,
            max_ttl: None,
            statuses: BTreeMap::new(),
            stale_while_revalidate: Span::default(),
            stale_if_error: Span::default(),
            stale_if_disconnected: None,
            heuristic: true,
            heuristic_percent: 10,
            heuristic_max: Span::secs(86_400),
            set_cookie: SetCookie::default(),
            vary_ignore: Vec::new(),
            honor_request_directives: false,
            max_ranges: DEFAULT_MAX_RANGES,
            key: KeySettings::default(),
        }
    }
}

/// What happens to a response with Set-Cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetCookie {
    /// It is not stored.
    #[default]
    Bypass,
    /// It is stored without its Set-Cookie.
    Strip,
    /// It is stored with its Set-Cookie: every client gets the same cookie.
    Store,
}

/// One status (`404`) or a class of them (`5xx`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusSelector {
    /// This status.
    Exact(u16),
    /// Every status with this first digit.
    Class(u8),
}

impl FromStr for StatusSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a status; write one such as `404`, or a class such as `5xx`");
        match text.as_bytes() {
            [class @ b'2'..=b'5', b'x' | b'X', b'x' | b'X'] => Ok(Self::Class(class - b'0')),
            [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] => text.parse().map(Self::Exact).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for StatusSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl Serialize for StatusSelector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StatusSelector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = StatusSelector;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as `404`, or a class such as `5xx`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StatusSelector, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<StatusSelector, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for StatusSelector {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusSelector".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^[2-5]([0-9][0-9]|[xX][xX])$",
            "description": "One status (`404`) or a class of them (`5xx`)."
        })
    }
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

impl RouteCacheSettings {
    /// Reports every semantic problem.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        self.check_times(at, out);
        self.check_statuses(&at.key("statuses"), out);
        if !(1..=100).contains(&self.heuristic_percent) {
            out.error(&at.key("heuristic_percent"), "a share is from 1 to 100 percent")
                .hint("to guess no lifetimes write `heuristic: false`");
        }
        crate::key::check_headers(&self.vary_ignore, &at.key("vary_ignore"), out);
        for (index, name) in self.vary_ignore.iter().enumerate() {
            if ["accept-encoding", "cookie", "authorization"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
                out.warning(
                    &at.key("vary_ignore").index(index),
                    format!("ignoring `{name}` can give one client the response meant for another"),
                )
                .hint("remove it unless the origin names it without need");
            }
        }
        if self.set_cookie == SetCookie::Store {
            out.warning(&at.key("set_cookie"), "every client will get the cookie of the first one")
                .hint("write `strip` unless the cookie is the same for everyone");
        }
        if self.max_ranges > MOST_RANGES {
            out.error(&at.key("max_ranges"), format!("more than {MOST_RANGES} ranges of one request"))
                .hint("each range costs a client six bytes to ask for, and a seek and a head to answer");
        }
        self.key.check(&at.key("key"), out);
    }

    fn check_times(&self, at: &Path, out: &mut Diagnostics) {
        for (key, time) in [
            ("ttl", self.ttl),
            ("force_ttl", self.force_ttl),
            ("max_ttl", self.max_ttl),
            ("min_ttl", self.min_ttl),
            ("stale_while_revalidate", Some(self.stale_while_revalidate)),
            ("stale_if_error", Some(self.stale_if_error)),
            ("stale_if_disconnected", self.stale_if_disconnected),
            ("heuristic_max", Some(self.heuristic_max)),
        ] {
            check_time(time, &at.key(key), out);
        }
        if self.force_ttl.is_some_and(Span::is_zero) {
            out.error(&at.key("force_ttl"), "a forced lifetime of zero keeps nothing")
                .hint("to turn the cache off write `cache: off`");
        }
        if let (Some(min), Some(max)) = (self.min_ttl, self.max_ttl)
            && min > max
        {
            out.error(&at.key("min_ttl"), format!("`min_ttl` ({min}) is longer than `max_ttl` ({max})"))
                .hint("make `min_ttl` the shorter of the two");
        }
        if self.force_ttl.is_some() {
            for (key, set) in [("ttl", self.ttl), ("min_ttl", self.min_ttl), ("max_ttl", self.max_ttl)] {
                if set.is_some() {
                    out.warning(&at.key(key), format!("`{key}` has no effect on what `force_ttl` governs"))
                        .hint("remove one of the two");
                }
            }
        }
    }

    fn check_statuses(&self, at: &Path, out: &mut Diagnostics) {
        for (selector, ttl) in &self.statuses {
            let at = at.key(selector.to_string());
            check_time(Some(*ttl), &at, out);
            if let StatusSelector::Exact(status) = selector
                && NEVER_STORED.contains(status)
            {
                out.error(&at, format!("a response with status {status} is never stored"))
                    .hint("it answers one request or one part of a resource, not every request for it");
            }
        }
    }
}

fn check_time(time: Option<Span>, at: &Path, out: &mut Diagnostics) {
    if time.is_some_and(|time| time.duration().as_secs() > u64::from(MAX_DELTA)) {
        out.error(at, "longer than 2^31 seconds (68 years), the longest time of HTTP caching")
            .hint("write a shorter time");
    }
}

#[cfg(test)]
mod tests;
