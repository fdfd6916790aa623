use std::fmt;
use std::str::FromStr;

use http::uri::{Authority, PathAndQuery};
use schemars::JsonSchema;
use seawall_config::units::Span;
use seawall_config::{Diagnostics, OneOrMany, Path, Short};
use serde::{Deserialize, Serialize};

use super::balance::is_token;
use super::text_setting;

/// Active health checks. A server that fails `unhealthy_threshold` times in a row gets no requests until it passes
/// `healthy_threshold` times in a row. Servers count as healthy until checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSettings {
    /// Check with an HTTP request (through TLS and HTTP/2 when the upstream uses them): a path such as `/healthz`, or a map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Short<HttpCheckSettings>>,
    /// Check by opening a connection (with the TLS handshake when the upstream uses TLS). This is the way without `http`;
    /// writing `tcp: true` says so.
    pub tcp: bool,
    /// Time from the start of one check to the start of the next.
    pub interval: Span,
    /// Time a check may take in all; then it has failed.
    pub timeout: Span,
    /// Passes in a row that make a server healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make a server unhealthy.
    pub unhealthy_threshold: u32,
    /// Each check starts late by a random part of the interval, up to this many percent, so that checks of many
    /// servers and many proxies do not come together.
    pub jitter_percent: u32,
    /// Checks under way at once in this upstream; the others wait for their turn.
    pub max_parallel: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            http: None,
            tcp: false,
            interval: Span::secs(5),
            timeout: Span::secs(2),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            jitter_percent: 10,
            max_parallel: 64,
        }
    }
}

/// The request of an HTTP health check and the answer that passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpCheckSettings {
    /// Path and query to ask for.
    pub path: String,
    /// Request method.
    pub method: String,
    /// Host header. Without it: the upstream's `host`, else the TLS name, else the server's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Statuses that pass: `204`, `200-299`, or a list of both.
    pub expected_statuses: OneOrMany<StatusRange>,
}

impl Default for HttpCheckSettings {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            method: "GET".to_owned(),
            host: None,
            expected_statuses: vec![StatusRange { first: 200, last: 299 }].into(),
        }
    }
}

impl FromStr for HttpCheckSettings {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        Ok(Self { path: path.to_owned(), ..Self::default() })
    }
}

/// One status or a range of statuses, both ends included: `204`, `200-299`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    /// The lowest status that passes.
    pub first: u16,
    /// The highest status that passes.
    pub last: u16,
}

impl StatusRange {
    /// Whether `status` lies in the range.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let status = |part: &str| part.trim().parse::<u16>().ok().filter(|s| (100..=599).contains(s));
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(format!("`{text}` is no status; write `204` or `200-299` (100 to 599)")),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

text_setting!(
    StatusRange,
    "a status such as `204` or a range such as `200-299`",
    "An HTTP status or a range of them: `204`, `200-299`."
);

impl HealthSettings {
    /// Reports what cannot work.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.tcp && self.http.is_some() {
            out.error(&at.key("tcp"), "`tcp` and `http` exclude each other")
                .on_key()
                .hint("remove `tcp`: an HTTP check opens a connection anyway");
        }
        for (key, span) in [("interval", self.interval), ("timeout", self.timeout)] {
            if span.is_zero() {
                out.error(&at.key(key), format!("`{key}` cannot be zero")).hint("write a time such as `5s`");
            }
        }
        if self.timeout > self.interval && !self.interval.is_zero() {
            out.warning(
                &at.key("timeout"),
                "a check may take longer than the interval, so checks will come late",
            )
            .hint("make `timeout` shorter than `interval`");
        }
        for (key, number) in [
            ("healthy_threshold", self.healthy_threshold),
            ("unhealthy_threshold", self.unhealthy_threshold),
            ("max_parallel", self.max_parallel),
        ] {
            if number == 0 {
                out.error(&at.key(key), format!("`{key}` cannot be zero")).hint("write 1 or more");
            }
        }
        if self.jitter_percent > 100 {
            out.error(&at.key("jitter_percent"), "more than 100 percent").hint("write 0 to 100");
        }
        if let Some(http) = &self.http {
            http.check(&at.key("http"), out);
        }
    }
}

impl HttpCheckSettings {
    /// Reports what cannot work.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if !self.path.starts_with('/') || self.path.parse::<PathAndQuery>().is_err() {
            out.error(&at.key("path"), format!("`{}` is not a path", self.path))
                .hint("write a path that begins with `/`, such as `/healthz`");
        }
        if !is_token(&self.method) {
            out.error(&at.key("method"), format!("`{}` is not a method", self.method))
                .hint("write a method such as GET");
        }
        if let Some(host) = &self.host
            && host.parse::<Authority>().is_err()
        {
            out.error(&at.key("host"), format!("`{host}` is not a host"))
                .hint("write a name such as `example.com`");
        }
        if self.expected_statuses.is_empty() {
            out.error(&at.key("expected_statuses"), "no status would pass").hint("write `200-299`");
        }
    }
}
