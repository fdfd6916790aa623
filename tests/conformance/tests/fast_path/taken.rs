//! Which requests are answered by the fast path, and which are not.

use seawall_testkit::{Call, Gate, H2Client, OrDie, Origin, RawClient, Reply, Request, Seawall, request};

use crate::{call, fast_hits, get, node, origin};

fn status(seawall: &Seawall, call: &Call) -> u16 {
    request(seawall.addr(0), call).expect("an answer").status
}

/// How many hits of the fast path there are more after this.
fn taken(seawall: &Seawall, act: impl FnOnce()) -> f64 {
    let before = fast_hits(seawall);
    act();
    fast_hits(seawall) - before
}

/// A request over HTTP/1.1 that is answered.
fn taken_by(seawall: &Seawall, call: &Call) -> f64 {
    taken(seawall, || assert!(status(seawall, call) < 500, "{call:?}"))
}

#[test]
fn plain_hits_are() {
    let origin = Origin::h1(origin::answer);
    let seawall = node(&origin, true, false, "");
    let plain = get("/length", &[]);
    assert_eq!(taken_by(&seawall, &plain), 0.0, "it is not there yet");
    assert_eq!(taken_by(&seawall, &plain), 1.0);
    assert_eq!(taken_by(&seawall, &call("HEAD", "/length", &[])), 1.0);
    let client = H2Client::tcp(seawall.addr(0)).or_die("speak HTTP/2");
    for method in ["GET", "HEAD"] {
        let ask =
            || assert_eq!(client.exchange(&call(method, "/length", &[])).expect("an answer").status, 200);
        assert_eq!(taken(&seawall, ask), 1.0);
    }
    let mut client = RawClient::tcp(seawall.addr(0));
    let pipelined = || {
        client.send(plain.to_bytes().repeat(7));
        (0..7).for_each(|_| assert_eq!(client.response().text(), "some text"));
    };
    assert_eq!(taken(&seawall, pipelined), 7.0);
    assert_eq!(origin.count(), 1);
    seawall.wait_metric("seawall_cache_hits_total", &[("tier", "memory")], 11.0);
    seawall.wait_metric("seawall_http_requests_total", &[("cache", "hit")], 11.0);
}

#[test]
fn who_may_want_something_else_is_not() {
    let origin = Origin::h1(origin::answer);
    let seawall = node(&origin, true, false, "");
    let (plain, etag) = (get("/length", &[]), get("/etag", &[]));
    assert_eq!([&plain, &etag].map(|call| taken_by(&seawall, call)), [0.0, 0.0]);
    for field in [
        ("Range", "bytes=0-1"),
        ("If-Range", "\"v1\""),
        ("If-None-Match", "\"v1\""),
        ("If-Match", "\"v1\""),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Expect", "100-continue"),
        ("Upgrade", "websocket"),
    ] {
        assert_eq!(taken_by(&seawall, &get("/etag", &[field])), 0.0, "{field:?}");
        assert_eq!(taken_by(&seawall, &etag), 1.0, "the control");
    }
    assert_eq!(taken_by(&seawall, &get("/length", &[]).body("some")), 0.0, "a body");
    assert_eq!(taken_by(&seawall, &plain), 1.0, "the control");
    let old = || {
        let mut client = RawClient::tcp(seawall.addr(0));
        client.send("GET /length HTTP/1.0\r\nHost: example.com\r\n\r\n");
        assert_eq!(client.response().status, 200);
    };
    assert_eq!(taken(&seawall, old), 0.0, "HTTP/1.0");
    assert_eq!(taken_by(&seawall, &call("OPTIONS", "/length", &[])), 0.0);
}

#[test]
fn what_is_not_fresh_or_not_there_is_not() {
    let origin = Origin::h1(origin::answer);
    let seawall = node(&origin, true, false, "");
    let paths =
        ["/204", "/stale", "/nostore", "/private", "/star", "/plain/length", "/revalidated", "/probe"];
    for path in paths {
        for _ in 0..3 {
            assert_eq!(taken_by(&seawall, &get(path, &[])), 0.0, "{path}");
        }
    }
    let avoided = get("/avoid/length", &[("Cookie", "session=1")]);
    let plain = get("/avoid/length", &[]);
    assert_eq!([&plain, &plain, &avoided].map(|call| taken_by(&seawall, call)), [0.0, 1.0, 0.0]);
    let demanding = get("/demands/length", &[("Cache-Control", "no-cache")]);
    let plain = get("/demands/length", &[]);
    assert_eq!([&plain, &plain, &demanding].map(|call| taken_by(&seawall, call)), [0.0, 1.0, 0.0]);
}

#[test]
fn what_is_purged_is_not() {
    let origin = Origin::h1(origin::answer);
    let seawall = node(&origin, true, false, "");
    let plain = get("/tags", &[]);
    assert_eq!([&plain, &plain].map(|call| taken_by(&seawall, call)), [0.0, 1.0]);
    for purge in
        [&["http://example.com/tags"][..], &["--tag", "warm"], &["--host", "example.com"], &["--everything"]]
    {
        for mode in ["--hard", "--soft"] {
            let asked = origin.count();
            let done = seawall.control(&[&["purge"], purge, &[mode]].concat());
            assert_eq!(done.code, Some(0), "{purge:?} {}", done.stderr);
            assert_eq!(taken_by(&seawall, &plain), 0.0, "{purge:?} {mode}");
            assert_eq!(origin.count(), asked + 1, "{purge:?} {mode}");
            assert_eq!(taken_by(&seawall, &plain), 1.0, "{purge:?} {mode}");
        }
    }
    assert_eq!(status(&seawall, &call("PURGE", "/tags", &[])), 200);
    assert_eq!([&plain, &plain].map(|call| taken_by(&seawall, call)), [0.0, 1.0]);
}

#[test]
fn what_still_arrives_is_not() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_: &Request| {
        Reply::new(200).header("cache-control", "max-age=60").body("some").gate(&held).body("more").length(8)
    });
    let seawall = node(&origin, true, false, "");
    let plain = get("/arriving", &[]);
    let mut clients = [RawClient::tcp(seawall.addr(0)), RawClient::tcp(seawall.addr(0))];
    clients[0].call(&plain);
    gate.wait_waiting(1);
    clients[1].call(&plain);
    seawall.wait_metric("seawall_http_requests_in_flight", &[], 2.0);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().text(), "somemore");
    }
    assert_eq!(fast_hits(&seawall), 0.0);
    assert_eq!(taken_by(&seawall, &plain), 1.0, "the control");
    assert_eq!(origin.count(), 1);
}

#[test]
fn nothing_is_when_it_is_off() {
    let origin = Origin::h1(origin::answer);
    let seawall = node(&origin, false, false, "");
    for _ in 0..3 {
        assert_eq!(taken_by(&seawall, &get("/length", &[])), 0.0);
    }
    assert_eq!(origin.count(), 1);
    seawall.wait_metric("seawall_cache_hits_total", &[("tier", "memory")], 2.0);
}
