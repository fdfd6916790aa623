use crate::{Outcome, RouteMatch, Router, RouterBuilder, RouterError, SiteRoutes};
use http::Method;

/// A router from YAML: sites as lists of `[hosts, routes]`; payloads are the numbers.
pub(super) fn router(sites: &[(&[&str], &[&str])]) -> Router<usize, usize> {
    let mut builder = RouterBuilder::new();
    for (number, (hosts, routes)) in sites.iter().enumerate() {
        let mut site = SiteRoutes::new(number);
        site.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        for (number, route) in routes.iter().enumerate() {
            site.route(serde_yaml::from_str(route).unwrap(), number);
        }
        assert_eq!(builder.site(site), number);
    }
    builder.build().unwrap()
}

/// The outcome in short: `0` (route), `405 GET, HEAD`, `404`, `421`.
pub(super) fn short(router: &Router<usize, usize>, host: &str, method: &str, path: &str) -> String {
    match router.find(host, &method.parse().unwrap(), path) {
        Outcome::Route(found) => {
            assert_eq!((*found.site, *found.route), (found.site_index, found.route_index));
            let captures: String =
                found.captures.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("{}{captures}", found.route_index)
        }
        Outcome::MethodNotAllowed { allow, .. } => format!("405 {allow}"),
        Outcome::NoRoute { .. } => "404".to_owned(),
        Outcome::UnknownHost => "421".to_owned(),
    }
}

fn expect(routes: &[&str], cases: &[(&str, &str, &str)]) {
    let router = router(&[(&["h"], routes)]);
    for (method, path, expected) in cases {
        assert_eq!(short(&router, "h", method, path), *expected, "{method} {path}");
    }
}

#[test]
fn the_host_chooses_the_site_for_good() {
    let router = router(&[
        (&["www.example.com"], &["{exact: /a}"]),
        (&["*.example.com"], &["{path: /}"]),
        (&["*"], &["{exact: /a}", "{exact: /b}"]),
    ]);
    assert_eq!(short(&router, "www.example.com", "GET", "/a"), "0");
    assert_eq!(
        short(&router, "www.example.com", "GET", "/b"),
        "404",
        "not looked for in the wildcard's site"
    );
    assert_eq!(short(&router, "x.example.com", "GET", "/b"), "0");
    assert_eq!(short(&router, "example.org", "GET", "/b"), "1");
    assert_eq!(short(&router, "", "GET", "/b"), "1", "a request without a host has the default site");
}

#[test]
fn an_unknown_host_has_no_site() {
    let router = router(&[(&["a"], &["{path: /}"])]);
    assert_eq!(short(&router, "b", "GET", "/"), "421");
    assert_eq!(short(&router, "", "GET", "/"), "421");
}

#[test]
fn exact_then_pattern_then_regex_then_longest_prefix() {
    expect(
        &[
            "{path: /}",
            "{path: /a}",
            "{path: /a/b}",
            "{regex: '^/a/b/r'}",
            "{regex: 'r'}",
            "{pattern: '/a/b/{x}'}",
            "{exact: /a/b/c}",
        ],
        &[
            ("GET", "/", "0"),
            ("GET", "/a/x", "1"),
            ("GET", "/a/b", "2"),
            ("GET", "/a/b/c", "6"),
            ("GET", "/a/b/d", "5 x=d"),
            ("GET", "/a/b/r/x", "3"),
            ("GET", "/a/r", "4"),
            ("GET", "/a/b/c/d", "2"),
            ("GET", "/abc", "0"),
        ],
    );
}

#[test]
fn a_literal_goes_before_a_placeholder_from_the_left() {
    expect(
        &[
            "{pattern: '/{x}/b/c'}",
            "{pattern: '/a/{x}/{y}'}",
            "{pattern: '/a/{*rest}'}",
            "{pattern: '/{x}/{y}'}",
            "{pattern: '/a/{x}/z'}",
            "{pattern: '/{*all}'}",
        ],
        &[
            ("GET", "/a/b/c", "1 x=b y=c"),
            ("GET", "/a/b/z", "4 x=b"),
            ("GET", "/q/b/c", "0 x=q"),
            ("GET", "/a/b", "2 rest=b"),
            ("GET", "/q/b", "3 x=q y=b"),
            ("GET", "/a/b/c/d", "2 rest=b/c/d"),
            ("GET", "/q/b/c/d", "5 all=q/b/c/d"),
            ("GET", "/", "5 all="),
            ("GET", "//b", "5 all=/b"),
        ],
    );
}

#[test]
fn the_tree_comes_back_from_a_dead_end() {
    expect(
        &["{pattern: '/a/{x}/c/{y}/e'}", "{pattern: '/{p}/b/{q}/d/f'}", "{pattern: '/a/b/c'}"],
        &[("GET", "/a/b/c/d/f", "1 p=a q=c"), ("GET", "/a/b/c/d/e", "0 x=b y=d"), ("GET", "/a/b/c/d", "404")],
    );
}

#[test]
fn sets_that_other_routers_refuse_are_fine() {
    expect(
        &["{pattern: '/cmd/{tool}/x'}", "{pattern: '/cmd/{*rest}'}", "{pattern: '/cmd/{name}'}"],
        &[("GET", "/cmd/a/x", "0 tool=a"), ("GET", "/cmd/a/y", "1 rest=a/y"), ("GET", "/cmd/a", "2 name=a")],
    );
}

#[test]
fn a_listed_method_goes_before_none() {
    expect(
        &["{path: /}", "{path: /, methods: [POST]}", "{path: /, methods: [GET]}"],
        &[("POST", "/x", "1"), ("GET", "/x", "2"), ("HEAD", "/x", "2"), ("DELETE", "/x", "0")],
    );
}

#[test]
fn captures_are_named_by_the_route_that_won() {
    expect(
        &["{pattern: '/{id}', methods: [GET]}", "{pattern: '/{name}', methods: [POST]}"],
        &[("GET", "/7", "0 id=7"), ("POST", "/7", "1 name=7"), ("PUT", "/7", "405 GET, HEAD, POST")],
    );
}

#[test]
fn a_method_that_does_not_fit_lets_the_search_go_on() {
    expect(
        &[
            "{exact: /a/b, methods: [PUT]}",
            "{pattern: '/a/{x}', methods: [GET]}",
            "{pattern: '/{x}/{y}', methods: [POST]}",
            "{regex: '^/a', methods: [PATCH]}",
            "{path: /a, methods: [DELETE]}",
            "{path: /, methods: [OPTIONS]}",
        ],
        &[
            ("PUT", "/a/b", "0"),
            ("GET", "/a/b", "1 x=b"),
            ("POST", "/a/b", "2 x=a y=b"),
            ("PATCH", "/a/b", "3"),
            ("DELETE", "/a/b", "4"),
            ("OPTIONS", "/a/b", "5"),
            ("TRACE", "/a/b", "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
            ("GET", "/b", "405 OPTIONS"),
        ],
    );
}

#[test]
fn nothing_covers_the_path() {
    expect(
        &["{path: /a, methods: [GET]}"],
        &[("GET", "/b", "404"), ("POST", "/b", "404"), ("POST", "/a", "405 GET, HEAD")],
    );
    expect(&[], &[("GET", "/", "404")]);
    expect(&["{path: /}"], &[("OPTIONS", "*", "404")]);
}

#[test]
fn allow_is_a_field_value() {
    let router = router(&[(&["h"], &["{path: /, methods: [POST, GET]}"])]);
    let Outcome::MethodNotAllowed { allow, .. } = router.find("h", &Method::PUT, "/") else { panic!() };
    assert_eq!(allow.header_value(), "GET, HEAD, POST");
    assert_eq!(allow.methods().len(), 3);
}

#[test]
fn an_encoded_slash_is_no_boundary() {
    expect(
        &["{path: /a}", "{pattern: '/p/{x}'}", "{path: /}"],
        &[("GET", "/a%2Fb", "2"), ("GET", "/p/x%2Fy", "1 x=x%2Fy")],
    );
}

#[test]
fn regexes_capture_by_name_and_number() {
    expect(
        &["{regex: '^/(\\d+)/(?<rest>.*)$'}"],
        &[("GET", "/12/a/b", "0 1=12 rest=a/b"), ("GET", "/x", "404")],
    );
}

#[test]
fn tells_its_size_and_payloads() {
    let router = router(&[(&["a"], &["{path: /}", "{exact: /x}"]), (&["b"], &["{path: /}"])]);
    assert_eq!(router.size(), (2, 3));
    assert_eq!((router.site(1), router.route(0, 1), router.route(1, 1)), (Some(&1), Some(&1), None));
}

#[test]
fn a_bad_set_is_refused() {
    let site = |hosts: &[&str], route: RouteMatch| {
        let mut site = SiteRoutes::new(());
        site.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        site.route(route, ());
        site
    };
    let root = || RouteMatch { path: Some("/".into()), ..RouteMatch::default() };
    let build = |sites: Vec<SiteRoutes<(), ()>>| {
        let mut builder = RouterBuilder::new();
        for site in sites {
            builder.site(site);
        }
        builder.build().unwrap_err()
    };
    let twice = build(vec![site(&["a"], root()), site(&["b", "A"], root())]);
    assert_eq!(twice, RouterError::DuplicateHost { site: 1, host: "a".parse().unwrap() });
    let mut default = site(&[], root());
    default.default = true;
    assert_eq!(build(vec![site(&["*"], root()), default]), RouterError::TwoDefaults { site: 1 });
    let bad = build(vec![site(&["a"], RouteMatch::default())]);
    assert!(matches!(bad, RouterError::Route { site: 0, route: 0, .. }));
}

#[test]
fn explains_each_route_in_order() {
    let router = router(&[(
        &["*.example.com"],
        &["{path: /}", "{exact: /a, methods: [POST]}", "{path: /a}", "{pattern: '/b/{x}'}"],
    )]);
    let all = router.explain("www.example.com", &Method::GET, "/a");
    let verdicts: Vec<(Option<usize>, bool, &str)> =
        all.iter().map(|c| (c.route, c.taken, c.verdict.as_str())).collect();
    assert_eq!(
        verdicts,
        [
            (
                None,
                true,
                "no site names the host `www.example.com`; `*.example.com` is the longest wildcard over it"
            ),
            (Some(1), false, "exact `/a` covers the path, but takes only POST"),
            (Some(3), false, "pattern `/b/{x}` does not cover the path `/a`"),
            (Some(2), true, "path `/a/` covers the path: taken"),
            (Some(0), false, "path `/` covers the path, but route 2 goes before it"),
        ]
    );
}

#[test]
fn explains_the_site() {
    let router = router(&[(&["a"], &[]), (&["*"], &[])]);
    let verdict = |host: &str| router.explain(host, &Method::GET, "/")[0].verdict.clone();
    assert_eq!(verdict("a"), "the site names the host `a`");
    assert!(verdict("b").contains("default site"));
    let none = super::table::router(&[(&["a"], &[])]).explain("b", &Method::GET, "/");
    assert_eq!((none.len(), none[0].site, none[0].taken), (1, None, false));
    assert!(none[0].verdict.contains("421"));
}
