//! A route's cache settings, compiled.

use std::time::Duration;

use http::{HeaderName, StatusCode};

use crate::bypass::BypassRules;
use crate::key::KeyPolicy;
use crate::range::MOST_RANGES;
use crate::request::BypassReason;
use crate::settings::{
    BackgroundFill, Profile, RangeRequests, Resolved, RouteCacheSettings, SetCookie, StatusSelector,
};

/// Why settings cannot be compiled. Checked settings always can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A name in a list of header fields is none.
    #[error("`{name}` in `{list}` cannot be the name of a header field; write the bare name")]
    HeaderName {
        /// The list.
        list: &'static str,
        /// What stands in it.
        name: String,
    },
}

/// How long a response stands in for an origin that cannot be reached, when nobody says (RFC 9111 §4.2.4 sets no
/// bound; long enough for an operator to notice).
const STALE_IF_DISCONNECTED: Duration = Duration::from_secs(3600);

/// The compiled form of [`RouteCacheSettings`]: what the rules ask for at each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePolicy {
    pub(crate) enabled: bool,
    pub(crate) ttl: Option<Duration>,
    pub(crate) force_ttl: Option<Duration>,
    pub(crate) min_ttl: Duration,
    pub(crate) max_ttl: Duration,
    statuses: Vec<(StatusSelector, Duration)>,
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) stale_if_disconnected: Duration,
    pub(crate) heuristic: Option<Heuristic>,
    pub(crate) vary_ignore: Vec<HeaderName>,
    /// What the profile has a word in.
    pub(crate) by_profile: Resolved,
    pub(crate) force_store: bool,
    bypass_when: BypassRules,
    max_variants: Option<u32>,
    range_requests: RangeRequests,
    max_ranges: usize,
    background_fill: BackgroundFill,
    no_vary_search: bool,
    pub(crate) post_reuse: bool,
    key: KeyPolicy,
}

/// What had to be compiled of the settings.
#[derive(Default)]
struct Parts {
    vary_ignore: Vec<HeaderName>,
    bypass_when: BypassRules,
    key: KeyPolicy,
}

/// How a lifetime is guessed (RFC 9111 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heuristic {
    pub(crate) percent: u32,
    pub(crate) max: Duration,
}

impl Default for CachePolicy {
    fn default() -> Self {
        let parts = Parts::default();
        Self::with_parts(&RouteCacheSettings::default(), Profile::default(), parts)
    }
}

impl CachePolicy {
    /// Compiles checked settings. Without a profile of their own they have the default one.
    ///
    /// # Errors
    /// When a header's name is not one.
    pub fn new(settings: &RouteCacheSettings) -> Result<Self, PolicyError> {
        Self::with_default_profile(settings, Profile::default())
    }

    /// Compiles checked settings. Without a profile of their own they have `profile`.
    ///
    /// # Errors
    /// When a header's name is not one.
    pub fn with_default_profile(
        settings: &RouteCacheSettings,
        profile: Profile,
    ) -> Result<Self, PolicyError> {
        let vary_ignore = settings
            .vary_ignore
            .iter()
            .map(|name| header_name("vary_ignore", name))
            .collect::<Result<_, _>>()?;
        let parts = Parts {
            vary_ignore,
            bypass_when: BypassRules::new(&settings.bypass_when)?,
            key: KeyPolicy::new(&settings.key)?,
        };
        Ok(Self::with_parts(settings, settings.profile.unwrap_or(profile), parts))
    }

    fn with_parts(settings: &RouteCacheSettings, profile: Profile, parts: Parts) -> Self {
        Self {
            enabled: settings.enabled,
            ttl: settings.ttl.map(|ttl| ttl.duration()),
            force_ttl: settings.force_ttl.map(|ttl| ttl.duration()),
            min_ttl: settings.min_ttl.map_or(Duration::ZERO, |ttl| ttl.duration()),
            max_ttl: settings.max_ttl.map_or(Duration::MAX, |ttl| ttl.duration()),
            statuses: settings.statuses.iter().map(|(status, ttl)| (*status, ttl.duration())).collect(),
            stale_while_revalidate: settings.stale_while_revalidate.duration(),
            stale_if_error: settings.stale_if_error.duration(),
            stale_if_disconnected: match settings.stale_if_disconnected {
                Some(window) => window.duration(),
                None if settings.stale_if_error.is_zero() => STALE_IF_DISCONNECTED,
                None => Duration::ZERO,
            },
            heuristic: settings.heuristic.then(|| Heuristic {
                percent: u32::from(settings.heuristic_percent).min(100),
                max: settings.heuristic_max.duration(),
            }),
            vary_ignore: parts.vary_ignore,
            by_profile: profile.resolve(settings),
            force_store: settings.force_store,
            bypass_when: parts.bypass_when,
            max_variants: settings.max_variants,
            range_requests: settings.range_requests,
            max_ranges: settings.max_ranges.min(MOST_RANGES),
            background_fill: settings.background_fill,
            no_vary_search: settings.no_vary_search,
            post_reuse: settings.post_reuse,
            key: parts.key,
        }
    }

    /// Whether the route uses the cache at all.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Why the route's `bypass_when` sends this request past the cache; `target` is path and query as the client
    /// sent them. Ask before [`crate::request::assess`].
    #[must_use]
    pub fn bypass(&self, request: &http::HeaderMap, target: &[u8]) -> Option<BypassReason> {
        self.bypass_when.find(request, target)
    }

    /// What is done with a response that sets a cookie.
    #[must_use]
    pub fn set_cookie(&self) -> SetCookie {
        self.by_profile.set_cookie
    }

    /// Whether a stored response in the one language that a request likes best serves it, although it was stored for
    /// another Accept-Language ([`crate::vary::is_in_preferred_language`]).
    #[must_use]
    pub fn serves_preferred_language(&self) -> bool {
        self.by_profile.preferred_language
    }

    /// Variants kept for one URL of the route, when it has its own limit.
    #[must_use]
    pub fn max_variants(&self) -> Option<u32> {
        self.max_variants
    }

    /// What is fetched for a range of what is not stored.
    #[must_use]
    pub fn range_requests(&self) -> RangeRequests {
        self.range_requests
    }

    /// Ranges of one request that are answered, for [`crate::range::select`].
    #[must_use]
    pub fn max_ranges(&self) -> usize {
        self.max_ranges
    }

    /// What becomes of a fill whose clients have left.
    #[must_use]
    pub fn background_fill(&self) -> BackgroundFill {
        self.background_fill
    }

    /// Whether No-Vary-Search is heeded.
    #[must_use]
    pub fn no_vary_search(&self) -> bool {
        self.no_vary_search
    }

    /// How the route names its stored responses.
    #[must_use]
    pub fn key(&self) -> &KeyPolicy {
        &self.key
    }

    /// The fields that count in a response's Vary on this route.
    #[must_use]
    pub fn vary(&self, response: &http::HeaderMap) -> crate::Vary {
        crate::Vary::parse(response, &self.vary_ignore)
    }

    /// The lifetime that the settings give to a status: the exact one before its class.
    pub(crate) fn status_ttl(&self, status: StatusCode) -> Option<Duration> {
        let find =
            |wanted| self.statuses.iter().find(|(selector, _)| *selector == wanted).map(|(_, ttl)| *ttl);
        let class = u8::try_from(status.as_u16() / 100).ok()?;
        find(StatusSelector::Exact(status.as_u16())).or_else(|| find(StatusSelector::Class(class)))
    }

    /// How long an error of this status may be kept after its arrival, when there is such a limit.
    pub(crate) fn error_limit(&self, status: StatusCode) -> Option<Duration> {
        let limit = self.by_profile.max_error_ttl?.duration();
        // That something is not there is an answer as good as any other.
        let lasting = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        (status.as_u16() >= 400 && !lasting).then_some(limit)
    }

    /// Whether a 400 may be stored: it mostly speaks of one client's odd request.
    pub(crate) fn stores_bad_requests(&self) -> bool {
        let named = |(selector, _): &(StatusSelector, Duration)| *selector == StatusSelector::Exact(400);
        self.by_profile.bad_request || self.statuses.iter().any(named)
    }

    /// A lifetime of the origin within the bounds of the route. An error is never kept for longer than the
    /// origin wants, so `raise` is false for it.
    pub(crate) fn clamp(&self, lifetime: Duration, raise: bool) -> Duration {
        let raised = if raise { lifetime.max(self.min_ttl) } else { lifetime };
        raised.min(self.max_ttl)
    }
}

pub(crate) fn header_name(list: &'static str, name: &str) -> Result<HeaderName, PolicyError> {
    name.parse().map_err(|_| PolicyError::HeaderName { list, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::secs;

    fn policy(yaml: &str) -> CachePolicy {
        CachePolicy::new(&serde_yaml::from_str(yaml).unwrap()).unwrap()
    }

    #[test]
    fn the_default_is_that_of_the_settings() {
        assert_eq!(CachePolicy::default(), CachePolicy::new(&RouteCacheSettings::default()).unwrap());
    }

    #[test]
    fn the_exact_status_comes_before_its_class() {
        let policy = policy("statuses: { 404: 10s, 4xx: 20s, 5xx: 1s }");
        assert_eq!(policy.status_ttl(StatusCode::NOT_FOUND), Some(secs(10)));
        assert_eq!(policy.status_ttl(StatusCode::GONE), Some(secs(20)));
        assert_eq!(policy.status_ttl(StatusCode::BAD_GATEWAY), Some(secs(1)));
        assert_eq!(policy.status_ttl(StatusCode::OK), None);
    }

    #[test]
    fn bounds_hold() {
        let policy = policy("{ min_ttl: 10s, max_ttl: 20s }");
        assert_eq!(policy.clamp(secs(0), true), secs(10));
        assert_eq!(policy.clamp(secs(0), false), secs(0));
        assert_eq!(policy.clamp(secs(15), true), secs(15));
        assert_eq!(policy.clamp(secs(99), false), secs(20));
    }

    #[test]
    fn a_bad_name_is_an_error() {
        let settings = RouteCacheSettings { vary_ignore: vec!["a b".into()], ..Default::default() };
        let error = CachePolicy::new(&settings).unwrap_err().to_string();
        assert!(error.contains("`a b` in `vary_ignore`"), "{error}");
    }
}
