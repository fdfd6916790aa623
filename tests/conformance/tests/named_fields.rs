//! `private="field"` and `no-cache="field"`: the stored copy is without the field, and so are all who are answered from
//! it. Who asked the origin gets what the origin said (RFC 9111 §5.2.2.4, §5.2.2.7).
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::thread::JoinHandle;

use seawall_testkit::{Call, DEADLINE, Gate, H2Client, Origin, Reply, Response, Seawall, eventually, get};

fn cached(origin: &Origin, rule: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: %{rule} }] }]
",
    )
    .set("origin", origin.addr())
    .set("rule", rule)
    .start()
}

const NAMED: &[(&str, &str)] = &[
    ("cache-control", "max-age=60, private=\"x-user\", no-cache=\"x-token, set-cookie\""),
    ("x-user", "alice"),
    ("x-user", "of sales"),
    ("x-token", "1"),
    ("set-cookie", "id=1"),
    ("x-all", "for all"),
];

fn named(response: &Response) -> [Option<&str>; 3] {
    ["x-user", "x-token", "set-cookie"].map(|name| response.header(name))
}

fn everybodys(response: &Response) -> bool {
    response.status == 200 && response.header("x-all") == Some("for all")
}

#[test]
fn the_first_client_gets_them_and_the_next_does_not() {
    for http2 in [false, true] {
        let origin = Origin::h1(|_| Reply::ok("body").headers(NAMED));
        let seawall = cached(&origin, "on");
        let ask = || {
            if http2 {
                let client = H2Client::tcp(seawall.addr(0)).expect("HTTP/2");
                client.exchange(&Call::get("example.com", "/")).expect("an answer")
            } else {
                get(seawall.addr(0), "example.com", "/", &[])
            }
        };
        let first = ask();
        assert!(everybodys(&first));
        assert_eq!(named(&first), [Some("alice"), Some("1"), Some("id=1")]);
        let users = first.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-user")).count();
        assert_eq!(users, 2, "every line of it");
        for _ in 0..2 {
            let hit = ask();
            assert!(
                everybodys(&hit) && hit.header("cache-status").is_some_and(|status| status.contains("hit"))
            );
            assert_eq!(named(&hit), [None; 3]);
        }
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn who_reads_along_does_not_get_them() {
    let (head, tail) = (Gate::new(), Gate::new());
    let (held, rest) = (head.clone(), tail.clone());
    let origin = Origin::h1(move |_| {
        Reply::new(200).headers(NAMED).hold(&held).body("first ").gate(&rest).body("last").chunked()
    });
    let seawall = cached(&origin, "on");
    let client = || -> JoinHandle<Response> {
        let address = seawall.addr(0).to_owned();
        std::thread::spawn(move || get(address, "example.com", "/", &[]))
    };
    let first = client();
    head.wait_waiting(1);
    let others: Vec<_> = (0..5).map(|_| client()).collect();
    eventually(DEADLINE, "all requests to be there", || {
        let metrics = seawall.metrics();
        let there = metrics.get("seawall_http_requests_in_flight", &[]);
        if there >= 6.0 { Ok(()) } else { Err(metrics.show("seawall_http_requests_in_flight")) }
    });
    head.open();
    tail.open();
    assert_eq!(named(&first.join().expect("an answer")), [Some("alice"), Some("1"), Some("id=1")]);
    for other in others {
        let response = other.join().expect("an answer");
        assert!(everybodys(&response) && response.text() == "first last");
        assert_eq!(named(&response), [None; 3]);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn who_has_it_validated_gets_what_the_304_says() {
    let origin = Origin::h1(|request| {
        let fields = [("cache-control", "max-age=0, private=\"x-user\""), ("etag", "\"a\"")];
        if request.header("if-none-match").is_some() {
            Reply::new(304).headers(&fields).header("x-user", "bob")
        } else {
            Reply::ok("body").headers(&fields).header("x-user", "alice")
        }
    });
    let seawall = cached(&origin, "on");
    let ask = |headers: &[(&str, &str)]| get(seawall.addr(0), "example.com", "/", headers);
    assert_eq!(ask(&[]).header("x-user"), Some("alice"));
    let validated = ask(&[]);
    assert_eq!((validated.text().as_str(), validated.header("x-user")), ("body", Some("bob")));
    let range = ask(&[("Range", "bytes=0-1")]);
    assert_eq!((range.status, range.text().as_str(), range.header("x-user")), (206, "bo", Some("bob")));
}

#[test]
fn a_route_that_wants_no_cookies_gives_none_to_anybody() {
    let origin = Origin::h1(|_| Reply::ok("body").headers(NAMED));
    let seawall = cached(&origin, "{ set_cookie: strip }");
    let first = get(seawall.addr(0), "example.com", "/", &[]);
    assert_eq!(named(&first), [Some("alice"), Some("1"), None]);
}
