//! Unsafe requests, and what they make unusable (RFC 9111 §4.4); loops (RFC 8586).
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_testkit::{Call, Origin, Reply, Response, Seawall, get, request};

const CONF: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - hosts: [example.com]
    routes:
      - { path: /, methods: [GET, HEAD], upstream: app, cache: on, rewrite: { add_prefix: /v1 } }
      - { path: /, upstream: app, rewrite: { add_prefix: /v1 } }
";

fn start(origin: &Origin) -> Seawall {
    Seawall::with(CONF).set("origin", origin.addr()).start()
}

/// Counts GETs in the body; answers unsafe requests with `status` and `headers`.
fn origin(status: u16, headers: &'static [(&'static str, &'static str)]) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::h1(move |request| {
        if request.method == "GET" {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            Reply::ok(format!("{number}")).header("cache-control", "max-age=60")
        } else {
            Reply::new(status).headers(headers)
        }
    })
}

fn send(seawall: &Seawall, method: &str, path: &str) -> Response {
    request(seawall.addr(0), &Call::new(method, "example.com", path)).expect("an answer")
}

fn text(seawall: &Seawall, path: &str) -> String {
    get(seawall.addr(0), "example.com", path, &[]).text()
}

#[test]
fn a_change_makes_the_stored_response_unusable() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
        for (status, gone) in [(200, true), (204, true), (303, true), (404, false), (500, false)] {
            let origin = origin(status, &[]);
            let seawall = start(&origin);
            assert_eq!(text(&seawall, "/a"), "1");
            assert_eq!(text(&seawall, "/a"), "1", "stored");
            assert_eq!(send(&seawall, method, "/a").status, status);
            let after = text(&seawall, "/a");
            assert_eq!(after, if gone { "2" } else { "1" }, "{method} {status}");
        }
    }
}

#[test]
fn safe_methods_change_nothing() {
    for method in ["HEAD", "OPTIONS", "PROPFIND", "QUERY"] {
        let origin = origin(200, &[]);
        let seawall = start(&origin);
        assert_eq!(text(&seawall, "/a"), "1");
        send(&seawall, method, "/a");
        assert_eq!(text(&seawall, "/a"), "1", "{method}");
    }
}

#[test]
fn location_and_content_location_go_with_it_on_the_same_origin_only() {
    for (headers, gone) in [
        (&[("location", "/b")][..], true),
        (&[("content-location", "b?x=1")], false),
        (&[("content-location", "http://example.com/b")], true),
        (&[("location", "http://other.example/b")], false),
        (&[("location", "https://example.com/b")], false),
    ] {
        let origin = origin(201, headers);
        let seawall = start(&origin);
        assert_eq!(text(&seawall, "/b"), "1");
        send(&seawall, "POST", "/a");
        assert_eq!(text(&seawall, "/b"), if gone { "2" } else { "1" }, "{headers:?}");
    }
}

#[test]
fn a_request_that_has_been_here_is_refused() {
    let origin = origin(200, &[]);
    let seawall = start(&origin);
    let at = seawall.addr(0);
    let looped = get(at, "example.com", "/", &[("CDN-Loop", "other, Seawall;v=1")]);
    assert_eq!(looped.status, 508);
    assert_eq!(origin.count(), 0);
    assert_eq!(get(at, "example.com", "/", &[("CDN-Loop", "other")]).status, 200);
    let lines = origin.requests()[0].headers.all("cdn-loop").join(", ");
    assert_eq!(lines, "other, seawall");

    let open = Seawall::with(&format!("forwarding: {{ cdn_loop: false }}\n{CONF}"))
        .set("origin", origin.addr())
        .start();
    assert_eq!(get(open.addr(0), "example.com", "/", &[("CDN-Loop", "seawall")]).status, 200);
}
