use super::*;
use crate::testing::{after, any_value, at_once, before, date, headers, secs};
use http::{HeaderMap, Method};
use proptest::prelude::*;

struct Case<'a> {
    yaml: &'a str,
    request: &'a [(&'a str, &'a str)],
    status: u16,
    response: &'a [(&'a str, &'a str)],
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self { yaml: "{}", request: &[], status: 200, response: &[("cache-control", "max-age=60")] }
    }
}

impl Case<'_> {
    fn decide(&self) -> Result<Admission, NotStored> {
        let policy = CachePolicy::new(&serde_yaml::from_str(self.yaml).unwrap()).unwrap();
        decide(
            &Request { method: &Method::GET, headers: &headers(self.request), has_body: false },
            &Response {
                status: StatusCode::from_u16(self.status).unwrap(),
                headers: &headers(self.response),
            },
            at_once(),
            &policy,
        )
    }
}

fn response(response: &[(&str, &str)]) -> Result<Admission, NotStored> {
    Case { response, ..Case::default() }.decide()
}

fn cache_control(value: &str) -> Result<Admission, NotStored> {
    response(&[("cache-control", value)])
}

#[test]
fn a_plain_fresh_response_is_stored() {
    let stored = cache_control("max-age=60").unwrap();
    assert_eq!(stored.freshness.fresh_until(), after(60));
    assert!(stored.vary.is_empty() && stored.remove.is_empty() && stored.stale.is_closed());
}

#[test]
fn what_the_origin_forbids_is_not_stored() {
    assert_eq!(cache_control("max-age=60, no-store"), Err(NotStored::NoStore));
    assert_eq!(cache_control("max-age=60, private"), Err(NotStored::Private));
    assert_eq!(cache_control("max-age=60, private=\"\""), Err(NotStored::Private));
    assert_eq!(cache_control("x=\"y, max-age=60"), Err(NotStored::Malformed));
}

#[test]
fn what_the_origin_forbids_no_setting_allows() {
    let yaml = "{ ttl: 1h, min_ttl: 1h, statuses: { 200: 1h }, set_cookie: store }";
    for (value, reason) in [("no-store", NotStored::NoStore), ("private", NotStored::Private)] {
        let case = Case { yaml, response: &[("cache-control", value)], ..Case::default() };
        assert_eq!(case.decide(), Err(reason));
    }
    let case = Case { yaml: "force_ttl: 1h", response: &[("cache-control", "no-store")], ..Case::default() };
    assert_eq!(case.decide(), Err(NotStored::NoStore));
}

#[test]
fn a_targeted_field_decides_alone() {
    let pairs = [("cache-control", "no-store"), ("cdn-cache-control", "max-age=60")];
    assert!(response(&pairs).is_ok());
    let pairs = [("cache-control", "max-age=60"), ("cdn-cache-control", "no-store")];
    assert_eq!(response(&pairs), Err(NotStored::NoStore));
}

#[test]
fn must_understand_lifts_no_store_for_known_statuses_only() {
    let pairs = [("cache-control", "must-understand, no-store, max-age=60")];
    assert!(response(&pairs).is_ok());
    let unknown = Case { status: 299, response: &pairs, ..Case::default() };
    assert_eq!(unknown.decide(), Err(NotStored::NotUnderstood));
    assert!(Case { status: 299, ..Case::default() }.decide().is_ok(), "without must-understand it is stored");
}

#[test]
fn partial_interim_and_request_statuses_are_never_stored() {
    for status in NEVER_STORED.into_iter().chain([100, 103, 400]) {
        let case = Case { status, yaml: "statuses: { 4xx: 1h }", ..Case::default() };
        assert_eq!(case.decide(), Err(NotStored::Status), "{status}");
    }
    for yaml in ["profile: standard", "statuses: { 400: 1s }"] {
        assert!(Case { status: 400, yaml, ..Case::default() }.decide().is_ok(), "{yaml}");
        for status in NEVER_STORED {
            assert!(Case { status, yaml, ..Case::default() }.decide().is_err(), "{yaml} {status}");
        }
    }
}

#[test]
fn no_lifetime_is_guessed_for_a_request_with_a_cookie() {
    let modified = date(before(1000));
    let response = [("last-modified", modified.as_str())];
    let fresh = |yaml, request: &[(&str, &str)]| {
        Case { yaml, request, response: &response, ..Case::default() }
            .decide()
            .unwrap()
            .freshness
            .is_fresh(after(1))
    };
    let cookie = [("cookie", "id=1")];
    assert!(fresh("{}", &[]) && !fresh("{}", &cookie));
    assert!(fresh("profile: standard", &cookie) && fresh("heuristic_with_cookie: true", &cookie));
    let explicit = Case { request: &cookie, ..Case::default() };
    assert!(explicit.decide().unwrap().freshness.is_fresh(after(59)), "what the origin says counts");
}

#[test]
fn an_error_is_not_served_stale_for_longer_than_it_is_kept() {
    let value = "max-age=60, stale-while-revalidate=600, stale-if-error=600";
    let windows = |status, yaml| {
        let case = Case { status, yaml, response: &[("cache-control", value)], ..Case::default() };
        case.decide().unwrap().stale
    };
    assert_eq!(windows(503, "{}").while_revalidate_secs(), 10);
    assert_eq!(windows(503, "stale_if_disconnected: 1h").in_place_of_failure_secs(), 10);
    assert_eq!(windows(503, "profile: standard").while_revalidate_secs(), 600);
    assert_eq!(windows(404, "{}").while_revalidate_secs(), 600);
}

#[test]
fn force_store_lifts_no_store_and_no_cache_and_nothing_else() {
    let decide = |status, request: &[(&str, &str)], response: &[(&str, &str)]| {
        let yaml = "{ force_store: true, force_ttl: 60s, stale_if_error: 1h }";
        Case { yaml, status, request, response }.decide()
    };
    for value in ["no-store", "no-cache", "no-store, no-cache, max-age=0"] {
        let stored = decide(200, &[], &[("cache-control", value)]).unwrap();
        assert_eq!(stored.freshness.fresh_until(), after(60), "{value}");
    }
    let habit = "no-store, no-cache, must-revalidate";
    assert!(decide(200, &[], &[("cache-control", habit)]).unwrap().stale.is_closed());
    assert_eq!(decide(200, &[], &[("cache-control", "no-store, private")]), Err(NotStored::Private));
    assert_eq!(
        decide(200, &[("authorization", "a")], &[("cache-control", "no-store")]),
        Err(NotStored::Authorization)
    );
    assert_eq!(
        decide(200, &[], &[("cache-control", "no-store"), ("set-cookie", "a=b")]),
        Err(NotStored::SetCookie)
    );
    assert_eq!(decide(500, &[], &[("cache-control", "no-store")]), Err(NotStored::NoStore), "not for errors");
    let fields = decide(200, &[], &[("cache-control", "no-store, no-cache=\"x-a\"")]).unwrap();
    assert_eq!(fields.withhold, ["x-a"]);
}

#[test]
fn any_other_status_is_stored_when_it_has_a_lifetime() {
    for status in
        [200, 201, 203, 204, 299, 300, 301, 302, 307, 308, 401, 403, 404, 410, 418, 451, 500, 503, 599]
    {
        assert!(Case { status, ..Case::default() }.decide().is_ok(), "{status}");
        let bare = Case { status, response: &[("etag", "\"a\"")], ..Case::default() }.decide();
        let expected = heuristically_cacheable(StatusCode::from_u16(status).unwrap());
        assert_eq!(bare.is_ok(), expected, "{status}");
    }
}

#[test]
fn no_cache_alone_allows_no_unusual_status() {
    let decide = |status, value| {
        Case { status, response: &[("cache-control", value), ("etag", "\"a\"")], ..Case::default() }.decide()
    };
    assert_eq!(decide(500, "no-cache"), Err(NotStored::NothingAllows));
    assert!(decide(500, "no-cache, max-age=60").is_ok());
    assert!(decide(200, "no-cache").is_ok());
}

#[test]
fn a_status_with_a_setting_is_stored() {
    let case = Case { status: 503, yaml: "statuses: { 5xx: 2s }", response: &[], ..Case::default() };
    assert_eq!(case.decide().unwrap().freshness.lifetime, secs(2));
    assert_eq!(
        Case { status: 503, response: &[], ..Case::default() }.decide(),
        Err(NotStored::NothingAllows)
    );
}

#[test]
fn authorization_needs_consent() {
    for (value, stored) in [
        ("max-age=60", false),
        ("max-age=60, public", true),
        ("max-age=60, must-revalidate", true),
        ("s-maxage=60", true),
        ("s-maxage=x", false),
        ("max-age=60, proxy-revalidate", false),
        ("max-age=60, public=no", false),
    ] {
        let case = Case {
            request: &[("authorization", "Basic eA==")],
            response: &[("cache-control", value)],
            yaml: "ttl: 1h",
            ..Case::default()
        };
        assert_eq!(case.decide().is_ok(), stored, "{value}");
        assert_eq!(case.decide().err(), (!stored).then_some(NotStored::Authorization), "{value}");
    }
}

#[test]
fn three_ways_with_a_cookie() {
    let pairs = [("cache-control", "max-age=60"), ("set-cookie", "id=1")];
    let decide = |yaml| Case { yaml, response: &pairs, ..Case::default() }.decide();
    assert_eq!(decide("{}"), Err(NotStored::SetCookie));
    assert_eq!(decide("set_cookie: strip").unwrap().remove, [header::SET_COOKIE]);
    assert!(decide("set_cookie: store").unwrap().remove.is_empty());
}

#[test]
fn a_cookie_that_the_origin_calls_private_is_withheld() {
    for directive in ["private", "no-cache"] {
        let value = format!("max-age=60, {directive}=\"Set-Cookie\"");
        let pairs = [("cache-control", value.as_str()), ("set-cookie", "id=1")];
        let stored = response(&pairs).unwrap();
        assert_eq!((stored.remove.len(), stored.withhold), (0, vec![header::SET_COOKIE]));
        let stripped =
            Case { yaml: "set_cookie: strip", response: &pairs, ..Case::default() }.decide().unwrap();
        assert_eq!(stripped.remove, [header::SET_COOKIE], "the route wants no cookies at all");
    }
}

#[test]
fn named_and_hop_by_hop_fields_are_left_out() {
    let stored = response(&[
        ("cache-control", "max-age=60, private=\"x-a, x-b\", no-cache=\"x-b, x-c\""),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
    ])
    .unwrap();
    let mut names: Vec<_> = stored.remove.iter().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["connection", "transfer-encoding", "x-hop"]);
    assert_eq!(stored.withhold, ["x-a", "x-b", "x-c"]);
    assert!(stored.freshness.is_fresh(after(1)));
    let nothing_to_ask_with = [("cache-control", "max-age=0, no-cache=\"etag\""), ("etag", "\"a\"")];
    assert_eq!(response(&nothing_to_ask_with), Err(NotStored::Useless));
}

#[test]
fn vary() {
    let vary = |value, yaml| {
        let pairs = [("cache-control", "max-age=60"), ("vary", value)];
        Case { yaml, response: &pairs, ..Case::default() }.decide()
    };
    assert_eq!(vary("*", "{}"), Err(NotStored::VaryAny));
    assert_eq!(vary("accept, *", "{}"), Err(NotStored::VaryAny));
    assert_eq!(vary("Origin, Accept", "{}").unwrap().vary, [header::ACCEPT, header::ORIGIN]);
    assert_eq!(vary("Origin, Accept", "vary_ignore: [origin]").unwrap().vary, [header::ACCEPT]);
    let wide: Vec<String> = (0..=crate::vary::MAX_FIELDS).map(|n| format!("x-{n}")).collect();
    assert_eq!(vary(&wide.join(","), "{}"), Err(NotStored::VaryTooWide));
}

#[test]
fn what_can_never_be_used_is_not_stored() {
    assert_eq!(response(&[]), Err(NotStored::Useless));
    assert_eq!(cache_control("max-age=0"), Err(NotStored::Useless));
    assert_eq!(cache_control("no-cache"), Err(NotStored::Useless));
    assert_eq!(response(&[("cache-control", "max-age=10"), ("age", "10")]), Err(NotStored::Useless));
    assert!(response(&[("cache-control", "no-cache"), ("etag", "\"a\"")]).is_ok());
    assert!(response(&[("cache-control", "max-age=0"), ("last-modified", &date(before(9)))]).is_ok());
    assert!(cache_control("max-age=0, stale-while-revalidate=10").is_ok());
}

#[test]
fn a_request_past_the_store_stores_nothing() {
    let post = decide(
        &Request { method: &Method::POST, headers: &HeaderMap::new(), has_body: true },
        &Response { status: StatusCode::OK, headers: &headers(&[("cache-control", "max-age=60")]) },
        at_once(),
        &CachePolicy::default(),
    );
    assert_eq!(post, Err(NotStored::Bypassed(BypassReason::Method)));
    let request = &[("cache-control", "no-store")][..];
    assert!(Case { request, ..Case::default() }.decide().is_ok());
    let heeding = Case { request, yaml: "honor_request_directives: true", ..Case::default() };
    assert_eq!(heeding.decide(), Err(NotStored::RequestNoStore));
}

#[test]
fn what_a_client_can_bring_about_is_not_remembered() {
    let reason = |request: &[(&str, &str)], response: &[(&str, &str)]| {
        let yaml = "honor_request_directives: true";
        Case { yaml, request, response, ..Case::default() }.decide().unwrap_err().as_str()
    };
    let fresh = [("cache-control", "max-age=60")];
    assert!(speaks_of_the_request(reason(&[("authorization", "x")], &fresh)));
    assert!(speaks_of_the_request(reason(&[("cache-control", "no-store")], &fresh)));
    assert!(speaks_of_the_request(NotStored::Status.as_str()));
    assert!(!speaks_of_the_request(reason(&[], &[("cache-control", "private")])));
    assert!(!speaks_of_the_request(reason(&[], &[("set-cookie", "a=b"), fresh[0]])));
}

#[test]
fn reasons_are_tokens_for_labels() {
    for reason in [NotStored::Bypassed(BypassReason::Body), NotStored::Useless, NotStored::VaryAny] {
        assert!(crate::syntax::is_token(reason.as_str().as_bytes()));
    }
}

proptest! {
    #[test]
    fn any_bytes_get_a_decision(
        status in 100u16..600,
        names in prop::collection::vec(
            prop_oneof![
                Just("cache-control"), Just("cdn-cache-control"), Just("expires"), Just("date"), Just("age"),
                Just("vary"), Just("etag"), Just("connection"), Just("set-cookie"), Just("last-modified"),
            ],
            0..6,
        ),
        values in prop::collection::vec(any_value(), 6),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in names.into_iter().zip(values) {
            map.append(name, value);
        }
        let decision = decide(
            &Request { method: &Method::GET, headers: &HeaderMap::new(), has_body: false },
            &Response { status: StatusCode::from_u16(status).unwrap(), headers: &map },
            at_once(),
            &CachePolicy::default(),
        );
        if decision.is_ok() {
            prop_assert!(!NEVER_STORED.contains(&status) && status >= 200);
            prop_assert!(!map.contains_key("set-cookie") || decision.unwrap().withhold.contains(&header::SET_COOKIE));
        }
    }

    /// No addition to Cache-Control makes a `no-store` or `private` response storable, save must-understand.
    #[test]
    fn no_addition_lifts_a_ban(value in any_value(), private in any::<bool>()) {
        let mut map = headers(&[("cache-control", if private { "private" } else { "no-store" })]);
        map.append(header::CACHE_CONTROL, value.clone());
        prop_assume!(!value.as_bytes().to_ascii_lowercase().windows(15).any(|w| w == b"must-understand"));
        let decision = decide(
            &Request { method: &Method::GET, headers: &HeaderMap::new(), has_body: false },
            &Response { status: StatusCode::OK, headers: &map },
            at_once(),
            &CachePolicy::default(),
        );
        prop_assert!(decision.is_err());
    }
}
