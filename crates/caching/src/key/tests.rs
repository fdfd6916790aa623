use super::*;
use crate::testing::headers;
use proptest::prelude::*;
use seawall_config::{Diagnostics, Path};

pub(super) fn policy(yaml: &str) -> KeyPolicy {
    let settings: KeySettings = serde_yaml::from_str(yaml).unwrap();
    KeyPolicy::new(&settings).unwrap()
}

fn target(yaml: &str, from: &str) -> String {
    String::from_utf8(policy(yaml).target(from.as_bytes()).into_owned()).unwrap()
}

fn selectors(yaml: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    policy(yaml).frame_selectors(&headers(pairs), &mut out);
    out
}

#[test]
fn scheme_and_host_fold_and_default_ports_vanish() {
    let plain = frame("https", "example.com", b"/a");
    for (scheme, authority) in [
        ("HTTPS", "EXAMPLE.com"),
        ("https", "example.com:443"),
        ("https", "example.com:"),
        ("Https", "Example.Com:443"),
    ] {
        assert_eq!(frame(scheme, authority, b"/a"), plain, "{scheme} {authority}");
    }
    assert_eq!(frame("http", "[::1]:80", b"/"), frame("http", "[::1]", b"/"));
}

#[test]
fn what_differs_stays_different() {
    let plain = frame("https", "example.com", b"/a");
    for (scheme, authority, target) in [
        ("http", "example.com", "/a"),
        ("https", "example.com:80", "/a"),
        ("https", "example.com:8443", "/a"),
        ("https", "example.org", "/a"),
        ("https", "example.com", "/A"),
        ("https", "example.com", "/a?"),
        ("https", "example.com", "/%61"),
        ("https", "example.com/", "a"),
        ("https", "user@example.com", "/a"),
    ] {
        assert_ne!(frame(scheme, authority, target.as_bytes()), plain, "{scheme} {authority} {target}");
    }
    assert_ne!(frame("http", "[::80]", b"/"), frame("http", "[:", b"/"));
    assert_ne!(frame("http", "A@h", b"/"), frame("http", "a@h", b"/"));
}

#[test]
fn an_empty_path_is_the_root() {
    assert_eq!(KeyPolicy::default().key("http", "h", b"").primary, frame("http", "h", b"/"));
}

#[test]
fn without_rules_the_target_is_untouched() {
    for path in ["/", "/a?b=1&&c", "/a?", "/?b&a", "/x?y?z"] {
        assert_eq!(target("{}", path), path);
    }
}

#[test]
fn excluded_parameters_are_not_forwarded() {
    let rule = "query: { exclude: [utm_*, gclid] }";
    assert_eq!(target(rule, "/a?utm_source=x&b=1&gclid=2&utm_=3"), "/a?b=1");
    assert_eq!(target(rule, "/a?utm_source=x"), "/a");
    assert_eq!(target(rule, "/a?gclids=1&xutm_a=2"), "/a?gclids=1&xutm_a=2");
    assert_eq!(target(rule, "/a?%75tm_source=1"), "/a?%75tm_source=1");
}

#[test]
fn included_parameters_alone_are_forwarded() {
    let rule = "query: { include: [page, f_*] }";
    assert_eq!(target(rule, "/a?x=1&page=2&f_a=3&pages=4&page"), "/a?page=2&f_a=3&page");
    assert_eq!(target("query: { include: [] }", "/a?x=1&page=2"), "/a");
}

#[test]
fn sorting_keeps_the_order_of_one_name() {
    assert_eq!(target("query: { sort: true }", "/?b=2&a=9&b=1&a=3&&c"), "/?a=9&a=3&b=2&b=1&c");
    assert_eq!(target("query: { sort: true, exclude: [b] }", "/?b=2&c=1&a=3"), "/?a=3&c=1");
}

#[test]
fn keyed_headers_tell_responses_apart() {
    let rule = "headers: [X-Country, x-tier]";
    let base = selectors(rule, &[("x-country", "de")]);
    assert_eq!(selectors(rule, &[("X-COUNTRY", " de "), ("other", "1")]), base);
    for other in [
        &[("x-country", "fr")][..],
        &[],
        &[("x-tier", "de")],
        &[("x-country", "")],
        &[("x-country", "de"), ("x-country", "")],
        &[("x-country", "de"), ("x-tier", "")],
    ] {
        assert_ne!(selectors(rule, other), base, "{other:?}");
    }
}

#[test]
fn a_value_cannot_pass_for_the_next_name() {
    let rule = "headers: [x-a, x-b]";
    assert_ne!(selectors(rule, &[("x-a", "x-b")]), selectors(rule, &[("x-b", "x-b")]));
}

#[test]
fn keyed_cookies_tell_responses_apart() {
    let rule = "cookies: [lang]";
    let base = selectors(rule, &[("cookie", "lang=de")]);
    for same in ["id=7; lang=de", "lang = de ;id=8", "xlang=fr; lang=de"] {
        assert_eq!(selectors(rule, &[("cookie", same)]), base, "{same}");
    }
    assert_eq!(selectors(rule, &[("cookie", "id=1"), ("cookie", "lang=de")]), base);
    for other in ["", "lang=fr", "lang=", "lang", "lang=de; lang=fr", "Lang=de"] {
        assert_ne!(selectors(rule, &[("cookie", other)]), base, "{other}");
    }
}

#[test]
fn settings_are_checked() {
    let check = |yaml: &str| {
        let settings: KeySettings = serde_yaml::from_str(yaml).unwrap();
        let mut out = Diagnostics::default();
        settings.check(&Path::root(), &mut out);
        out.iter().map(|found| format!("{}: {}", found.path, found.message)).collect::<Vec<_>>()
    };
    assert!(check("{ query: { exclude: [utm_*] }, headers: [X-A], cookies: [a] }").is_empty());
    assert!(check("query: { include: [] }").is_empty());
    for (yaml, at) in [
        ("query: { include: [a], exclude: [b] }", "query.exclude"),
        ("query: { exclude: ['*'] }", "query.exclude[0]"),
        ("query: { exclude: [ok, ''] }", "query.exclude[1]"),
        ("query: { include: ['a=b'] }", "query.include[0]"),
        ("query: { include: ['a*b'] }", "query.include[0]"),
        ("headers: ['a b']", "headers[0]"),
        ("cookies: ['a;b']", "cookies[0]"),
    ] {
        let found = check(yaml);
        assert_eq!(found.len(), 1, "{yaml}: {found:?}");
        assert!(found[0].starts_with(&format!("{at}: ")), "{yaml}: {found:?}");
    }
    let many = format!("cookies: [{}]", vec!["a"; MAX_COOKIES + 1].join(", "));
    assert_eq!(check(&many).len(), 1);
}

const MAX_COOKIES: usize = 32;

fn part() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9:@/?&=._-]{0,12}"
}

fn rules() -> impl Strategy<Value = KeyPolicy> {
    prop_oneof![
        Just("{}"),
        Just("query: { sort: true }"),
        Just("query: { exclude: [a, b*] }"),
        Just("query: { include: [a, b*], sort: true }"),
        Just("query: { include: [] }"),
    ]
    .prop_map(policy)
}

proptest! {
    #[test]
    fn different_targets_have_different_keys(
        a in (part(), part(), part()), b in (part(), part(), part())
    ) {
        let folded = |(scheme, authority, target): &(String, String, String)| {
            let scheme = scheme.to_ascii_lowercase();
            let authority = without_default_port(&scheme, authority);
            let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(u, h)| (u, h));
            let with_user = authority.contains('@');
            (scheme.clone(), with_user, user.to_owned(), host.to_ascii_lowercase(), target.clone())
        };
        let key = |(scheme, authority, target): &(String, String, String)| {
            frame(scheme, authority, target.as_bytes())
        };
        prop_assert_eq!(key(&a) == key(&b), folded(&a) == folded(&b));
    }

    #[test]
    fn the_same_key_is_the_same_forwarded_target(
        rules in rules(), a in "/[a-c=&?]{0,10}", b in "/[a-c=&?]{0,10}"
    ) {
        let (a, b) = (rules.key("http", "h", a.as_bytes()), rules.key("http", "h", b.as_bytes()));
        prop_assert_eq!(a.primary == b.primary, a.target == b.target);
    }

    #[test]
    fn a_forwarded_target_is_its_own_forwarded_target(rules in rules(), from in "/[a-c=&?]{0,12}") {
        let once = rules.target(from.as_bytes()).into_owned();
        let twice = rules.target(&once).into_owned();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn keys_never_panic(
        scheme in "\\PC{0,8}", authority in "\\PC{0,16}", target in prop::collection::vec(any::<u8>(), 0..40),
        rules in rules(),
    ) {
        let _ = rules.key(&scheme, &authority, &target);
    }
}
