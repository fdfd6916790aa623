use super::{Redirect, RedirectError, RedirectSettings, RequestParts};
use crate::{Captures, Condition};
use proptest::prelude::*;
use seawall_config::{Diagnostics, Path};

fn to(target: &str) -> Result<Redirect, RedirectError> {
    Redirect::new(&RedirectSettings { to: Some(target.to_owned()), ..RedirectSettings::default() })
}

fn location(target: &str, path: &str, query: Option<&str>) -> String {
    let request = RequestParts { tls: false, host: "example.com", path, query };
    let value = to(target).unwrap().location(&request, &Captures::default()).unwrap();
    value.to_str().unwrap().to_owned()
}

#[test]
fn fills_its_target() {
    for (target, expected) in [
        ("/new", "/new"),
        ("https://www.example.com{uri}", "https://www.example.com/a?x=1"),
        ("https://www.{host}:8443{path}?{query}", "https://www.example.com:8443/a?x=1"),
        ("https://{host}/login?next={path}", "https://example.com/login?next=/a"),
        ("http://other", "http://other"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
        ("{path}/", "/a/"),
    ] {
        assert_eq!(location(target, "/a", Some("x=1")), expected, "{target}");
    }
    assert_eq!(location("/new?{query}", "/a", None), "/new", "no question mark without a query");
}

#[test]
fn default_is_308_and_keeps_the_method() {
    assert_eq!(to("/x").unwrap().status(), 308);
    for status in [301, 302, 303, 307, 308] {
        let settings = RedirectSettings { status, to: Some("/".into()), https: false };
        assert_eq!(Redirect::new(&settings).unwrap().status(), status);
    }
    for status in [200, 300, 304, 305, 306, 309, 404, 0, 9999] {
        let settings = RedirectSettings { status, to: Some("/".into()), https: false };
        assert_eq!(Redirect::new(&settings).unwrap_err(), RedirectError::Status(status));
    }
}

#[test]
fn https_redirects_plain_requests_only() {
    let redirect = Redirect::new(&RedirectSettings { https: true, ..RedirectSettings::default() }).unwrap();
    let mut request = RequestParts { tls: false, host: "example.com", path: "/a", query: Some("b") };
    let location = redirect.location(&request, &Captures::default()).unwrap();
    assert_eq!(location, "https://example.com/a?b");
    request.tls = true;
    assert!(redirect.applies_to(false) && !redirect.applies_to(true));
    assert!(to("/x").unwrap().applies_to(true));
    assert_eq!(redirect.location(&request, &Captures::default()), None);
}

#[test]
fn without_a_host_nothing_leads_to_one() {
    let request = RequestParts { tls: false, host: "", path: "/evil.example", query: None };
    for target in ["https://{host}{uri}", "https://{host}/x", "/back?to={host}"] {
        assert_eq!(to(target).unwrap().location(&request, &Captures::default()), None, "{target}");
    }
    assert!(to("https://example.com{uri}").unwrap().location(&request, &Captures::default()).is_some());
}

#[test]
fn a_path_cannot_become_a_host() {
    for (target, path, expected) in [
        ("{path}", "//evil.example", "/evil.example"),
        ("{uri}", "///evil.example/x", "/evil.example/x"),
        ("{uri}", "/\\evil.example", "/%5Cevil.example"),
        ("{path}", "/\t/evil.example", "/%09/evil.example"),
        ("https://example.com{path}", "//evil.example", "https://example.com//evil.example"),
        ("https://example.com{path}", "@evil.example", "https://example.com/@evil.example"),
    ] {
        assert_eq!(location(target, path, None), expected, "{target} {path}");
    }
    let condition = Condition::pattern("/go/{*rest}").unwrap();
    let captures: Captures = condition.names().iter().zip(["/evil.example"]).collect();
    let request = RequestParts { tls: false, host: "example.com", path: "/go//evil.example", query: None };
    assert_eq!(to("/{rest}").unwrap().location(&request, &captures).unwrap(), "/evil.example");
}

#[test]
fn refuses_targets_that_a_request_could_steer() {
    for (target, error) in [
        ("", RedirectError::Start),
        ("new", RedirectError::Start),
        ("{rest}", RedirectError::Start),
        ("{query}", RedirectError::Start),
        ("{host}/x", RedirectError::Start),
        ("javascript:alert(1)", RedirectError::Start),
        ("ftp://example.com/", RedirectError::Start),
        ("//example.com/", RedirectError::TwoSlashes),
        ("https://{name}/", RedirectError::Authority),
        ("https://example.com{name}", RedirectError::Authority),
        ("https://example.com{query}", RedirectError::Authority),
        ("https://{name}.example.com/", RedirectError::Authority),
        ("https://user@example.com/", RedirectError::Authority),
        ("https://{host}@evil/", RedirectError::Authority),
        ("https:///x", RedirectError::Authority),
        ("https://{path}", RedirectError::Authority),
        ("https://", RedirectError::Authority),
    ] {
        assert_eq!(to(target).unwrap_err(), error, "{target}");
    }
}

#[test]
fn check_points_at_the_key() {
    for (yaml, path, message) in [
        ("{}", "redirect", "no target"),
        ("{to: /, https: true}", "redirect", "`https: true`"),
        ("{to: x}", "redirect.to", "neither a path"),
        ("{to: '/{'}", "redirect.to", "brace"),
        ("{to: /, status: 200}", "redirect.status", "not a redirect status"),
    ] {
        let settings: RedirectSettings = serde_yaml::from_str(yaml).unwrap();
        let mut out = Diagnostics::default();
        settings.check(&Path::root().key("redirect"), &mut out);
        let found: Vec<_> = out.iter().collect();
        assert_eq!(found.len(), 1, "{yaml}");
        assert_eq!(found[0].path.to_string(), path, "{yaml}");
        assert!(found[0].message.contains(message), "{yaml}: {}", found[0].message);
    }
    assert!(serde_yaml::from_str::<RedirectSettings>("{target: /}").is_err());
}

#[test]
fn a_text_is_its_short_form() {
    let settings: RedirectSettings = "/new".parse().unwrap();
    assert_eq!((settings.to.as_deref(), settings.status), (Some("/new"), 308));
    assert!("new".parse::<RedirectSettings>().is_err());
}

proptest! {
    /// Whatever the request holds: one line of visible ASCII, on the host the settings name.
    #[test]
    fn never_leads_elsewhere(path in "(/|\\\\|[a-z@:.%]|\r|\n|\t| ){0,12}", query in any::<Option<String>>(), rest in "(/|\\\\|[a-z@:.%]|\r|\n){0,12}") {
        let condition = Condition::pattern("/{*rest}").unwrap();
        let captures: Captures = condition.names().iter().zip([rest.as_str()]).collect();
        let request = RequestParts { tls: false, host: "example.com", path: &path, query: query.as_deref() };
        for target in ["{path}", "{uri}", "/{rest}", "{path}{rest}", "https://{host}{uri}", "https://{host}/{rest}?{query}"] {
            let value = to(target).unwrap().location(&request, &captures).unwrap();
            let text = value.to_str().unwrap();
            prop_assert!(text.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'\\'), "{}", text);
            let same_host = text == "https://example.com" || text.starts_with("https://example.com/");
            let same_site = text.starts_with('/') && !text.starts_with("//");
            prop_assert!(same_host || same_site, "{} {}", target, text);
        }
    }
}
