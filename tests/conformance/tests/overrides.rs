//! A route's own rules: what goes past the cache, and requests brought into few forms.

use seawall_testkit::{Origin, Reply, Response, Seawall, get};

fn start(origin: &Origin, cache: &str) -> Seawall {
    let conf = "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: %{cache} }] }]
";
    Seawall::with(conf).set("origin", origin.addr()).set("cache", cache).start()
}

fn status(response: &Response) -> &str {
    response.header("cache-status").unwrap_or_default()
}

#[test]
fn bypass_rules_skip_look_up_and_storing() {
    let origin = Origin::h1(|_| Reply::ok("x").header("cache-control", "max-age=60"));
    let seawall =
        start(&origin, "{ bypass_when: [{ cookie: s }, { header: x-p, equals: '1' }, { query: q }] }");
    let call = |path: &str, headers: &[(&str, &str)]| get(seawall.addr(0), "example.com", path, headers);
    for (path, headers, detail) in [
        ("/a", &[("cookie", "s=1")][..], "bypass-cookie"),
        ("/a", &[("x-p", "1")], "bypass-header"),
        ("/a?%71=1", &[], "bypass-query"),
    ] {
        for _ in 0..2 {
            let said = format!("seawall; fwd=bypass; detail={detail}");
            assert_eq!(status(&call(path, headers)), said, "nothing is stored");
        }
    }
    assert!(status(&call("/a", &[("x-p", "2")])).contains("fwd=uri-miss"), "nothing had been stored");
    assert!(status(&call("/a", &[])).contains("hit"));
    assert!(status(&call("/a", &[("cookie", "s=1")])).contains("fwd=bypass"), "nothing is looked up");
}

#[test]
fn what_is_normalised_is_one_variant_and_reaches_the_origin_normalised() {
    let origin = Origin::h1(|request| {
        let said = |name: &str| request.header(name).unwrap_or("-").to_owned();
        let body = format!("{} {} {}", said("accept-encoding"), said("accept-language"), said("cookie"));
        Reply::ok(body)
            .header("cache-control", "max-age=60")
            .header("vary", "Accept-Encoding, Accept-Language, Cookie")
    });
    let rules = "{ key: { accept_encoding: [br, gzip], accept_language: [en, de], ignore_cookies: [_ga*] } }";
    let seawall = start(&origin, rules);
    let call = |encoding: &str, language: &str, cookie: &str| {
        let headers = [("accept-encoding", encoding), ("accept-language", language), ("cookie", cookie)];
        get(seawall.addr(0), "example.com", "/", &headers)
    };
    let first = call("gzip, deflate, br", "de-AT, en;q=0.5", "_ga=1; id=7");
    assert_eq!(first.text(), "br, gzip de id=7");
    let second = call("br;q=0.9, gzip, zstd", "fr, de;q=0.3", "id=7; _gat=9");
    assert!(status(&second).contains("hit"), "{}", status(&second));
    assert!(status(&call("gzip", "de", "id=7")).contains("fwd=vary-miss"));
    assert!(status(&call("gzip, br", "de", "id=8")).contains("fwd=vary-miss"), "other cookies count");
}

#[test]
fn a_profile_decides_about_cookies_and_errors() {
    let origin =
        Origin::h1(|_| Reply::ok("x").header("cache-control", "max-age=60").header("set-cookie", "a=b"));
    for (rules, stored) in
        [("{}", false), ("{ profile: standard }", true), ("{ profile: standard, set_cookie: bypass }", false)]
    {
        let seawall = start(&origin, rules);
        let call = || get(seawall.addr(0), "example.com", "/", &[]);
        call();
        assert_eq!(status(&call()).contains("hit"), stored, "{rules}");
    }
}
