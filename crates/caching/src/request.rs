//! Whether a request may meet the store, and what it asks of it.

use std::time::Duration;

use http::{HeaderMap, Method, header};

use crate::Request;
use crate::directives::{Delta, MaxStale, RequestDirectives};
use crate::policy::CachePolicy;
use crate::status::ForwardReason;
use crate::syntax::list;

/// Why a request goes past the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BypassReason {
    /// The route's cache is off.
    Disabled,
    /// Neither GET nor HEAD.
    Method,
    /// A GET or HEAD with content, which may change the response without being in the key.
    Body,
    /// The client wants another protocol on the connection.
    Upgrade,
    /// A cookie that the route's `bypass_when` names.
    Cookie,
    /// A header field that the route's `bypass_when` names.
    Header,
    /// A query parameter that the route's `bypass_when` names.
    Query,
}

impl BypassReason {
    /// A stable name, for `detail` of Cache-Status and for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "cache-off",
            Self::Method => "method",
            Self::Body => "request-body",
            Self::Upgrade => "upgrade",
            Self::Cookie => "bypass-cookie",
            Self::Header => "bypass-header",
            Self::Query => "bypass-query",
        }
    }

    /// The reason to forward in the words of Cache-Status (RFC 9211 §2.2).
    #[must_use]
    pub fn forward_reason(self) -> ForwardReason {
        match self {
            Self::Method => ForwardReason::Method,
            Self::Disabled | Self::Body | Self::Upgrade | Self::Cookie | Self::Header | Self::Query => {
                ForwardReason::Bypass
            }
        }
    }
}

/// On which terms a request meets the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Answer 504 rather than go to the origin (RFC 9111 §5.2.1.7).
    pub only_if_cached: bool,
    /// The client forbids storing the response, and the route heeds it.
    pub no_store: bool,
    /// What the client demands of a stored response, when the route heeds it.
    pub demand: Option<Demand>,
}

/// Whether this request may be answered from the store and its response be stored.
///
/// A Range is no obstacle: the whole object is fetched and the range cut from it. Neither is Authorization:
/// what may be stored for such a request is decided with the response ([`crate::storability`]), and what was
/// stored is meant for everyone (RFC 9111 §3.5).
///
/// # Errors
/// The reason to go past the store.
pub fn assess(request: &Request<'_>, policy: &CachePolicy) -> Result<Terms, BypassReason> {
    if !policy.enabled {
        return Err(BypassReason::Disabled);
    }
    if !matches!(*request.method, Method::GET | Method::HEAD) {
        return Err(BypassReason::Method);
    }
    if request.has_body || announces_body(request.headers) {
        return Err(BypassReason::Body);
    }
    if wants_upgrade(request.headers) {
        return Err(BypassReason::Upgrade);
    }
    let directives = RequestDirectives::parse(request.headers);
    let mut terms = Terms { only_if_cached: directives.only_if_cached, ..Terms::default() };
    if policy.by_profile.honor_request_directives {
        terms.no_store = directives.no_store;
        terms.demand = Some(Demand(directives)).filter(Demand::is_made);
    }
    Ok(terms)
}

fn announces_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get_all(header::CONTENT_LENGTH)
            .iter()
            .any(|value| !value.as_bytes().iter().all(|byte| *byte == b'0'))
}

/// Whether a request asks for another protocol, so that its answer is no matter of caching or coding.
///
/// `h2c` is an offer that a proxy never takes up (RFC 9113 §3.1); the request itself is an ordinary one.
#[must_use]
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|line| list(line.as_bytes()).any(|protocol| !protocol.eq_ignore_ascii_case(b"h2c")))
}

/// What a client demands of a stored response (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand(RequestDirectives);

/// What a [`Demand`] makes of a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The demand changes nothing: fresh is served, stale is handled as usual.
    AsUsual,
    /// Stale as it is, the client takes it.
    ServeStale,
    /// It must be validated first, fresh or not.
    Validate,
}

impl Demand {
    fn is_made(&self) -> bool {
        let directives = &self.0;
        directives.no_cache
            || directives.max_age.seconds().is_some()
            || directives.min_fresh.seconds().is_some()
            || directives.max_stale != MaxStale::None
    }

    /// The demand on a response that is `immutable`: it is as good at any age, so only `no-cache` asks to validate it
    /// while it is fresh (RFC 8246 §2.1). A reload sends `max-age=0`, a forced one `no-cache`.
    #[must_use]
    pub fn of_immutable(self) -> Self {
        Self(RequestDirectives { max_age: Delta::Absent, ..self.0 })
    }

    /// Judges a stored response of this age and with that much freshness left.
    ///
    /// `staleness` is zero for a fresh response; `forbids_stale` is
    /// [`ResponseDirectives::forbids_max_stale`](crate::directives::ResponseDirectives::forbids_max_stale) of the
    /// stored fields, which no client can lift (RFC 9111 §4.2.4).
    #[must_use]
    pub fn judge(&self, age: Duration, left: Duration, staleness: Duration, forbids_stale: bool) -> Verdict {
        let seconds = |n: u32| Duration::from_secs(u64::from(n));
        let directives = &self.0;
        // Who states an age and takes nothing stale does not want a stale response either (§5.2.1.1).
        let fresh_only = directives.max_age.seconds().is_some() && directives.max_stale == MaxStale::None;
        if directives.no_cache
            || (fresh_only && left.is_zero())
            || directives.max_age.seconds().is_some_and(|limit| age > seconds(limit))
            || directives.min_fresh.seconds().is_some_and(|least| left < seconds(least))
        {
            return Verdict::Validate;
        }
        let takes_stale = match directives.max_stale {
            MaxStale::None => false,
            MaxStale::Seconds(limit) => staleness <= seconds(limit),
            MaxStale::Any => true,
        };
        if left.is_zero() && takes_stale && !forbids_stale { Verdict::ServeStale } else { Verdict::AsUsual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_value, headers, secs};
    use proptest::prelude::*;

    fn assess_with(yaml: &str, method: Method, pairs: &[(&str, &str)]) -> Result<Terms, BypassReason> {
        let policy = CachePolicy::new(&serde_yaml::from_str(yaml).unwrap()).unwrap();
        assess(&Request { method: &method, headers: &headers(pairs), has_body: false }, &policy)
    }

    fn get(pairs: &[(&str, &str)]) -> Result<Terms, BypassReason> {
        assess_with("{}", Method::GET, pairs)
    }

    fn judge(cache_control: &str, age: u64, lifetime: u64, forbids_stale: bool) -> Verdict {
        let terms =
            assess_with("honor_request_directives: true", Method::GET, &[("cache-control", cache_control)]);
        let (left, staleness) = (lifetime.saturating_sub(age), age.saturating_sub(lifetime));
        terms.unwrap().demand.unwrap().judge(secs(age), secs(left), secs(staleness), forbids_stale)
    }

    #[test]
    fn get_and_head_meet_the_store() {
        assert_eq!(get(&[]), Ok(Terms::default()));
        assert_eq!(assess_with("{}", Method::HEAD, &[]), Ok(Terms::default()));
        assert!(get(&[("range", "bytes=0-1"), ("authorization", "Basic eA=="), ("cookie", "a=b")]).is_ok());
    }

    #[test]
    fn other_methods_do_not() {
        for name in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "get", "PURGE"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(assess_with("{}", method, &[]), Err(BypassReason::Method), "{name}");
        }
        assert_eq!(BypassReason::Method.forward_reason(), ForwardReason::Method);
    }

    #[test]
    fn a_body_is_outside_of_the_key() {
        for pairs in
            [[("content-length", "1")], [("content-length", "x")], [("transfer-encoding", "chunked")]]
        {
            assert_eq!(get(&pairs), Err(BypassReason::Body), "{pairs:?}");
        }
        assert!(get(&[("content-length", "0")]).is_ok());
        let request = Request { method: &Method::GET, headers: &HeaderMap::new(), has_body: true };
        assert_eq!(assess(&request, &CachePolicy::default()), Err(BypassReason::Body));
    }

    #[test]
    fn an_upgrade_is_no_matter_of_caching() {
        assert_eq!(get(&[("upgrade", "websocket")]), Err(BypassReason::Upgrade));
        assert_eq!(get(&[("upgrade", "h2c, websocket")]), Err(BypassReason::Upgrade));
        assert!(get(&[("upgrade", "h2c")]).is_ok());
    }

    #[test]
    fn a_route_without_cache() {
        assert_eq!(assess_with("enabled: false", Method::GET, &[]), Err(BypassReason::Disabled));
    }

    #[test]
    fn only_if_cached_counts_always_the_rest_by_a_switch() {
        let pairs = [("cache-control", "only-if-cached, no-store, no-cache, max-age=0")];
        let off = get(&pairs).unwrap();
        assert_eq!(off, Terms { only_if_cached: true, ..Terms::default() });
        let on = assess_with("honor_request_directives: true", Method::GET, &pairs).unwrap();
        assert!(on.only_if_cached && on.no_store && on.demand.is_some());
        let standard = assess_with("profile: standard", Method::GET, &pairs).unwrap();
        assert_eq!(standard, on);
        let none = assess_with("honor_request_directives: true", Method::GET, &[]).unwrap();
        assert_eq!(none.demand, None);
    }

    #[test]
    fn demands_are_met() {
        assert_eq!(judge("no-cache", 1, 60, false), Verdict::Validate);
        assert_eq!(judge("max-age=10", 10, 60, false), Verdict::AsUsual);
        assert_eq!(judge("max-age=10", 11, 60, false), Verdict::Validate);
        assert_eq!(judge("min-fresh=10", 50, 60, false), Verdict::AsUsual);
        assert_eq!(judge("min-fresh=10", 51, 60, false), Verdict::Validate);
        assert_eq!(judge("max-stale", 500, 60, false), Verdict::ServeStale);
        assert_eq!(judge("max-stale=10", 70, 60, false), Verdict::ServeStale);
        assert_eq!(judge("max-stale=10", 71, 60, false), Verdict::AsUsual);
        assert_eq!(judge("max-stale=10", 50, 60, false), Verdict::AsUsual);
        assert_eq!(judge("max-stale, max-age=10", 70, 60, false), Verdict::Validate);
        assert_eq!(judge("max-age=100", 70, 60, false), Verdict::Validate, "no stale response: §5.2.1.1");
        assert_eq!(judge("max-age=100, max-stale=10", 70, 60, false), Verdict::ServeStale);
    }

    #[test]
    fn an_immutable_response_is_as_good_at_any_age() {
        let judge = |cache_control, left, staleness| {
            let terms = assess_with("profile: standard", Method::GET, &[("cache-control", cache_control)]);
            let demand = terms.unwrap().demand.unwrap().of_immutable();
            demand.judge(secs(30), secs(left), secs(staleness), false)
        };
        assert_eq!(judge("max-age=0", 30, 0), Verdict::AsUsual);
        assert_eq!(judge("no-cache", 30, 0), Verdict::Validate);
        assert_eq!(judge("max-age=0, no-cache", 30, 0), Verdict::Validate);
        assert_eq!(judge("max-age=0, min-fresh=31", 30, 0), Verdict::Validate, "it says nothing of later");
    }

    #[test]
    fn no_client_lifts_the_origins_word() {
        assert_eq!(judge("max-stale", 70, 60, true), Verdict::AsUsual);
    }

    proptest! {
        #[test]
        fn never_panics(value in any_value(), upgrade in any_value(), length in any_value()) {
            let mut map = HeaderMap::new();
            map.insert(header::CACHE_CONTROL, value.clone());
            map.insert(header::PRAGMA, value);
            map.insert(header::UPGRADE, upgrade);
            map.insert(header::CONTENT_LENGTH, length);
            let policy = CachePolicy::default();
            let _ = assess(&Request { method: &Method::GET, headers: &map, has_body: false }, &policy);
        }
    }
}
