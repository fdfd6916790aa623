//! When a stale response may be served (RFC 9111 §4.2.4, RFC 5861).

use std::time::Duration;

use crate::MAX_DELTA;
use crate::directives::{Delta, ResponseDirectives};
use crate::policy::CachePolicy;

/// How long after the end of its lifetime a response may still be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StaleWindows {
    /// While it is fetched anew in the background (RFC 5861 §3).
    pub while_revalidate: Duration,
    /// When the origin fails (RFC 5861 §4).
    pub if_error: Duration,
    /// When the origin cannot be reached at all (RFC 9111 §4.2.4: "disconnected").
    pub if_disconnected: Duration,
    /// The origin forbids it, whatever a client would take: `no-cache`, `must-revalidate`, `proxy-revalidate` or
    /// `s-maxage` (RFC 9111 §4.2.4, §5.2.2.10).
    pub forbidden: bool,
}

impl StaleWindows {
    /// The windows of a response: the origin's where it gives them, the route's where it is silent.
    ///
    /// `no-cache`, `must-revalidate` and `proxy-revalidate` close both. `s-maxage` means `proxy-revalidate`
    /// (RFC 9111 §5.2.2.10) and so closes the route's windows, but not one that the origin opens in the same
    /// breath: that is the explicit permission of RFC 5861.
    #[must_use]
    pub fn of(directives: &ResponseDirectives, policy: &CachePolicy) -> Self {
        let forbidden = directives.forbids_max_stale();
        if directives.no_cache.is_all() || directives.forbids_stale() {
            return Self { forbidden, ..Self::default() };
        }
        let route_may = !directives.s_maxage.is_present();
        // The origin's own word about failures counts for this one too.
        let origin_silent = !directives.stale_if_error.is_present();
        Self {
            forbidden,
            if_disconnected: if route_may && origin_silent {
                policy.stale_if_disconnected
            } else {
                Duration::ZERO
            },
            while_revalidate: window(
                directives.stale_while_revalidate,
                policy.stale_while_revalidate,
                route_may,
            ),
            if_error: window(directives.stale_if_error, policy.stale_if_error, route_may),
        }
    }

    /// The same, none wider than `limit`.
    #[must_use]
    pub(crate) fn limited(self, limit: Option<Duration>) -> Self {
        let Some(limit) = limit else { return self };
        Self {
            while_revalidate: self.while_revalidate.min(limit),
            if_error: self.if_error.min(limit),
            if_disconnected: self.if_disconnected.min(limit),
            ..self
        }
    }

    /// Whether nobody foresees that it is served stale. Standing in for an origin that is gone is not foreseen.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.while_revalidate.is_zero() && self.if_error.is_zero()
    }

    /// [`Self::while_revalidate`] in whole seconds, at most 2^31.
    #[must_use]
    pub fn while_revalidate_secs(&self) -> u32 {
        whole_seconds(self.while_revalidate)
    }

    /// The wider of [`Self::if_error`] and [`Self::if_disconnected`] in whole seconds, at most 2^31.
    #[must_use]
    pub fn in_place_of_failure_secs(&self) -> u32 {
        whole_seconds(self.if_error.max(self.if_disconnected))
    }
}

fn window(said: Delta, route: Duration, route_may: bool) -> Duration {
    match said {
        Delta::Seconds(seconds) => Duration::from_secs(u64::from(seconds)),
        Delta::Invalid => Duration::ZERO,
        Delta::Absent if route_may => route,
        Delta::Absent => Duration::ZERO,
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(MAX_DELTA).min(MAX_DELTA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    fn windows(cache_control: &str) -> (u32, u32) {
        let policy = CachePolicy::new(
            &serde_yaml::from_str("{ stale_while_revalidate: 7s, stale_if_error: 8s }").unwrap(),
        )
        .unwrap();
        let directives = ResponseDirectives::effective(&headers(&[("cache-control", cache_control)]));
        let windows = StaleWindows::of(&directives, &policy);
        (windows.while_revalidate_secs(), windows.in_place_of_failure_secs())
    }

    #[test]
    fn the_origin_speaks_first() {
        assert_eq!(windows("max-age=1"), (7, 8));
        assert_eq!(windows("max-age=1, stale-while-revalidate=30"), (30, 8));
        assert_eq!(windows("max-age=1, stale-if-error=40"), (7, 40));
        assert_eq!(windows("max-age=1, stale-while-revalidate=0, stale-if-error=0"), (0, 0));
    }

    #[test]
    fn revalidation_directives_close_all_windows() {
        for forbidding in ["must-revalidate", "proxy-revalidate", "no-cache"] {
            let value = format!("max-age=1, stale-while-revalidate=30, stale-if-error=40, {forbidding}");
            assert_eq!(windows(&value), (0, 0), "{value}");
        }
        assert_eq!(windows("max-age=1, no-cache=\"x-a\", stale-if-error=40"), (7, 40));
    }

    #[test]
    fn s_maxage_closes_only_what_the_origin_does_not_open() {
        assert_eq!(windows("s-maxage=60"), (0, 0));
        assert_eq!(windows("s-maxage=60, stale-while-revalidate=30"), (30, 0));
        assert_eq!(windows("s-maxage=60, stale-if-error=30"), (0, 30));
    }

    #[test]
    fn disconnection_is_covered_by_the_route_unless_the_origin_forbids() {
        let policy = CachePolicy::new(&serde_yaml::from_str("stale_if_disconnected: 1h").unwrap()).unwrap();
        let windows = |value| {
            StaleWindows::of(&ResponseDirectives::effective(&headers(&[("cache-control", value)])), &policy)
        };
        let open = windows("max-age=1");
        assert_eq!(
            (open.if_disconnected.as_secs(), open.if_error.as_secs(), open.forbidden),
            (3600, 0, false)
        );
        assert_eq!(open.in_place_of_failure_secs(), 3600);
        assert_eq!(windows("max-age=1, stale-if-error=5").in_place_of_failure_secs(), 5);
        assert_eq!(windows("max-age=1, stale-if-error=0").in_place_of_failure_secs(), 0);
        for forbidding in ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=1"] {
            let closed = windows(forbidding);
            assert!(closed.if_disconnected.is_zero() && closed.forbidden, "{forbidding}");
        }
    }

    #[test]
    fn a_bad_number_opens_nothing() {
        assert_eq!(windows("max-age=1, stale-while-revalidate, stale-if-error=x"), (0, 0));
        assert_eq!(windows("max-age=1, stale-while-revalidate=99999999999"), (MAX_DELTA, 8));
    }

    #[test]
    fn without_settings_only_an_origin_that_is_gone_is_stood_in_for() {
        let windows = StaleWindows::of(&ResponseDirectives::default(), &CachePolicy::default());
        assert!(windows.while_revalidate.is_zero() && windows.if_error.is_zero());
        assert_eq!(windows.if_disconnected.as_secs(), 3600);
    }
}
