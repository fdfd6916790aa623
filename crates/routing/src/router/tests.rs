//! The precedence of the crate's documentation, case by case.

use http::Method;

use crate::{Outcome, RouteMatch, Router, RouterBuilder, SiteRoutes};

fn site(
    name: &'static str,
    hosts: &[&str],
    default: bool,
    routes: &[(&str, &str, &[&str])],
) -> SiteRoutes<&'static str, String> {
    let mut site = SiteRoutes::new(name);
    site.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    site.default = default;
    for (kind, text, methods) in routes {
        let methods: Vec<_> = methods.iter().map(|m| serde_yaml::from_str(m).unwrap()).collect();
        let one = |wanted: &str| (*kind == wanted).then_some(*text);
        let matching =
            RouteMatch::from_parts(one("exact"), one("path"), one("pattern"), one("regex"), &methods);
        site.route(matching, format!("{kind} {text} {}", methods.len()));
    }
    site
}

fn router() -> Router<&'static str, String> {
    let mut builder = RouterBuilder::new();
    builder.site(site(
        "main",
        &["example.com"],
        false,
        &[
            ("path", "/", &[]),
            ("path", "/app/", &[]),
            ("path", "/app/deep", &[]),
            ("exact", "/app/exact", &[]),
            ("pattern", "/users/{id}", &[]),
            ("regex", r"\.png$", &[]),
            ("regex", r"^/app/.*\.png$", &[]),
            ("exact", "/form", &["POST"]),
            ("exact", "/form", &["PUT"]),
        ],
    ));
    builder.site(site("wild", &["*.example.com"], false, &[("exact", "/only", &["GET"])]));
    builder.site(site("deep", &["*.b.example.com"], false, &[("path", "/", &[])]));
    builder.site(site("rest", &[], true, &[("path", "/", &[])]));
    builder.build().unwrap()
}

/// The site and route that a request takes, or what became of it.
fn taken(host: &str, method: &Method, path: &str) -> String {
    match router().find(host, method, path) {
        Outcome::Route(found) => format!("{}: {}", found.site, found.route),
        Outcome::MethodNotAllowed { allow, .. } => format!("405 {allow}"),
        Outcome::NoRoute { site, .. } => format!("404 {site}"),
        Outcome::UnknownHost => "421".into(),
    }
}

#[test]
fn the_host_chooses_the_site() {
    for (host, expected) in [
        ("example.com", "main: path / 0"),
        ("a.b.example.com", "deep: path / 0"),
        ("x.y.b.example.com", "deep: path / 0"),
        ("other.net", "rest: path / 0"),
        ("", "rest: path / 0"),
    ] {
        assert_eq!(taken(host, &Method::GET, "/"), expected, "{host}");
    }
    assert_eq!(taken("a.example.com", &Method::GET, "/only"), "wild: exact /only 1");
    assert_eq!(taken("a.example.com", &Method::GET, "/"), "404 wild", "a chosen site is final");
}

#[test]
fn the_path_chooses_the_route() {
    for (path, expected) in [
        ("/", "path / 0"),
        ("/apple", "path / 0"),
        ("/app", "path /app/ 0"),
        ("/app/x", "path /app/ 0"),
        ("/app/deep", "path /app/deep 0"),
        ("/app/deep/x", "path /app/deep 0"),
        ("/app/deeper", "path /app/ 0"),
        ("/app/exact", "exact /app/exact 0"),
        ("/app/exact/", "path /app/ 0"),
        ("/users/7", "pattern /users/{id} 0"),
        ("/users/7.png", "pattern /users/{id} 0"),
        ("/users/7/x", "path / 0"),
        ("/app/x.png", r"regex \.png$ 0"),
    ] {
        assert_eq!(taken("example.com", &Method::GET, path), format!("main: {expected}"), "{path}");
    }
}

#[test]
fn the_method_passes_over_routes() {
    assert_eq!(taken("example.com", &Method::POST, "/form"), "main: exact /form 1");
    assert_eq!(taken("example.com", &Method::GET, "/form"), "main: path / 0", "the search goes on");
    assert_eq!(taken("a.example.com", &Method::POST, "/only"), "405 GET, HEAD");
    assert_eq!(taken("a.example.com", &Method::HEAD, "/only"), "wild: exact /only 1");
}

#[test]
fn without_a_default_site_a_host_is_unknown() {
    let mut builder = RouterBuilder::new();
    builder.site(site("main", &["example.com"], false, &[("path", "/", &[])]));
    let router = builder.build().unwrap();
    assert!(matches!(router.find("other.net", &Method::GET, "/"), Outcome::UnknownHost));
}

#[test]
fn explain_takes_what_find_takes() {
    let router = router();
    for host in ["example.com", "a.example.com", "a.b.example.com", "other.net"] {
        for path in
            ["/", "/app", "/app/deep/x", "/app/exact", "/users/7", "/x.png", "/form", "/only", "/none"]
        {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
                let steps = router.explain(host, &method, path);
                let explained =
                    steps.iter().filter(|step| step.taken).find_map(|step| Some((step.site?, step.route?)));
                let found = match router.find(host, &method, path) {
                    Outcome::Route(found) => Some((found.site_index, found.route_index)),
                    _ => None,
                };
                assert_eq!(explained, found, "{method} {host} {path}: {steps:?}");
            }
        }
    }
}
