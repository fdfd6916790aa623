//! How long a response is fresh and how old it is (RFC 9111 §4.2).
//!
//! All arithmetic saturates: whatever bytes an origin sends, ages are never negative and nothing overflows.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

use crate::date::{first_date, http_date};
use crate::directives::{Delta, ResponseDirectives};
use crate::policy::{CachePolicy, Heuristic};
use crate::syntax::{delta_seconds, trim};
use crate::{MAX_DELTA, Response, Times};

/// Statuses that may be stored, and whose lifetime may be guessed, without any word of the origin
/// (RFC 9110 §15.1). 206 belongs to them too, but a part is never stored as the whole.
const HEURISTICALLY_CACHEABLE: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Statuses that a route's `ttl`, `force_ttl` and `min_ttl` are for.
const ROUTE_TTL: [u16; 6] = [200, 203, 204, 300, 301, 308];

/// Whether a route's `force_ttl` is for this status.
pub(crate) fn may_force(status: StatusCode) -> bool {
    ROUTE_TTL.contains(&status.as_u16())
}

/// Whether a response with this status may be stored without any word of the origin (RFC 9110 §15.1).
#[must_use]
pub fn heuristically_cacheable(status: StatusCode) -> bool {
    HEURISTICALLY_CACHEABLE.contains(&status.as_u16())
}

/// Where a lifetime comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifetimeSource {
    /// The route's `force_ttl`.
    Forced,
    /// `s-maxage`.
    SharedMaxAge,
    /// `max-age`.
    MaxAge,
    /// Expires minus Date.
    Expires,
    /// The route's `statuses`.
    Status,
    /// The route's `ttl`.
    Route,
    /// A share of the time since Last-Modified.
    Heuristic,
    /// `no-cache`: nothing is reused before it is validated.
    NoCache,
    /// The origin gave a lifetime that cannot be read: stale from the start.
    Invalid,
    /// Nobody gave one.
    Nothing,
}

impl LifetimeSource {
    /// Whether the route's settings gave the lifetime.
    #[must_use]
    pub fn is_configured(self) -> bool {
        matches!(self, Self::Forced | Self::Status | Self::Route)
    }

    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Forced,
        Self::SharedMaxAge,
        Self::MaxAge,
        Self::Expires,
        Self::Status,
        Self::Route,
        Self::Heuristic,
        Self::NoCache,
        Self::Invalid,
        Self::Nothing,
    ];

    /// The one that [`Self::as_str`] gives this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == name)
    }

    /// A stable name for logs, `explain` and what is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forced => "force_ttl",
            Self::SharedMaxAge => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "expires",
            Self::Status => "statuses",
            Self::Route => "ttl",
            Self::Heuristic => "heuristic",
            Self::NoCache => "no-cache",
            Self::Invalid => "invalid",
            Self::Nothing => "none",
        }
    }
}

/// The lifetime and the age of one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// How long it is fresh, counted from its making at the origin.
    pub lifetime: Duration,
    /// Where that comes from.
    pub source: LifetimeSource,
    /// How old it was when it arrived (RFC 9111 §4.2.3, `corrected_initial_age`).
    pub initial_age: Duration,
    /// When it arrived.
    pub received: SystemTime,
}

impl Freshness {
    /// The freshness of a response, by what the origin says, what the route says, and by guess, in that order.
    /// Nothing is guessed unless `may_guess`.
    #[must_use]
    pub fn of(
        response: &Response<'_>,
        directives: &ResponseDirectives,
        times: Times,
        policy: &CachePolicy,
        may_guess: bool,
    ) -> Self {
        let initial_age = initial_age(response.headers, times);
        let (mut lifetime, source) = lifetime(response, directives, times, policy, may_guess);
        if source.is_configured() {
            // A route's own times run from the arrival: an origin behind another cache would otherwise send
            // responses that are never fresh.
            lifetime = lifetime.saturating_add(initial_age);
        } else if let Some(limit) = policy.error_limit(response.status) {
            lifetime = lifetime.min(limit.saturating_add(initial_age));
        }
        Self { lifetime, source, initial_age, received: times.received }
    }

    /// The age at `now` (RFC 9111 §4.2.3, `current_age`). A clock that went back adds nothing.
    #[must_use]
    pub fn age_at(&self, now: SystemTime) -> Duration {
        self.initial_age.saturating_add(now.duration_since(self.received).unwrap_or_default())
    }

    /// Whether it may be reused at `now` without asking the origin.
    #[must_use]
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        self.lifetime > self.age_at(now)
    }

    /// When its age is counted from: `age_at(now)` is `now - epoch()`.
    #[must_use]
    pub fn epoch(&self) -> SystemTime {
        self.received.checked_sub(self.initial_age).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The first instant at which it is stale.
    ///
    /// For a response that is stale on arrival this lies before [`Self::received`], as far as it is overdue,
    /// because stale windows are measured from here. With `no-cache` it is the epoch of Unix, so that no clock
    /// step makes the response fresh.
    #[must_use]
    pub fn fresh_until(&self) -> SystemTime {
        if self.source == LifetimeSource::NoCache {
            return SystemTime::UNIX_EPOCH;
        }
        let limit = Duration::from_secs(u64::from(MAX_DELTA));
        if let Some(left) = self.lifetime.checked_sub(self.initial_age)
            && !left.is_zero()
        {
            return self.received.checked_add(left.min(limit)).unwrap_or(self.received);
        }
        // Pingora takes the last instant itself for fresh; a lifetime of zero must not have one.
        let overdue = self.initial_age.saturating_sub(self.lifetime).max(Duration::from_nanos(1));
        self.received.checked_sub(overdue).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// The age on arrival (RFC 9111 §4.2.3).
fn initial_age(headers: &HeaderMap, times: Times) -> Duration {
    let apparent = first_date(headers, &header::DATE, times.received)
        .and_then(|date| times.received.duration_since(date).ok())
        // Date has whole seconds only; its cut-off part is no age.
        .map_or(Duration::ZERO, |age| Duration::from_secs(age.as_secs()));
    let delay = times.received.duration_since(times.requested).unwrap_or_default();
    apparent.max(age_value(headers).saturating_add(delay))
}

/// The first member of Age; one that is no number is ignored (RFC 9111 §5.1).
fn age_value(headers: &HeaderMap) -> Duration {
    headers
        .get(header::AGE)
        .and_then(|value| value.as_bytes().split(|byte| *byte == b',').next())
        .and_then(|first| delta_seconds(trim(first)))
        .map_or(Duration::ZERO, |seconds| Duration::from_secs(u64::from(seconds)))
}

fn lifetime(
    response: &Response<'_>,
    directives: &ResponseDirectives,
    times: Times,
    policy: &CachePolicy,
    may_guess: bool,
) -> (Duration, LifetimeSource) {
    if directives.no_cache.is_all() {
        return (Duration::ZERO, LifetimeSource::NoCache);
    }
    let status = response.status;
    let for_route = ROUTE_TTL.contains(&status.as_u16());
    if let Some(ttl) = policy.force_ttl.filter(|_| for_route) {
        return (ttl, LifetimeSource::Forced);
    }
    match explicit(response.headers, directives, times) {
        Some((_, LifetimeSource::Invalid)) => return (Duration::ZERO, LifetimeSource::Invalid),
        Some((lifetime, source)) => return (policy.clamp(lifetime, for_route), source),
        None => {}
    }
    if let Some(ttl) = policy.status_ttl(status) {
        return (ttl, LifetimeSource::Status);
    }
    if let Some(ttl) = policy.ttl.filter(|_| for_route) {
        return (ttl, LifetimeSource::Route);
    }
    let may_guess = may_guess && (heuristically_cacheable(status) || directives.public);
    match policy.heuristic.filter(|_| may_guess).and_then(|rule| guess(response.headers, times, rule)) {
        Some(lifetime) => (policy.clamp(lifetime, for_route), LifetimeSource::Heuristic),
        None => (Duration::ZERO, LifetimeSource::Nothing),
    }
}

/// What the origin says for shared caches: s-maxage, then max-age, then Expires (RFC 9111 §4.2.1).
fn explicit(
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    times: Times,
) -> Option<(Duration, LifetimeSource)> {
    let by_age =
        [(directives.s_maxage, LifetimeSource::SharedMaxAge), (directives.max_age, LifetimeSource::MaxAge)];
    for (delta, source) in by_age {
        match delta {
            Delta::Seconds(seconds) => return Some((Duration::from_secs(u64::from(seconds)), source)),
            Delta::Invalid => return Some((Duration::ZERO, LifetimeSource::Invalid)),
            Delta::Absent => {}
        }
    }
    if !directives.heeds_expires() {
        return None;
    }
    let date = first_date(headers, &header::DATE, times.received).unwrap_or(times.received);
    let mut shortest: Option<Duration> = None;
    for line in headers.get_all(header::EXPIRES) {
        // RFC 9111 §5.3: a bad date, `0` above all, lies in the past.
        let Some(expires) = http_date(trim(line.as_bytes()), times.received) else {
            return Some((Duration::ZERO, LifetimeSource::Invalid));
        };
        let lifetime = expires.duration_since(date).unwrap_or_default();
        shortest = Some(shortest.map_or(lifetime, |old| old.min(lifetime)));
    }
    let limit = Duration::from_secs(u64::from(MAX_DELTA));
    shortest.map(|lifetime| (lifetime.min(limit), LifetimeSource::Expires))
}

/// A share of the time since the last change (RFC 9111 §4.2.2).
fn guess(headers: &HeaderMap, times: Times, rule: Heuristic) -> Option<Duration> {
    let modified = first_date(headers, &header::LAST_MODIFIED, times.received)?;
    let date = first_date(headers, &header::DATE, times.received).unwrap_or(times.received);
    let unchanged = date.duration_since(modified).ok()?;
    let share = Duration::from_secs(unchanged.as_secs().saturating_mul(u64::from(rule.percent)) / 100);
    Some(share.min(rule.max))
}

#[cfg(test)]
mod tests;
