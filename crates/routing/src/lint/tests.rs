use super::{RouteView, SiteView, check_sites};
use crate::{HostPattern, RedirectSettings, RewriteSettings, RouteMatch};
use seawall_config::{Diagnostics, Path, Severity};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Site {
    #[serde(default)]
    hosts: Vec<HostPattern>,
    #[serde(default)]
    default: bool,
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    #[serde(rename = "match")]
    matching: RouteMatch,
    redirect: Option<RedirectSettings>,
    rewrite: Option<RewriteSettings>,
}

/// The findings as `severity place: message`.
fn lint(yaml: &str) -> Vec<String> {
    let sites: Vec<Site> = serde_yaml::from_str(yaml).unwrap();
    let views: Vec<SiteView<'_>> = sites
        .iter()
        .enumerate()
        .map(|(i, site)| {
            let at = Path::root().key("sites").index(i);
            let routes = site.routes.iter().enumerate().map(|(j, route)| RouteView {
                at: at.key("routes").index(j),
                matching: route.matching.clone(),
                redirect: route.redirect.as_ref(),
                rewrite: route.rewrite.as_ref(),
            });
            SiteView { routes: routes.collect(), at: at.clone(), hosts: &site.hosts, default: site.default }
        })
        .collect();
    let mut out = Diagnostics::default();
    check_sites(&views, &mut out);
    out.iter()
        .map(|d| {
            let severity = if d.severity == Severity::Error { "error" } else { "warning" };
            format!("{severity} {}: {}", d.path, d.message)
        })
        .collect()
}

/// One site on `h` with these routes, each a YAML map.
fn routes(routes: &[&str]) -> Vec<String> {
    let list: String = routes.iter().map(|route| format!("\n    - {route}")).collect();
    lint(&format!("- hosts: [h]\n  routes:{list}"))
}

fn finds_one(found: &[String], start: &str, inside: &str) {
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(start) && found[0].contains(inside), "{found:#?}");
}

#[test]
fn a_sound_configuration_has_no_findings() {
    let found = lint(
        "
- hosts: [example.com, '*.example.com']
  routes:
    - match: { exact: /, methods: [GET] }
    - match: { exact: / }
    - match: { pattern: '/users/{id}' }
    - match: { pattern: '/users/{*rest}' }
    - match: { regex: '\\.php$' }
    - match: { path: /users }
    - match: { path: /old }
      redirect: { to: '/new' }
    - match: { path: / }
      redirect: { https: true }
- hosts: [www.example.com]
  routes:
    - match: { path: / }
      redirect: { to: 'https://example.com{uri}' }
- default: true
  routes: [{ match: { path: / } }]
",
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_host_has_one_site() {
    let yaml =
        "[{hosts: [a, b], routes: [{match: {path: /}}]}, {hosts: [c, B], routes: [{match: {path: /}}]}]";
    finds_one(&lint(yaml), "error sites[1].hosts[1]: ", "`sites[0].hosts[1]`");
    let yaml = "[{hosts: ['*.a', '*.a'], routes: [{match: {path: /}}]}]";
    finds_one(&lint(yaml), "warning sites[0].hosts[1]: ", "stands twice");
}

#[test]
fn one_site_is_the_default() {
    for (first, second, place) in [
        ("default: true", "default: true", "sites[1].default"),
        ("hosts: ['*']", "hosts: ['*']", "sites[1].hosts[0]"),
        ("default: true", "hosts: [a, '*']", "sites[1].hosts[1]"),
    ] {
        let yaml = format!(
            "[{{{first}, routes: [{{match: {{path: /}}}}]}}, {{{second}, routes: [{{match: {{path: /}}}}]}}]"
        );
        finds_one(&lint(&yaml), &format!("error {place}: "), "default site already");
    }
    assert_eq!(lint("[{default: true, hosts: ['*'], routes: [{match: {path: /}}]}]"), [""; 0]);
}

#[test]
fn a_site_needs_hosts_and_routes() {
    finds_one(&lint("[{routes: [{match: {path: /}}]}]"), "error sites[0]: ", "no hosts");
    finds_one(&lint("[{hosts: [a]}]"), "warning sites[0]: ", "no routes");
}

#[test]
fn a_route_needs_one_sound_condition() {
    finds_one(&routes(&["{match: {}}"]), "error sites[0].routes[0]: ", "no path condition");
    finds_one(&routes(&["{match: {path: /, exact: /}}"]), "error sites[0].routes[0].path: ", "has `exact`");
    finds_one(&routes(&["{match: {regex: '('}}"]), "error sites[0].routes[0].regex: ", "unclosed");
    finds_one(
        &routes(&["{match: {path: /}, redirect: {to: x}}"]),
        "error sites[0].routes[0].redirect.to: ",
        "neither",
    );
    finds_one(
        &routes(&["{match: {path: /}, rewrite: {}}"]),
        "error sites[0].routes[0].rewrite: ",
        "changes nothing",
    );
}

#[test]
fn the_same_condition_twice_never_matches() {
    for (first, second) in [
        ("{exact: /a}", "{exact: /a}"),
        ("{path: /a}", "{path: /a/}"),
        ("{pattern: '/{a}'}", "{pattern: '/{b}'}"),
        ("{regex: x}", "{regex: x}"),
        ("{path: /a, methods: [GET, POST]}", "{path: /a, methods: [POST]}"),
    ] {
        let found = routes(&[&format!("{{match: {first}}}"), &format!("{{match: {second}}}")]);
        finds_one(&found, "warning sites[0].routes[1]: ", "`sites[0].routes[0]` has the same condition");
    }
}

#[test]
fn the_same_condition_with_other_methods_is_sound() {
    for (first, second) in [
        ("{path: /a}", "{path: /a, methods: [GET]}"),
        ("{path: /a, methods: [GET]}", "{path: /a}"),
        ("{path: /a, methods: [GET]}", "{path: /a, methods: [HEAD]}"),
        ("{path: /a, methods: [GET]}", "{path: /a, methods: [POST]}"),
        ("{path: /a}", "{exact: /a}"),
    ] {
        assert_eq!(routes(&[&format!("{{match: {first}}}"), &format!("{{match: {second}}}")]), [""; 0]);
    }
}

#[test]
fn methods_that_another_route_took_are_told() {
    let found = routes(&["{match: {path: /a, methods: [GET]}}", "{match: {path: /a, methods: [GET, POST]}}"]);
    finds_one(&found, "warning sites[0].routes[1].methods: ", "never takes GET");
}

#[test]
fn a_route_hidden_behind_another_condition_is_told() {
    for (hider, hidden) in [
        ("{pattern: '/{*all}'}", "{path: /}"),
        ("{pattern: '/{*all}'}", "{path: /a}"),
        ("{pattern: '/{*all}'}", "{regex: x}"),
        ("{pattern: '/a/{*all}'}", "{path: /a/b}"),
        ("{pattern: '/{x}/{*all}'}", "{path: /a/b/c}"),
        ("{regex: '.*'}", "{path: /a}"),
        ("{regex: '^/'}", "{regex: x}"),
    ] {
        let (hider, hidden) = (format!("{{match: {hider}}}"), format!("{{match: {hidden}}}"));
        finds_one(&routes(&[&hider, &hidden]), "warning sites[0].routes[1]: ", "goes before it");
    }
    // The order in the file does not matter, except among regexes.
    finds_one(
        &routes(&["{match: {path: /a}}", "{match: {regex: '.*'}}"]),
        "warning sites[0].routes[0]: ",
        "regex",
    );
    assert_eq!(routes(&["{match: {regex: x}}", "{match: {regex: '.*'}}"]), [""; 0]);
}

#[test]
fn a_route_that_is_reached_is_not_called_hidden() {
    for (hider, other) in [
        ("{pattern: '/{*all}', methods: [GET]}", "{path: /}"),
        ("{pattern: '/a/{*all}'}", "{path: /a}"),
        ("{pattern: '/a/{*all}'}", "{path: /b/c}"),
        ("{pattern: '/a/{*all}'}", "{regex: x}"),
        ("{pattern: '/{x}'}", "{path: /a}"),
        ("{pattern: '/{*all}'}", "{pattern: '/{x}'}"),
        ("{pattern: '/{*all}'}", "{exact: /x}"),
        ("{regex: '\\.php$'}", "{path: /a}"),
        ("{path: /}", "{path: /a}"),
    ] {
        assert_eq!(
            routes(&[&format!("{{match: {hider}}}"), &format!("{{match: {other}}}")]),
            [""; 0],
            "{hider} {other}"
        );
    }
}

#[test]
fn a_capture_must_exist() {
    let found = routes(&["{match: {pattern: '/u/{user}'}, redirect: {to: '/x/{usr}'}}"]);
    finds_one(&found, "error sites[0].routes[0].redirect.to: ", "`usr`");
    let found = routes(&["{match: {path: /u}, rewrite: {path: '/x/{id}'}}"]);
    finds_one(&found, "error sites[0].routes[0].rewrite.path: ", "`id`");
    let found = routes(&["{match: {regex: '^/(x)'}, rewrite: {path: '/{2}'}}"]);
    finds_one(&found, "error sites[0].routes[0].rewrite.path: ", "`2`");
    let found = routes(&["{match: {regex: '^/(x)(?<n>y)'}, rewrite: {path: '/{1}/{n}'}}"]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_redirect_in_a_circle_is_told() {
    for circle in [
        "{match: {path: /}, redirect: {to: /new}}",
        "{match: {exact: /a}, redirect: {to: '{uri}'}}",
        "{match: {path: /}, redirect: {to: '/x{path}'}}",
        "{match: {path: /}, redirect: {to: 'https://h{uri}'}}",
        "{match: {path: /}, redirect: {to: 'https://{host}{uri}'}}",
        "{match: {pattern: '/u/{id}'}, redirect: {to: '/u/{id}'}}",
        "{match: {exact: /a, methods: [POST]}, redirect: {to: '/a'}}",
    ] {
        finds_one(&routes(&[circle]), "warning sites[0].routes[0].redirect: ", "in a circle");
    }
    let two =
        routes(&["{match: {exact: /a}, redirect: {to: /b}}", "{match: {exact: /b}, redirect: {to: /a}}"]);
    assert_eq!(two.len(), 2, "{two:#?}");
}

#[test]
fn a_redirect_that_ends_is_sound() {
    for sound in [
        "{match: {path: /old}, redirect: {to: '/new'}}",
        "{match: {path: /}, redirect: {https: true}}",
        "{match: {path: /}, redirect: {to: 'https://{host}:8443{uri}'}}",
        "{match: {path: /}, redirect: {to: 'https://elsewhere{uri}'}}",
        "{match: {exact: /}, redirect: {to: /home}}",
    ] {
        assert_eq!(routes(&[sound]), [""; 0], "{sound}");
    }
}

#[test]
fn a_circle_over_one_of_the_hosts_is_told() {
    let found = lint(
        "- {hosts: [a.example, www.a.example], routes: [{match: {path: /}, redirect: {to: 'https://www.a.example{uri}'}}]}",
    );
    finds_one(&found, "warning sites[0].routes[0].redirect: ", "https://www.a.example/x");
}

#[test]
fn a_circle_on_a_default_site_without_hosts_is_told() {
    let found = lint("- {default: true, routes: [{match: {exact: /a}, redirect: {to: /a}}]}");
    finds_one(&found, "warning sites[0].routes[0].redirect: ", "in a circle");
}
