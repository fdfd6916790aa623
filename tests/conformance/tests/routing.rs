//! `redirect: { https: true }` beside another action, and what `seawall explain` says of a request.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use seawall_testkit::{Finished, Origin, Pki, RawClient, Reply, Seawall, TlsClient, binary, get, run};

const BOTH: &str = "
listeners:
  - address: '127.0.0.1:%{port}'
  - { address: '127.0.0.1:%{port2}', tls: { certificates: [{ cert: '%{cert}', key: '%{key}' }] } }
forwarding: { trusted: ['%{trusted}'] }
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - hosts: [example.com]
    routes:
      - { path: /, redirect: { https: true }, upstream: app, cache: 1m }
      - { exact: /fixed, redirect: { https: true, status: 301 }, respond: { body: fixed } }
      - { exact: /alone, redirect: { https: true } }
";

struct Both {
    seawall: Seawall,
    origin: Origin,
    pki: Pki,
}

fn both(trusted: &str) -> Both {
    let pki = Pki::new();
    let identity = pki.server(&["example.com"]);
    let origin = Origin::h1(|request| Reply::ok(request.path().to_owned()));
    let seawall = Seawall::with(BOTH)
        .set("origin", origin.addr())
        .set("cert", identity.cert.display())
        .set("key", identity.key.display())
        .set("trusted", trusted)
        .start();
    Both { seawall, origin, pki }
}

impl Both {
    fn over_tls(&self, path: &str) -> (u16, String) {
        let client = TlsClient::new("example.com", self.pki.ca());
        let mut client = client.connect(self.seawall.addr(1)).expect("a handshake");
        let response =
            client.exchange(&seawall_testkit::Call::get("example.com", path)).expect("an answer over TLS");
        (response.status, response.text())
    }
}

#[test]
fn plain_requests_are_sent_to_https_and_the_others_are_answered() {
    let both = both("192.0.2.0/24");
    let plain = |path: &str| get(both.seawall.addr(0), "example.com", path, &[]);
    for (path, status) in [("/a?b=c", 308), ("/fixed", 301), ("/alone", 308)] {
        let response = plain(path);
        let to = format!("https://example.com{path}");
        assert_eq!((response.status, response.header("location")), (status, Some(to.as_str())), "{path}");
    }
    assert_eq!(both.origin.count(), 0, "a redirect asks nobody");
    assert_eq!(both.over_tls("/a"), (200, "/a".to_owned()));
    assert_eq!(both.over_tls("/fixed"), (200, "fixed".to_owned()));
    assert_eq!(both.over_tls("/alone").0, 404, "nothing is there to answer over TLS");
    assert_eq!(both.origin.last().header("x-forwarded-proto"), Some("https"));
    // The port of the plain listener does not lead anywhere over TLS.
    assert_eq!(
        get(both.seawall.addr(0), "example.com:8080", "/", &[]).header("location"),
        Some("https://example.com/")
    );
    let mut old = RawClient::tcp(both.seawall.addr(0));
    old.send("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
    assert_eq!(old.response().status, 308);
}

#[test]
fn only_a_trusted_proxy_says_that_the_client_came_over_tls() {
    let told = [("X-Forwarded-Proto", "https")];
    let both = both("127.0.0.1");
    let response = get(both.seawall.addr(0), "example.com", "/a", &told);
    assert_eq!((response.status, response.text().as_str()), (200, "/a"));
    assert_eq!(both.origin.last().header("x-forwarded-proto"), Some("https"));
    both.seawall.wait_log(|line| line["scheme"] == "https");
    let again = get(both.seawall.addr(0), "example.com", "/a", &told);
    assert!(again.header("cache-status").is_some_and(|status| status.contains("hit")), "one key for both");
    assert_eq!(get(both.seawall.addr(0), "example.com", "/a", &[]).status, 308, "and plain stays plain");
    drop(both);

    let both = self::both("192.0.2.0/24");
    assert_eq!(get(both.seawall.addr(0), "example.com", "/a", &told).status, 308, "a stranger cannot say it");
}

const EXPLAINED: &str = "
listeners: [{ address: '127.0.0.1:8080' }]
cache: { purge: { allow: [127.0.0.1] } }
forwarding: { trusted: [10.0.0.0/8] }
upstreams:
  app:
    servers: ['127.0.0.1:3000', { address: '127.0.0.1:3001', drain: true }, { address: '127.0.0.1:3002', backup: true }]
  users:
    servers: ['127.0.0.1:4000', '127.0.0.1:4001']
    balance: consistent_hash
    hash: { by: header, name: X-User }
sites:
  - hosts: [example.com]
    routes:
      - path: /
        redirect: { https: true }
        upstream: app
        cache: { ttl: 1h, stale_if_error: 1d, key: { query: { exclude: ['utm_*'] }, headers: [X-Country] } }
      - { pattern: '/u/{id}', methods: [GET], upstream: users, rewrite: { path: '/users/{id}' } }
      - { exact: /robots.txt, respond: { body: x } }
      - { exact: /old, redirect: /new }
";

/// What `seawall explain` prints for these arguments.
fn explain(folder: &Path, args: &[&str]) -> String {
    let file = folder.join("seawall.yaml");
    std::fs::write(&file, EXPLAINED).expect("the configuration");
    let mut all = vec!["explain", "-c", file.to_str().expect("a path")];
    all.extend_from_slice(args);
    let Finished { code, stdout, stderr, .. } = run(&binary().display().to_string(), &all);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
    stdout
}

#[test]
fn explain_tells_the_whole_way_and_why() {
    let pki = Pki::new();
    let explain = |args: &[&str]| explain(pki.folder(), args);
    for (args, expected) in [
        (
            &["https://example.com/a?utm_x=1&b=2"][..],
            &[
                "client    192.0.2.1, over TLS",
                "* site example.com: the site names the host `example.com`",
                "* route /: path `/` covers the path: taken",
                "route =/old: exact `/old` does not cover the path `/a`",
                "site      example.com",
                "route     /",
                "redirect  none: `https: true` is for requests without TLS",
                "cache     looked up under https | example.com | /a?b=2 | header X-Country",
                "for 1h when it says nothing (ttl)",
                "stale for 1d while the origin fails (stale_if_error)",
                "upstream  app",
                "server    127.0.0.1:3000: one in turn, by weight (round_robin), all being healthy",
                "127.0.0.1:3001: drained",
                "127.0.0.1:3002: a backup",
            ][..],
        ),
        (
            &["http://example.com/a"],
            &[
                "client    192.0.2.1, without TLS",
                "redirect  `https: true`, since the request came without TLS",
                "answer    308 Permanent Redirect to https://example.com/a",
            ],
        ),
        (
            &[
                "example.com/a",
                "--client",
                "10.0.0.1",
                "-H",
                "X-Forwarded-Proto: https",
                "-H",
                "X-Forwarded-For: 192.0.2.9",
            ],
            &["client    192.0.2.9, over TLS", "upstream  app"],
        ),
        (&["https://example.com/a", "-X", "POST"], &["cache     bypassed: method"]),
        (
            &["/u/7", "-H", "Host: example.com", "-H", "X-User: alice"],
            &[
                "capture   id = 7",
                "rewritten /users/7",
                "cache     off on this route",
                "always this one for this value of the header `X-User` (consistent_hash)",
            ],
        ),
        (
            &["http://example.com/u/7"],
            &["always this one for the client address 192.0.2.1, the header `X-User` being absent"],
        ),
        (
            &["http://example.com/u/7", "-X", "POST"],
            &["covers the path, but takes only GET", "redirect  `https: true`"],
        ),
        (&["http://example.com/robots.txt"], &["answer    200 OK from the configuration"]),
        (&["https://example.com/old"], &["answer    308 Permanent Redirect to /new"]),
        (&["http://other.example/"], &["answer    421 Misdirected Request"]),
        (&["http://example.com/%00"], &["answer    400 Bad Request: the path `/%00`"]),
        (&["https://example.com/a", "-X", "PURGE"], &["answer    403 Forbidden"]),
        (
            &["https://example.com/a", "-X", "PURGE", "--client", "127.0.0.1"],
            &["answer    purges the stored response"],
        ),
    ] {
        let said = explain(args);
        for line in expected {
            assert!(said.contains(line), "{args:?} lacks {line:?}:\n{said}");
        }
    }
}

#[test]
fn explain_refuses_what_is_no_request() {
    let pki = Pki::new();
    let file = pki.folder().join("seawall.yaml");
    std::fs::write(&file, EXPLAINED).expect("the configuration");
    for args in [&["http://example.com/", "-X", "A B"][..], &["http://example.com/", "-H", "nothing"]] {
        let mut all = vec!["explain", "-c", file.to_str().expect("a path")];
        all.extend_from_slice(args);
        let done = run(&binary().display().to_string(), &all);
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{args:?}");
        assert_eq!(done.stderr.lines().count(), 1, "one sentence: {}", done.stderr);
    }
}

#[test]
fn a_redirect_without_an_answer_over_tls_is_a_warning() {
    let pki = Pki::new();
    let identity = pki.server(&["example.com"]);
    let check = |tls: bool, route: &str| {
        let file = pki.folder().join("seawall.yaml");
        let tls = format!(
            ", tls: {{ certificates: [{{ cert: '{}', key: '{}' }}] }}",
            identity.cert.display(),
            identity.key.display()
        )
        .repeat(usize::from(tls));
        let yaml = format!(
            "listeners: [{{ address: '127.0.0.1:8443'{tls} }}]\nsites: [{{ hosts: [example.com], routes: [{{ path: /, {route} }}] }}]\n"
        );
        std::fs::write(&file, yaml).expect("the configuration");
        let done = run(
            &binary().display().to_string(),
            &["check", "-q", "--strict", file.to_str().expect("a path")],
        );
        (done.code, done.stderr)
    };
    let (code, said) = check(true, "redirect: { https: true }");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("warning: requests over TLS get 404 here"), "{said}");
    for (tls, route) in [
        (false, "redirect: { https: true }"),
        (true, "redirect: { https: true }, respond: { body: x }"),
        (true, "redirect: { to: '/x', status: 302 }, name: x"),
    ] {
        let (_, said) = check(tls, route);
        assert!(!said.contains("over TLS get 404"), "{route}: {said}");
    }
    let (code, said) = check(true, "redirect: { to: 'https://a.example/' }, respond: { body: x }");
    assert_eq!(code, Some(1));
    assert!(said.contains("the route has `redirect` and `respond`"), "{said}");
}
