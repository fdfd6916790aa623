//! What each fuzz target does with its bytes. The corpus is replayed through the same functions by a plain test
//! (`crates/caching/tests/corpus.rs`), so nothing here needs a fuzzer.
//!
//! A target that takes several values gets them as lines. Each checks more than that nothing panics: the laws that its
//! functions promise.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use seawall_caching::directives::{RequestDirectives, ResponseDirectives};
use seawall_caching::invalidation::{self, Origin};
use seawall_caching::key::{KeyPolicy, KeySettings, QuerySettings};
use seawall_caching::no_vary_search::{NO_VARY_SEARCH, SearchRule, SearchRules};
use seawall_caching::partial::{self, Asked, ContentRange};
use seawall_caching::range::{self, Selection};
use seawall_caching::vary::{Selection as Variant, variance_key};
use seawall_caching::{
    CachePolicy, Request, Response, RouteCacheSettings, Times, Vary, http_date, storability, validation,
};

#[path = "../../crates/proxy/src/cdn_loop.rs"]
mod cdn_loop_field;

use cdn_loop_field::{CDN_LOOP, CdnLoop};

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their binaries and corpus folders.
pub const TARGETS: [Target; 11] = [
    ("cache_control", cache_control),
    ("cdn_loop", cdn_loop),
    ("dates", dates),
    ("key_query", key_query),
    ("no_vary_search", no_vary_search),
    ("partial", partial),
    ("preconditions", preconditions),
    ("range", range),
    ("references", references),
    ("targeted", targeted),
    ("vary", vary),
];

/// 2023-11-14 22:13:20 GMT.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n')
}

/// The lines as fields, in the order of `names`; further lines are more of the last one. What cannot stand in a field
/// is left out.
fn fields(data: &[u8], names: &[HeaderName]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (index, line) in lines(data).take(64).enumerate() {
        let name = names.get(index).or(names.last());
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(line)) {
            map.append(name, value);
        }
    }
    map
}

/// One line of Cache-Control after the other.
pub fn cache_control(data: &[u8]) {
    let mut map = fields(data, &[header::CACHE_CONTROL]);
    let before = ResponseDirectives::cache_control(&map);
    let request = RequestDirectives::parse(&map);
    map.append(header::CACHE_CONTROL, HeaderValue::from_static("max-age=7, no-cache"));
    let after = ResponseDirectives::cache_control(&map);
    assert_eq!(after.no_store, before.no_store, "an addition neither lifts nor makes a ban");
    assert!(after.no_cache.is_all() && RequestDirectives::parse(&map).no_cache);
    assert_eq!(after.private, before.private);
    assert!(after.max_age.seconds().is_none_or(|seconds| seconds <= 7), "the smallest number counts");
    assert_eq!(
        after.max_age.seconds().is_none(),
        before.max_age.is_present() && before.max_age.seconds().is_none()
    );
    assert!(!request.no_store || before.no_store, "both directions know no-store");
}

/// One line of CDN-Loop after the other.
pub fn cdn_loop(data: &[u8]) {
    let own = CdnLoop::new("edge-1");
    let mut map = fields(data, &[CDN_LOOP]);
    let passed = own.has_passed(&map);
    let named =
        |line: &HeaderValue| line.as_bytes().to_ascii_lowercase().windows(6).any(|at| at == b"edge-1");
    assert!(!passed || map.get_all(CDN_LOOP).iter().any(named), "nobody is refused for another's name");
    // However a line before it is spoilt, our own entry counts on its line.
    map.append(CDN_LOOP, HeaderValue::from_static("other;a=\"b, c\""));
    assert_eq!(own.has_passed(&map), passed);
    map.append(CDN_LOOP, own.name().clone());
    assert!(own.has_passed(&map));
}

/// The fields that decide about storing, then the decision itself.
pub fn targeted(data: &[u8]) {
    let names = [
        HeaderName::from_static("seawall-cdn-cache-control"),
        HeaderName::from_static("cdn-cache-control"),
        HeaderName::from_static("surrogate-control"),
        header::CACHE_CONTROL,
        header::EXPIRES,
        header::AGE,
        header::DATE,
        header::LAST_MODIFIED,
        header::SET_COOKIE,
    ];
    let map = fields(data, &names);
    let times = Times { requested: now(), received: now() };
    let policy = CachePolicy::default();
    let request = Request { method: &Method::GET, headers: &HeaderMap::new(), has_body: false };
    let response = Response { status: StatusCode::OK, headers: &map };
    let directives = ResponseDirectives::effective(&map);
    match storability::decide(&request, &response, times, &policy) {
        Ok(stored) => {
            assert!(!directives.no_store || directives.must_understand);
            assert!(!directives.private.is_all() && !directives.malformed);
            let until = stored.freshness.fresh_until();
            assert!(until <= now() + Duration::from_secs(1 << 31), "nothing is fresh for longer than 2^31 s");
            assert_eq!(stored.freshness.is_fresh(now()), until > now());
            assert!(!stored.freshness.is_fresh(now()) || !directives.no_cache.is_all());
            assert!(
                stored.freshness.age_at(now()) <= stored.freshness.age_at(now() + Duration::from_secs(9))
            );
        }
        Err(reason) => assert!(!reason.as_str().is_empty()),
    }
}

/// A length in one byte, then a Range field.
pub fn range(data: &[u8]) {
    let Some((length, field)) = data.split_first() else { return };
    // Small and huge, where the arithmetic is.
    let complete = if *length < 250 { usize::from(*length) } else { usize::MAX - usize::from(*length - 250) };
    let parts = match range::resolve(field, complete, 16) {
        Selection::Whole => return,
        Selection::Unsatisfiable => vec![],
        Selection::Single(range) => vec![range],
        Selection::Multi(parts) => {
            assert!((2..=16).contains(&parts.len()));
            parts
        }
    };
    for (i, part) in parts.iter().enumerate() {
        assert!(part.start < part.end && part.end <= complete);
        assert!(
            parts[..i].iter().all(|other| other.end < part.start || part.end < other.start),
            "no two touch"
        );
    }
    let selection = range::resolve(field, complete, 16);
    let head = selection.head(&HeaderMap::new(), complete, "0123456789abcdef").expect("no whole");
    assert!(head.set.iter().any(|(name, _)| *name == header::CONTENT_LENGTH));
    assert_eq!(selection.clone().ascending().ascending(), selection.ascending());
}

/// A Range, then the Content-Range and the Content-Length of an answer to it.
pub fn partial(data: &[u8]) {
    let map = fields(data, &[header::RANGE, header::CONTENT_RANGE, header::CONTENT_LENGTH]);
    let written = |name: HeaderName, value: HeaderValue| HeaderMap::from_iter([(name, value)]);
    let asked = Asked::of(&map);
    if let Some(asked) = asked {
        assert_eq!(
            Asked::of(&written(header::RANGE, asked.value())),
            Some(asked),
            "one form, and it is its own"
        );
    }
    let Some(announced) = ContentRange::of(&map) else {
        assert_eq!(partial::received(&map), None);
        return;
    };
    assert_eq!(ContentRange::of(&written(header::CONTENT_RANGE, announced.value())), Some(announced));
    assert!(announced.length() > 0 && announced.complete.is_none_or(|complete| announced.last < complete));
    let Some(received) = partial::received(&map) else { return };
    assert!(received.range.first == announced.first && received.range.last <= announced.last);
    if let Some(bytes) = asked.and_then(|asked| asked.within(&received)) {
        assert!(
            received.range.first <= bytes.start
                && bytes.start < bytes.end
                && bytes.end - 1 <= received.range.last
        );
    }
}

/// A Vary, then three request fields with weights, then those of another request.
pub fn vary(data: &[u8]) {
    let names = [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, HeaderName::from_static("x-a")];
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let response = fields(parts.next().unwrap_or_default(), &[header::VARY]);
    let rest = parts.next().unwrap_or_default();
    let mut fields_named = match Vary::parse(&response, &[]) {
        Vary::Fields(names) => {
            assert!(names.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()), "sorted, each once");
            names
        }
        Vary::Any | Vary::TooWide => vec![],
    };
    fields_named.extend(names.clone());
    let key = KeyPolicy::default();
    let variant =
        |request: &HeaderMap| variance_key(request, &Variant { realm: "", key: &key, vary: &fields_named });
    let request = fields(rest, &names);
    let once = variant(&request);
    assert!(once.is_some());
    // Blanks around members and lines instead of commas mean nothing (RFC 9111 §4.1).
    let mut spaced = HeaderMap::new();
    for (name, value) in &request {
        let padded = [b" \t".as_slice(), value.as_bytes(), b" "].concat();
        spaced.append(name, HeaderValue::from_bytes(&padded).expect("blanks may stand in a field"));
    }
    assert_eq!(once, variant(&spaced));
    let settings = KeySettings {
        accept_encoding: Some(vec!["br".into(), "gzip".into()]),
        accept_language: Some(vec!["en".into(), "de".into()]),
        ignore_cookies: vec!["a*".into()],
        ..KeySettings::default()
    };
    let Ok(policy) = KeyPolicy::new(&settings) else { unreachable!("checked settings compile") };
    for change in policy.normalize(&request) {
        assert!(change.value.is_none_or(|value| value.len() < 64), "what is normal is one of few");
    }
}

/// A date.
pub fn dates(data: &[u8]) {
    let Some(at) = http_date(data, now()) else { return };
    let lower = http_date(&data.to_ascii_lowercase(), now());
    assert_eq!(lower, Some(at), "case does not matter");
    if at >= SystemTime::UNIX_EPOCH {
        let mut map = HeaderMap::new();
        seawall_caching::insert_date(&mut map, at);
        if let Some(written) = map.get(header::DATE) {
            assert_eq!(http_date(written.as_bytes(), now()), Some(at));
        }
    }
}

/// The conditions of a request, then the validators of what is stored.
pub fn preconditions(data: &[u8]) {
    let names = [
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_MATCH,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::ETAG,
        header::LAST_MODIFIED,
        header::DATE,
    ];
    let map = fields(data, &names);
    let stored = Response { status: StatusCode::OK, headers: &map };
    let outcome = |headers: &HeaderMap| {
        let request = Request { method: &Method::GET, headers, has_body: false };
        validation::evaluate(&request, &stored, now(), now())
    };
    let first = outcome(&map);
    assert_eq!(first, outcome(&map));
    assert_eq!(outcome(&HeaderMap::new()), validation::Outcome::Continue, "without conditions it is served");
    let _ = validation::range_applies(&map, &map, now());
    // What was sent as a validator comes back as a condition that holds.
    let mut own = HeaderMap::new();
    let validators = validation::Validators::of(&map);
    if let Some(tag) =
        validators.if_none_match.filter(|tag| !tag.as_bytes().contains(&b',') && !tag.is_empty())
    {
        let usual =
            tag.as_bytes().starts_with(b"\"") && tag.as_bytes().iter().filter(|b| **b == b'"').count() == 2;
        if usual && tag.as_bytes().ends_with(b"\"") {
            own.insert(header::IF_NONE_MATCH, tag);
            assert_eq!(outcome(&own), validation::Outcome::NotModified);
        }
    }
    let merged = validation::merge(&map, &map, now(), &CachePolicy::default());
    assert!(merged.contains_key(header::DATE), "every stored response has a date");
}

/// A No-Vary-Search, then three targets.
pub fn no_vary_search(data: &[u8]) {
    let mut lines = lines(data);
    let response = fields(lines.next().unwrap_or_default(), &[NO_VARY_SEARCH]);
    let rule = SearchRule::of(&response);
    let targets: Vec<&[u8]> = lines.take(3).collect();
    for a in &targets {
        assert!(rule.equivalent(a, a));
        for b in &targets {
            assert_eq!(rule.equivalent(a, b), rule.equivalent(b, a));
            assert_eq!(rule.equivalent(a, b), rule.canonical(a) == rule.canonical(b));
            assert!(!rule.is_exact() || rule.equivalent(a, b) == (a == b));
            for c in &targets {
                assert!(!(rule.equivalent(a, b) && rule.equivalent(b, c)) || rule.equivalent(a, c));
            }
        }
    }
    let mut rules = SearchRules::new(2, 1);
    let policy = KeyPolicy::default();
    for target in targets {
        rules.learn("http", "h", target, &rule);
        assert!(rules.len() <= 2);
        let learned = rules.find("http", "h", target);
        assert_eq!(learned.is_none(), rule.is_exact());
        let (exact, by_rule) = (policy.key("http", "h", target), policy.key_by("http", "h", target, learned));
        assert_eq!(exact.primary == by_rule.primary, rule.is_exact());
    }
}

/// A query rule in one byte, then two targets.
pub fn key_query(data: &[u8]) {
    let Some((rule, rest)) = data.split_first() else { return };
    let names = || vec!["a".to_owned(), "b*".to_owned()];
    let query = QuerySettings {
        include: (rule & 1 == 1).then(names),
        exclude: if rule & 3 == 2 { names() } else { vec![] },
        sort: rule & 4 == 4,
    };
    let settings = KeySettings { query, cookies: vec!["a".into()], ..KeySettings::default() };
    let Ok(policy) = KeyPolicy::new(&settings) else { unreachable!("checked settings compile") };
    let mut lines = lines(rest);
    let (a, b) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    // The proxy has normalised the path before a key is made.
    if !a.starts_with(b"/") || !b.starts_with(b"/") {
        return;
    }
    let (first, second) = (policy.key("http", "h", a), policy.key("http", "h", b));
    assert_eq!(
        first.primary == second.primary,
        first.target == second.target,
        "one key, one forwarded target"
    );
    assert_eq!(policy.target(&first.target), first.target, "what is forwarded once is forwarded as it is");
    let host = String::from_utf8_lossy(b);
    assert_eq!(policy.key("http", &host, a).primary, policy.key("HTTP", &host, a).primary);
    // Rules of a route on cookies, fields and the query read the same bytes.
    let bypass = RouteCacheSettings { bypass_when: seawall_rules(), ..RouteCacheSettings::default() };
    let Ok(bypass) = CachePolicy::new(&bypass) else { unreachable!("checked settings compile") };
    let headers = fields(b, &[header::COOKIE]);
    let _ = bypass.bypass(&headers, a);
}

fn seawall_rules() -> Vec<seawall_caching::settings::BypassRule> {
    use seawall_caching::settings::BypassRule;
    vec![
        BypassRule { cookie: Some("s*".into()), equals: Some("1".into()), ..BypassRule::default() },
        BypassRule { query: Some("q".into()), ..BypassRule::default() },
    ]
}

/// A target, then a Location and a Content-Location.
pub fn references(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let target = [b"/", parts.next().unwrap_or_default()].concat();
    let response = fields(parts.next().unwrap_or_default(), &[header::LOCATION, header::CONTENT_LOCATION]);
    let origin = Origin { scheme: "https", authority: "example.com", path_and_query: &target };
    let gone = invalidation::invalidated(&Method::POST, StatusCode::OK, &origin, &response);
    assert!((1..=3).contains(&gone.len()) && gone[0] == target);
    for (i, one) in gone.iter().enumerate() {
        assert_eq!(one.first(), Some(&b'/'), "a path on the same origin");
        assert!(!gone[..i].contains(one), "each once");
    }
    assert!(invalidation::invalidated(&Method::GET, StatusCode::OK, &origin, &response).is_empty());
}
