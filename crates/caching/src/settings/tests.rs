use super::*;
use seawall_config::{Diagnostics, Document, Path, Short};

fn read(yaml: &str) -> RouteCacheSettings {
    serde_yaml::from_str::<Short<RouteCacheSettings>>(yaml).unwrap().0
}

fn found(yaml: &str) -> Vec<String> {
    let mut out = Diagnostics::default();
    read(yaml).check(&Path::root().key("cache"), &mut out);
    out.iter().map(|found| format!("{}: {}", found.path, found.message)).collect()
}

#[test]
fn short_forms() {
    assert!(!read("off").enabled && !read("false").enabled);
    assert_eq!(read("on"), RouteCacheSettings::default());
    assert_eq!(read("1h").ttl, Some(Span::secs(3600)));
    let error = serde_yaml::from_str::<Short<RouteCacheSettings>>("soon").unwrap_err().to_string();
    assert!(error.contains("neither `on`, `off` nor a time"), "{error}");
}

#[test]
fn the_whole_map() {
    let all = read(
        "{ enabled: true, ttl: 1h, min_ttl: 1s, max_ttl: 1d, statuses: { 404: 10s, 5xx: 1s }, \
         stale_while_revalidate: 30s, stale_if_error: 1d, heuristic: false, heuristic_percent: 20, \
         heuristic_max: 2d, set_cookie: strip, vary_ignore: [Origin], honor_request_directives: true, \
         profile: standard, max_error_ttl: 5s, bypass_when: [{ cookie: c*, equals: x }], max_variants: 9, \
         post_reuse: false, no_vary_search: false, range_requests: part, max_ranges: 2, \
         heuristic_with_cookie: true, force_store: false, \
         key: { query: { exclude: [utm_*] }, headers: [X-A], cookies: [c], ignore_cookies: [_ga*], \
         accept_encoding: [br, gzip], accept_language: [en, de-CH] } }",
    );
    assert_eq!(all.statuses[&StatusSelector::Exact(404)], Span::secs(10));
    assert_eq!(all.statuses[&StatusSelector::Class(5)], Span::secs(1));
    assert_eq!(all.set_cookie, Some(SetCookie::Strip));
    assert_eq!(all.profile, Some(Profile::Standard));
    let again = serde_yaml::from_str::<RouteCacheSettings>(&serde_yaml::to_string(&all).unwrap()).unwrap();
    assert_eq!(again, all);
}

#[test]
fn defaults_are_clean() {
    assert!(found("{}").is_empty());
    assert!(found("on").is_empty() && found("off").is_empty() && found("1h").is_empty());
}

#[test]
fn problems_are_found_where_they_are() {
    for (yaml, at) in [
        ("{ min_ttl: 2h, max_ttl: 1h }", "cache.min_ttl: `min_ttl` (2h)"),
        ("{ force_ttl: 0s }", "cache.force_ttl: a forced lifetime of zero"),
        ("{ force_ttl: 1h, ttl: 1m }", "cache.ttl: `ttl` has no effect"),
        ("{ heuristic_percent: 0 }", "cache.heuristic_percent: a share"),
        ("{ heuristic_percent: 101 }", "cache.heuristic_percent: a share"),
        ("{ ttl: 36500d }", "cache.ttl: longer than 2^31"),
        ("{ statuses: { 206: 1s } }", "cache.statuses.206: a response with status 206"),
        ("{ statuses: { 413: 1s } }", "cache.statuses.413: a response with status 413"),
        ("{ statuses: { 400: 1s } }", "cache.statuses.400: one client's odd request"),
        ("{ max_error_ttl: 36500d }", "cache.max_error_ttl: longer than"),
        ("{ force_store: true }", "cache.force_store: `force_store` needs `force_ttl`"),
        ("{ force_store: true, force_ttl: 1h }", "cache.force_store: what the origin marks `no-store`"),
        ("{ max_variants: 0 }", "cache.max_variants: with no variant"),
        ("{ max_ranges: 65 }", "cache.max_ranges: more than 64"),
        ("{ bypass_when: [{}] }", "cache.bypass_when[0]: the rule names nothing"),
        ("{ bypass_when: [{ equals: a }] }", "cache.bypass_when[0]: the rule names nothing"),
        ("{ bypass_when: [{ cookie: a, query: b }] }", "cache.bypass_when[0].query: the rule has `cookie`"),
        ("{ bypass_when: [{ cookie: 'a b' }] }", "cache.bypass_when[0].cookie: `a b` cannot"),
        ("{ bypass_when: [{ cookie: '*' }] }", "cache.bypass_when[0].cookie: `` cannot"),
        ("{ bypass_when: [{ header: 'a b' }] }", "cache.bypass_when[0].header: `a b` cannot"),
        ("{ bypass_when: [{ header: 'a*' }, { query: '*' }] }", "cache.bypass_when[1].query: `*` stands"),
        ("{ key: { ignore_cookies: ['a=b'] } }", "cache.key.ignore_cookies[0]: `a=b` cannot"),
        ("{ key: { cookies: [ab], ignore_cookies: [a*] } }", "cache.key.ignore_cookies[0]: `ab` is in"),
        ("{ key: { accept_encoding: [br, '*'] } }", "cache.key.accept_encoding[1]: `*` cannot"),
        ("{ key: { accept_encoding: [identity] } }", "cache.key.accept_encoding[0]: `identity` cannot"),
        ("{ key: { accept_encoding: [br, BR] } }", "cache.key.accept_encoding[1]: `BR` stands here twice"),
        ("{ key: { accept_language: ['en;q=1'] } }", "cache.key.accept_language[0]: `en;q=1` cannot"),
        ("{ statuses: { 404: 36500d } }", "cache.statuses.404: longer than"),
        ("{ vary_ignore: ['a b'] }", "cache.vary_ignore[0]: `a b` cannot"),
        ("{ vary_ignore: [Cookie] }", "cache.vary_ignore[0]: ignoring `Cookie`"),
        ("{ set_cookie: store }", "cache.set_cookie: every client"),
        ("{ key: { headers: [''] } }", "cache.key.headers[0]: `` cannot"),
    ] {
        let found = found(yaml);
        assert_eq!(found.len(), 1, "{yaml}: {found:?}");
        assert!(found[0].starts_with(at), "{yaml}: {found:?}");
    }
}

#[test]
fn a_list_of_rules_is_bounded() {
    let rules = |n: usize| format!("{{ bypass_when: [{}] }}", vec!["{ cookie: a }"; n].join(", "));
    assert!(found(&rules(32)).is_empty());
    assert_eq!(found(&rules(33)).len(), 1);
}

#[test]
fn a_profile_gives_way_to_what_is_said() {
    let resolved = |yaml: &str| {
        let settings = read(yaml);
        settings.profile.unwrap_or_default().resolve(&settings)
    };
    let (safe, standard) = (resolved("{}"), resolved("{ profile: standard }"));
    assert_eq!(safe, resolved("{ profile: cdn-safe }"), "it is the default");
    assert_eq!((safe.set_cookie, standard.set_cookie), (SetCookie::Bypass, SetCookie::Store));
    assert_eq!((safe.max_error_ttl, standard.max_error_ttl), (Some(Span::secs(10)), None));
    for (safe, standard) in [
        (safe.honor_request_directives, standard.honor_request_directives),
        (safe.heuristic_with_cookie, standard.heuristic_with_cookie),
        (safe.bad_request, standard.bad_request),
    ] {
        assert!(!safe && standard);
    }
    let said = "set_cookie: strip, honor_request_directives: false, heuristic_with_cookie: false, \
                max_error_ttl: 1s";
    let (one, other) =
        (resolved(&format!("{{ profile: standard, {said} }}")), resolved(&format!("{{ {said} }}")));
    assert!(
        one == Resolved { bad_request: true, preferred_language: true, ..other }
            && one.max_error_ttl == Some(Span::secs(1))
    );
}

#[test]
fn statuses_are_read_strictly() {
    for bad in ["99", "100", "600", "4x4", "xxx", "1xx", "0404", "404.0", ""] {
        assert!(bad.parse::<StatusSelector>().is_err(), "{bad}");
    }
    assert_eq!("4XX".parse(), Ok(StatusSelector::Class(4)));
}

#[test]
fn a_slip_is_located_in_the_file() {
    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Root {
        cache: Short<RouteCacheSettings>,
    }
    let mut out = Diagnostics::default();
    let text = "cache:\n  ttl: 1h\n  statuses: { 404: 10s }\n  stale_if_eror: 1s\n";
    let mut document = Document::from_text("seawall.yaml", text, &mut out).unwrap();
    let root: Root = document.decode(&mut out).unwrap();
    let rendered = out.render(&document);
    assert_eq!(root.cache.ttl, Some(Span::secs(3600)));
    assert_eq!(root.cache.statuses.len(), 1);
    assert!(rendered.contains("seawall.yaml:4:3"), "{rendered}");
    assert!(rendered.contains("did you mean `stale_if_error`?"), "{rendered}");
}

#[test]
fn the_schema_knows_every_key() {
    let schema = seawall_config::strict_schema::<RouteCacheSettings>();
    let reference = seawall_config::markdown_reference(&schema);
    for key in
        ["force_ttl", "statuses", "set_cookie", "honor_request_directives", "cookies", "sort", "profile"]
    {
        assert!(reference.contains(&format!("| `{key}` |")), "{key}\n{reference}");
    }
}
