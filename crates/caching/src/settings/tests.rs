use super::*;
use seawall_config::{Document, Short};

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
         heuristic_max: 2d, set_cookie: strip, vary_ignore: [Origin], honor_request_directives: true, max_ranges: 8, \
         key: { query: { exclude: [utm_*] }, headers: [X-A], cookies: [c] } }",
    );
    assert_eq!(all.statuses[&StatusSelector::Exact(404)], Span::secs(10));
    assert_eq!(all.statuses[&StatusSelector::Class(5)], Span::secs(1));
    assert_eq!(all.set_cookie, SetCookie::Strip);
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
        ("{ statuses: { 400: 1s } }", "cache.statuses.400: a response with status 400"),
        ("{ statuses: { 404: 36500d } }", "cache.statuses.404: longer than"),
        ("{ vary_ignore: ['a b'] }", "cache.vary_ignore[0]: `a b` cannot"),
        ("{ vary_ignore: [Cookie] }", "cache.vary_ignore[0]: ignoring `Cookie`"),
        ("{ set_cookie: store }", "cache.set_cookie: every client"),
        ("{ max_ranges: 65 }", "cache.max_ranges: more than 64"),
        ("{ key: { headers: [''] } }", "cache.key.headers[0]: `` cannot"),
    ] {
        let found = found(yaml);
        assert_eq!(found.len(), 1, "{yaml}: {found:?}");
        assert!(found[0].starts_with(at), "{yaml}: {found:?}");
    }
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
    for key in ["force_ttl", "statuses", "set_cookie", "honor_request_directives", "cookies", "sort"] {
        assert!(reference.contains(&format!("| `{key}` |")), "{key}\n{reference}");
    }
}
