//! Answers that never come, stop in the middle or are none at all. No part may ever pass for the whole.

use std::time::{Duration, Instant};

use seawall_testkit::{
    Call, H2Client, H2Error, Origin, RawClient, ReadError, Reply, Response, Seawall, body, get, request,
};

use crate::rig::{pool, site};

const SIZE: usize = 100_000;

fn front(origin: &Origin, more: &str) -> Seawall {
    pool(&format!("'{}'", origin.addr()), &format!("retries: {{ attempts: 0 }}, {more}"))
}

#[test]
fn silence_before_the_answer_is_a_504_in_time() {
    for (timeouts, origin) in [
        ("first_byte: 300ms", Origin::h1(|_| Reply::silence())),
        ("first_byte: 300ms, read: 300ms", Origin::h1(|_| Reply::silence())),
        // A head that stops half-way is silence, too.
        ("first_byte: 300ms, read: 300ms", Origin::h1(|_| Reply::raw("HTTP/1.1 200 OK\r\nX: ").hang())),
    ] {
        let seawall = front(&origin, &format!("timeouts: {{ {timeouts} }}"));
        let began = Instant::now();
        let response = get(seawall.addr(0), "example.com", "/", &[]);
        assert_eq!(response.status, 504, "{timeouts}");
        assert!(began.elapsed() >= Duration::from_millis(290) && began.elapsed() < Duration::from_secs(5));
        let line = seawall.wait_log(|line| line["status"] == 504);
        assert_eq!(line["error"], "read_timeout");
        let labels = [("upstream", "app"), ("result", "timed_out")];
        seawall.wait_metric("seawall_upstream_requests_total", &labels, 1.0);
    }
    // The control: the same pause within the time is none.
    let origin = Origin::h1(|_| Reply::ok("late").delay(Duration::from_millis(500)));
    let seawall = front(&origin, "timeouts: { first_byte: 10s, read: 300ms }");
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "late");
}

/// An answer that breaks off, and the timeouts that apply.
fn broken_answers() -> Vec<(&'static str, &'static str, Origin)> {
    let kept = |reply: Reply| reply.header("cache-control", "max-age=600").body(body(1, SIZE));
    let cut = SIZE / 2;
    vec![
        ("a length, then the end", "", Origin::h1(move |_| kept(Reply::new(200)).cut(cut))),
        ("a length, then a reset", "", Origin::h1(move |_| kept(Reply::new(200)).cut(cut).reset())),
        ("chunks, then the end", "", Origin::h1(move |_| kept(Reply::new(200)).chunked().cut(cut))),
        ("chunks, then a reset", "", Origin::h1(move |_| kept(Reply::new(200)).chunked().cut(cut).reset())),
        (
            "a whole chunk, but no end",
            "",
            Origin::h1(move |_| kept(Reply::new(200)).chunked().body(body(2, 1000)).cut(SIZE)),
        ),
        (
            "a length, then silence",
            "timeouts: { first_byte: 10s, read: 300ms }",
            Origin::h1(move |_| kept(Reply::new(200)).cut(cut).hang()),
        ),
        (
            "chunks, then silence",
            "timeouts: { first_byte: 300ms, read: 300ms }",
            Origin::h1(move |_| kept(Reply::new(200)).chunked().cut(cut).hang()),
        ),
        (
            "no length, then silence",
            "timeouts: { first_byte: 10s, read: 300ms }",
            Origin::h1(move |_| kept(Reply::new(200)).until_close().cut(cut).hang()),
        ),
        (
            "no length, then a reset",
            "",
            Origin::h1(move |_| kept(Reply::new(200)).until_close().cut(cut).reset()),
        ),
    ]
}

/// A part with a broken end, or, when the failure was there before anything was sent, an error.
#[track_caller]
fn broken(what: &str, outcome: Result<Response, ReadError>) {
    match outcome {
        Err(ReadError::Truncated { partial, .. }) => assert!(partial.body.len() <= SIZE, "{what}"),
        Ok(response) => assert!([502, 504].contains(&response.status), "{what}: {response:?}"),
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn what_breaks_off_never_looks_whole() {
    for (what, more, origin) in broken_answers() {
        let seawall = front(&origin, more);
        broken(what, request(seawall.addr(0), &Call::get("example.com", "/")));
        // The node is well, and says what happened.
        let line = seawall.wait_log(|line| line["uri"] == "/");
        assert_ne!(line["error"], "", "{what}");
    }
}

#[test]
fn what_breaks_off_is_never_kept() {
    for (what, more, origin) in broken_answers() {
        let seawall = site(
            &format!("'{}'", origin.addr()),
            &format!("retries: {{ attempts: 0 }}, {more}"),
            "cache: 1h",
        )
        .start();
        for _ in 0..2 {
            broken(what, request(seawall.addr(0), &Call::get("example.com", "/")));
        }
        assert_eq!(origin.count(), 2, "{what}: the part was not stored");
        let metrics = seawall.metrics();
        assert!(metrics.get("seawall_cache_objects", &[]) < 0.5, "{what}");
        assert!(metrics.get("seawall_cache_fills_failed_total", &[]) > 1.5, "{what}");
        assert!(metrics.get("seawall_cache_fills_in_flight", &[]) < 0.5, "{what}");
    }
    // The control: the whole is kept.
    let origin = Origin::h1(|_| Reply::ok(body(1, SIZE)).header("cache-control", "max-age=600"));
    let seawall = site(&format!("'{}'", origin.addr()), "", "cache: 1h").start();
    for _ in 0..2 {
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).body.len(), SIZE);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn http2_clients_are_told_by_a_reset() {
    for (what, more, origin) in broken_answers() {
        let seawall = Seawall::with(
            "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
upstreams: { app: { servers: ['%{origin}'], retries: { attempts: 0 }, %{more} } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
",
        )
        .set("origin", origin.addr())
        .set("more", more)
        .start();
        let client = H2Client::tcp(seawall.addr(0)).expect("HTTP/2");
        match client.exchange(&Call::get("example.com", "/")) {
            Err(H2Error::Reset { .. }) => {}
            Ok(response) if [502, 504].contains(&response.status) => {}
            other => panic!("{what}: {other:?}"),
        }
        // The other streams of the connection are not harmed.
        assert_eq!(client.exchange(&Call::get("nobody.example", "/")).expect("an answer").status, 421);
    }
}

#[test]
fn http2_origins_that_break_off_are_no_better() {
    let cases: [(&str, &str, Origin); 3] = [
        ("a reset stream", "", Origin::h2(|_| Reply::ok(body(1, SIZE)).cut(1000).stream_reset(2))),
        ("a lost connection", "", Origin::h2(|_| Reply::ok(body(1, SIZE)).cut(1000).reset())),
        (
            "silence",
            "timeouts: { first_byte: 300ms, read: 300ms }, ",
            Origin::h2(|_| Reply::ok(body(1, SIZE)).cut(1000).hang()),
        ),
    ];
    for (what, more, origin) in cases {
        let seawall = front(&origin, &format!("{more}protocol: http2"));
        broken(what, request(seawall.addr(0), &Call::get("example.com", "/")));
    }
}

#[test]
fn what_is_no_http_is_a_502() {
    for raw in [
        "this is not HTTP\r\n\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "",
    ] {
        let origin = Origin::h1(move |_| Reply::raw(raw).close());
        let seawall = front(&origin, "");
        let outcome = request(seawall.addr(0), &Call::get("example.com", "/"));
        let status = outcome.map(|response| response.status);
        assert!(matches!(status, Ok(502)), "{raw:?}: {status:?}");
    }
}

#[test]
fn sloppy_heads_are_made_strict() {
    // RFC 9112 sections 5.1 and 5.2: a proxy takes blanks before a colon and folds out of a response.
    for (raw, expected) in [
        ("HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n", "a"),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", "a b"),
        ("HTTP/1.1 200 OK\nX: a\nContent-Length: 0\n\n", "a"),
    ] {
        let origin = Origin::h1(move |_| Reply::raw(raw).close());
        let seawall = front(&origin, "");
        let response = get(seawall.addr(0), "example.com", "/", &[]);
        let value = response.header("x").map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!((response.status, value.as_deref()), (200, Some(expected)), "{raw:?}");
        assert!(!String::from_utf8_lossy(&response.raw_head).contains("\n "), "{raw:?}");
    }
}

#[test]
fn bytes_behind_an_answer_never_become_the_next_one() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let origin = Origin::h1(move |request| Reply::ok(request.path().to_owned()).extra(poison));
    let seawall = front(&origin, "");
    let mut client = RawClient::tcp(seawall.addr(0));
    for path in ["/a", "/b", "/c"] {
        let response = client.exchange(&Call::get("example.com", path)).expect("an answer");
        assert_eq!((response.status, response.text().as_str()), (200, path));
    }
}
