use super::*;
use crate::testing::{after, any_value, at_once, before, date, headers, now, secs};
use proptest::prelude::*;

fn policy(yaml: &str) -> CachePolicy {
    CachePolicy::new(&serde_yaml::from_str(yaml).unwrap()).unwrap()
}

fn with(status: u16, pairs: &[(&str, &str)], times: Times, policy: &CachePolicy) -> Freshness {
    let headers = headers(pairs);
    let response = Response { status: StatusCode::from_u16(status).unwrap(), headers: &headers };
    Freshness::of(&response, &ResponseDirectives::effective(&headers), times, policy, true)
}

fn of(pairs: &[(&str, &str)]) -> Freshness {
    with(200, pairs, at_once(), &CachePolicy::default())
}

fn lifetime_of(pairs: &[(&str, &str)]) -> (u64, LifetimeSource) {
    let freshness = of(pairs);
    (freshness.lifetime.as_secs(), freshness.source)
}

#[test]
fn s_maxage_then_max_age_then_expires() {
    let expires = date(after(30));
    let all = [("cache-control", "max-age=20, s-maxage=10"), ("expires", expires.as_str())];
    assert_eq!(lifetime_of(&all), (10, LifetimeSource::SharedMaxAge));
    let two = [("cache-control", "max-age=20"), ("expires", expires.as_str())];
    assert_eq!(lifetime_of(&two), (20, LifetimeSource::MaxAge));
    assert_eq!(lifetime_of(&[("expires", &expires)]), (30, LifetimeSource::Expires));
    assert_eq!(lifetime_of(&[]), (0, LifetimeSource::Nothing));
}

#[test]
fn an_invalid_lifetime_is_stale_and_hides_the_next() {
    let expires = date(after(30));
    for (value, expires) in
        [("s-maxage=x, max-age=60", None), ("max-age=x", Some(expires.as_str())), ("max-age=-1", None)]
    {
        let mut pairs = vec![("cache-control", value)];
        pairs.extend(expires.map(|at| ("expires", at)));
        let freshness = with(200, &pairs, at_once(), &policy("{ min_ttl: 1h, ttl: 1h }"));
        assert_eq!(freshness.source, LifetimeSource::Invalid, "{value}");
        assert!(!freshness.is_fresh(now()), "{value}");
    }
}

#[test]
fn expires_counts_from_date() {
    let skewed = [("date", date(after(1000))), ("expires", date(after(1060)))];
    let pairs: Vec<_> = skewed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(lifetime_of(&pairs), (60, LifetimeSource::Expires));
    let past = [("date", date(now())), ("expires", date(before(60)))];
    let pairs: Vec<_> = past.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(lifetime_of(&pairs), (0, LifetimeSource::Expires));
}

#[test]
fn bad_expires_is_stale() {
    for bad in ["0", "-1", "", "never", "Thu, 01 Dec 2050 16:00:00 UTC", "2050-12-01T16:00:00Z"] {
        assert_eq!(lifetime_of(&[("expires", bad)]), (0, LifetimeSource::Invalid), "{bad}");
    }
    let (near, far) = (date(after(10)), date(after(3600)));
    assert_eq!(lifetime_of(&[("expires", &far), ("expires", "0")]).1, LifetimeSource::Invalid);
    assert_eq!(lifetime_of(&[("expires", &far), ("expires", &near)]), (10, LifetimeSource::Expires));
}

#[test]
fn a_bad_date_counts_as_the_time_of_receipt() {
    let expires = date(after(60));
    let freshness = of(&[("date", "yesterday"), ("expires", &expires)]);
    assert_eq!((freshness.lifetime, freshness.initial_age), (secs(60), secs(0)));
}

#[test]
fn expires_means_nothing_beside_a_targeted_field() {
    let expires = date(after(60));
    let pairs = [("expires", expires.as_str()), ("cdn-cache-control", "public")];
    assert_eq!(lifetime_of(&pairs), (0, LifetimeSource::Nothing));
}

#[test]
fn no_cache_is_never_fresh() {
    let freshness = with(
        200,
        &[("cache-control", "no-cache, max-age=60")],
        at_once(),
        &policy("{ force_ttl: 1h, min_ttl: 1h }"),
    );
    assert_eq!(freshness.source, LifetimeSource::NoCache);
    assert_eq!(freshness.fresh_until(), SystemTime::UNIX_EPOCH);
    assert!(!freshness.is_fresh(before(1_000_000)));
}

#[test]
fn a_tenth_of_the_unchanged_time_is_guessed() {
    let modified = date(before(1000));
    assert_eq!(lifetime_of(&[("last-modified", &modified)]), (100, LifetimeSource::Heuristic));
    let old = date(before(1_000_000_000));
    assert_eq!(lifetime_of(&[("last-modified", &old)]), (86_400, LifetimeSource::Heuristic));
    let future = date(after(1000));
    assert_eq!(lifetime_of(&[("last-modified", &future)]), (0, LifetimeSource::Nothing));
    assert_eq!(lifetime_of(&[("last-modified", "recently")]), (0, LifetimeSource::Nothing));
}

#[test]
fn nothing_is_guessed_against_the_rules() {
    let modified = date(before(1000));
    let guessed = |status, cache_control: &str, yaml: &str| {
        let pairs = [("last-modified", modified.as_str()), ("cache-control", cache_control)];
        with(status, &pairs, at_once(), &policy(yaml)).source == LifetimeSource::Heuristic
    };
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert!(guessed(status, "", "{}"), "{status}");
    }
    for status in [201, 202, 302, 303, 307, 403, 418, 500, 503, 599] {
        assert!(!guessed(status, "", "{}"), "{status}");
        assert!(guessed(status, "public", "{}"), "{status}: public allows it");
    }
    assert!(!guessed(200, "", "heuristic: false"));
    assert!(!guessed(200, "max-age=0", "{}"));
}

#[test]
fn settings_of_the_guess_count() {
    let modified = date(before(1000));
    let rule = policy("{ heuristic_percent: 50, heuristic_max: 400s }");
    assert_eq!(with(200, &[("last-modified", &modified)], at_once(), &rule).lifetime, secs(400));
}

#[test]
fn the_route_speaks_where_the_origin_is_silent() {
    let rule = policy("{ ttl: 60s, statuses: { 404: 10s, 5xx: 1s } }");
    let source = |status, pairs: &[(&str, &str)]| {
        let freshness = with(status, pairs, at_once(), &rule);
        (freshness.lifetime.as_secs(), freshness.source)
    };
    assert_eq!(source(200, &[]), (60, LifetimeSource::Route));
    assert_eq!(source(200, &[("cache-control", "max-age=5")]), (5, LifetimeSource::MaxAge));
    assert_eq!(source(404, &[]), (10, LifetimeSource::Status));
    assert_eq!(source(503, &[]), (1, LifetimeSource::Status));
    assert_eq!(source(302, &[]), (0, LifetimeSource::Nothing));
    let modified = date(before(100_000));
    assert_eq!(source(200, &[("last-modified", &modified)]), (60, LifetimeSource::Route));
}

#[test]
fn forced_and_clamped() {
    let forced = policy("force_ttl: 60s");
    let tiny = [("cache-control", "max-age=1")];
    assert_eq!(with(200, &tiny, at_once(), &forced).lifetime, secs(60));
    assert_eq!(with(500, &tiny, at_once(), &forced).lifetime, secs(1));
    let bounds = policy("{ min_ttl: 10s, max_ttl: 20s }");
    assert_eq!(with(200, &tiny, at_once(), &bounds).lifetime, secs(10));
    assert_eq!(with(500, &tiny, at_once(), &bounds).lifetime, secs(1), "errors are not kept for longer");
    assert_eq!(with(200, &[("cache-control", "max-age=99")], at_once(), &bounds).lifetime, secs(20));
    assert_eq!(with(200, &[("cache-control", "max-age=0")], at_once(), &bounds).lifetime, secs(10));
}

#[test]
fn a_routes_time_runs_from_the_arrival() {
    let freshness = with(200, &[("age", "7200")], at_once(), &policy("ttl: 60s"));
    assert_eq!(freshness.fresh_until(), after(60));
    assert_eq!(freshness.age_at(now()), secs(7200));
}

#[test]
fn age_on_arrival() {
    let age = |pairs: &[(&str, &str)]| of(pairs).initial_age.as_secs();
    assert_eq!(age(&[("age", "30")]), 30);
    assert_eq!(age(&[("date", &date(before(40)))]), 40);
    assert_eq!(age(&[("age", "30"), ("date", &date(before(40)))]), 40);
    assert_eq!(age(&[("age", "50"), ("date", &date(before(40)))]), 50);
    assert_eq!(age(&[("date", &date(after(40)))]), 0);
}

/// Values of Age and how old they make a response (RFC 9111 §5.1).
const AGES: &[(&[&str], u64)] = &[
    (&["10"], 10),
    (&[" 10\t"], 10),
    (&["007"], 7),
    (&["2147483647"], MAX_DELTA as u64 - 1),
    (&["2147483648"], MAX_DELTA as u64),
    (&["99999999999999999999"], MAX_DELTA as u64),
    // Of several the first counts.
    (&["10,20"], 10),
    (&["20, 10"], 20),
    (&["10 , x"], 10),
    (&["10", "20"], 10),
    (&["20", "0"], 20),
    // What is no number is ignored.
    (&["-10"], 0),
    (&["+10"], 0),
    (&["10.5"], 0),
    (&["1e3"], 0),
    (&["0x10"], 0),
    (&["ten"], 0),
    (&[""], 0),
    (&["\"10\""], 0),
    (&["10;a=b"], 0),
    (&["10 s"], 0),
    (&["x, 10"], 0),
    (&[",10"], 0),
    (&["x", "10"], 0),
];

#[test]
fn the_first_member_of_age_counts_and_bad_ones_are_ignored() {
    for (lines, age) in AGES {
        let pairs: Vec<(&str, &str)> = lines.iter().map(|line| ("age", *line)).collect();
        assert_eq!(of(&pairs).initial_age, secs(*age), "{lines:?}");
    }
}

#[test]
fn errors_are_kept_for_seconds_only_unless_the_route_says_otherwise() {
    let hour = [("cache-control", "max-age=3600")];
    let until = |status, pairs: &[(&str, &str)], yaml: &str| {
        with(status, pairs, at_once(), &policy(yaml)).fresh_until().duration_since(now()).unwrap().as_secs()
    };
    for status in [401, 403, 405, 429, 451, 500, 501, 503, 599] {
        assert_eq!(until(status, &hour, "{}"), 10, "{status}");
        assert_eq!(until(status, &hour, "profile: standard"), 3600, "{status}");
        assert_eq!(until(status, &hour, "{ profile: standard, max_error_ttl: 3s }"), 3, "{status}");
    }
    for status in [200, 204, 302, 404, 410] {
        assert_eq!(until(status, &hour, "{}"), 3600, "{status}");
    }
    assert_eq!(until(503, &hour, "statuses: { 503: 1h }"), 10, "what the origin says is cut");
    assert_eq!(until(503, &[], "statuses: { 503: 1h }"), 3600, "what the route says is not");
    assert_eq!(
        until(503, &[("cache-control", "max-age=3600"), ("age", "100")], "{}"),
        10,
        "from its arrival"
    );
    assert_eq!(until(503, &[("cache-control", "max-age=5")], "{}"), 5);
}

#[test]
fn the_way_to_the_origin_adds_to_age() {
    let times = Times { requested: before(5), received: now() };
    let freshness =
        with(200, &[("age", "30"), ("cache-control", "max-age=60")], times, &CachePolicy::default());
    assert_eq!(freshness.initial_age, secs(35));
    assert_eq!(freshness.fresh_until(), after(25));
    assert_eq!(freshness.epoch(), before(35));
}

#[test]
fn the_cut_off_part_of_date_is_no_age() {
    let received = now() + Duration::from_millis(900);
    let times = Times { requested: received, received };
    let freshness = with(200, &[("date", &date(now()))], times, &CachePolicy::default());
    assert_eq!(freshness.initial_age, secs(0));
}

#[test]
fn fresh_up_to_the_lifetime_and_no_longer() {
    let freshness = of(&[("cache-control", "max-age=60")]);
    assert!(freshness.is_fresh(after(59)));
    assert!(!freshness.is_fresh(after(60)));
    assert_eq!(freshness.age_at(after(59)), secs(59));
    assert_eq!(freshness.age_at(before(59)), secs(0), "a clock that goes back adds no age");
}

/// Date, Age, lifetime, delay on the way, and the age and the freshness left on arrival (RFC 9111 §4.2.3): clocks that
/// go before and after, alone and beside Age.
#[test]
fn clocks_that_differ() {
    for (date_at, age, delay, cache_control, initial, left) in [
        (Some(0i64), None, 0, "max-age=60", 0, 60),
        (Some(-30), None, 0, "max-age=60", 30, 30),
        (Some(-90), None, 0, "max-age=60", 90, 0),
        // A date ahead of us makes nothing younger than new.
        (Some(30), None, 0, "max-age=60", 0, 60),
        (Some(86_400), Some("10"), 0, "max-age=60", 10, 50),
        // The larger of the two estimates counts; the delay belongs to that of Age only.
        (Some(-5), Some("10"), 3, "max-age=60", 13, 47),
        (Some(-50), Some("10"), 3, "max-age=60", 50, 10),
        (None, None, 3, "max-age=60", 3, 57),
        (None, Some("2147483648"), 0, "max-age=2147483648", 1 << 31, 0),
        (Some(-1_600_000_000), Some("0"), 0, "s-maxage=60", 1_600_000_000, 0),
    ] {
        let at = date_at.map(|offset| {
            date(if offset < 0 { before(offset.unsigned_abs()) } else { after(offset as u64) })
        });
        let mut pairs = vec![("cache-control", cache_control)];
        pairs.extend(at.as_deref().map(|at| ("date", at)));
        pairs.extend(age.map(|age| ("age", age)));
        let times = Times { requested: before(delay), received: now() };
        let freshness = with(200, &pairs, times, &CachePolicy::default());
        assert_eq!(freshness.initial_age, secs(initial), "{date_at:?} {age:?} {delay}");
        let fresh_for = freshness.fresh_until().duration_since(now()).unwrap_or_default();
        assert_eq!(fresh_for, secs(left), "{date_at:?} {age:?} {delay}");
    }
}

/// Expires against Date, by the origin's clock alone (§4.2.1).
#[test]
fn expires_minus_date() {
    for (expires, date_at, lifetime) in [
        (60i64, Some(0i64), 60),
        (60, None, 60),
        (60, Some(120), 0),
        (0, Some(0), 0),
        (-1, Some(-61), 60),
        (86_400, Some(86_340), 60),
        (-86_400, Some(-86_460), 60),
    ] {
        let at =
            |offset: i64| date(if offset < 0 { before(offset.unsigned_abs()) } else { after(offset as u64) });
        let (expires_at, date_text) = (at(expires), date_at.map(at));
        let mut pairs = vec![("expires", expires_at.as_str())];
        pairs.extend(date_text.as_deref().map(|text| ("date", text)));
        assert_eq!(lifetime_of(&pairs), (lifetime, LifetimeSource::Expires), "{expires} {date_at:?}");
    }
    assert_eq!(lifetime_of(&[("expires", "Fri, 31 Dec 9999 23:59:59 GMT")]).0, u64::from(MAX_DELTA));
    assert_eq!(lifetime_of(&[("expires", "Thursday, 18-Aug-50 02:01:18 GMT")]).1, LifetimeSource::Expires);
    assert_eq!(lifetime_of(&[("expires", "Thu Aug 18 02:01:18 2050")]).1, LifetimeSource::Expires);
}

#[test]
fn what_arrives_stale_was_fresh_until_before() {
    let zero = of(&[("cache-control", "max-age=0")]);
    assert!(zero.fresh_until() < now() && zero.fresh_until() >= before(1));
    let overdue = of(&[("cache-control", "max-age=10"), ("age", "25")]);
    assert_eq!(overdue.fresh_until(), before(15));
}

proptest! {
    #[test]
    fn arithmetic_holds_for_any_bytes(
        age in any_value(), date in any_value(), expires in any_value(), modified in any_value(),
        cache_control in any_value(), requested in any::<u32>(), received in any::<u32>(), step in any::<u32>(),
    ) {
        let mut map = HeaderMap::new();
        map.insert(header::AGE, age);
        map.insert(header::DATE, date);
        map.insert(header::EXPIRES, expires);
        map.insert(header::LAST_MODIFIED, modified);
        map.insert(header::CACHE_CONTROL, cache_control);
        let at = |seconds: u32| SystemTime::UNIX_EPOCH + secs(u64::from(seconds));
        let times = Times { requested: at(requested), received: at(received) };
        let response = Response { status: StatusCode::OK, headers: &map };
        let freshness =
            Freshness::of(&response, &ResponseDirectives::effective(&map), times, &CachePolicy::default(), true);
        let (sooner, later) = (times.received, times.received + secs(u64::from(step)));
        prop_assert!(freshness.age_at(sooner) <= freshness.age_at(later));
        prop_assert!(freshness.is_fresh(sooner) || !freshness.is_fresh(later));
        let _ = freshness.fresh_until();
    }

    /// Age, lifetime and `fresh_until` tell one story, for all numbers.
    #[test]
    fn fresh_until_agrees_with_is_fresh(max_age in any::<u32>(), age in any::<u32>(), at in any::<u32>()) {
        let (cache_control, age) = (format!("max-age={max_age}"), age.to_string());
        let freshness = of(&[("cache-control", &cache_control), ("age", &age)]);
        let at = after(u64::from(at));
        prop_assert_eq!(freshness.is_fresh(at), freshness.fresh_until() > at);
    }

    /// One more word about the lifetime never makes it longer.
    #[test]
    fn a_second_word_never_prolongs(first in any_value(), second in any_value(), near in "(max-age=[0-9]{1,11}|no-cache|,| ){0,4}") {
        let lifetime = |values: &[&http::HeaderValue]| {
            let mut map = HeaderMap::new();
            map.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("max-age=100"));
            for value in values {
                map.append(header::CACHE_CONTROL, (*value).clone());
            }
            let response = Response { status: StatusCode::OK, headers: &map };
            let directives = ResponseDirectives::cache_control(&map);
            // s-maxage is another question; it goes before max-age.
            let directives = ResponseDirectives { s_maxage: Delta::Absent, ..directives };
            Freshness::of(&response, &directives, at_once(), &CachePolicy::default(), true).lifetime
        };
        let near = http::HeaderValue::try_from(near).unwrap();
        for more in [&first, &second, &near] {
            prop_assert!(lifetime(&[more]) <= lifetime(&[]));
            prop_assert!(lifetime(&[more, &second]) <= lifetime(&[more]));
        }
    }

    #[test]
    fn an_older_response_is_never_fresh_for_longer(max_age in 0u32..1000, age in 0u32..1000, more in 0u32..1000) {
        let fresh_until = |age: u32| {
            let (cache_control, age) = (format!("max-age={max_age}"), age.to_string());
            of(&[("cache-control", &cache_control), ("age", &age)]).fresh_until()
        };
        prop_assert!(fresh_until(age + more) <= fresh_until(age));
    }
}
