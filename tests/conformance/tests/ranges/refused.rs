//! Parts that are not stored, or not more of them than may be.

use seawall_testkit::{Call, DEADLINE, H2Client, Origin, RawClient, Reply, Seawall, eventually, request};

use crate::object::{LENGTH, answer, check, object, origin, range, status};
use crate::{cached, h1, h2, shown};

const RANGE: &str = "bytes=2000000-2000099";

/// Asks twice with `headers`; whether the second time was a hit.
fn is_shared(origin: &Origin, headers: &[(&str, &str)]) -> bool {
    let seawall = cached(origin, "http1", "on");
    let call = headers.iter().fold(range(RANGE), |call, (name, value)| call.header(name, value));
    check(&h1(&seawall, &call), 2_000_000, 2_000_099);
    let second = h1(&seawall, &call);
    check(&second, 2_000_000, 2_000_099);
    status(&second).starts_with("seawall; hit")
}

#[test]
fn what_may_not_be_shared_as_a_whole_may_not_in_parts() {
    let secret = [("Authorization", "Basic x")];
    assert!(is_shared(&origin(&[("cache-control", "max-age=60")]), &[]), "control");
    assert!(is_shared(&origin(&[("cache-control", "public, max-age=60")]), &secret), "control");
    for fields in [
        &[("cache-control", "private, max-age=60")][..],
        &[("cache-control", "no-store")],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
        &[("cache-control", "max-age=60"), ("vary", "*")],
    ] {
        assert!(!is_shared(&origin(fields), &[]), "{fields:?}");
    }
    assert!(!is_shared(&origin(&[("cache-control", "max-age=60")]), &secret));
}

#[test]
fn a_part_with_a_vary_is_not_stored_and_the_next_range_fetches_the_whole() {
    let origin = origin(&[("cache-control", "max-age=60"), ("vary", "Accept-Language")]);
    let seawall = cached(&origin, "http1", "on");
    let ask = |language: &str| {
        let response = h1(&seawall, &range(RANGE).header("Accept-Language", language));
        check(&response, 2_000_000, 2_000_099);
        status(&response).to_owned()
    };
    let first = ask("de");
    assert!(first.contains("detail=partial-vary") && !first.contains("stored"), "{first}");
    assert_eq!(origin.last().header("range"), Some(RANGE));
    assert!(ask("de").contains("fwd=uri-miss; fwd-status=200; stored"), "the whole, with its variants");
    assert!(ask("de").starts_with("seawall; hit"));
    assert!(ask("fr").contains("fwd=vary-miss"), "never one's part for another");
}

/// An origin that always sends 206 with these fields and this body.
fn wrong(content_range: &'static str, length: usize, chunked: bool) -> Origin {
    Origin::h1(move |_| {
        let reply = Reply::new(206).body(&object()[2_000_000..2_000_000 + length]);
        let reply = reply.headers(&[("cache-control", "max-age=60"), ("content-range", content_range)]);
        if chunked { reply.chunked() } else { reply }
    })
}

#[test]
fn an_answer_to_another_question_is_passed_on_and_never_stored() {
    for content_range in [
        "bytes 2000000-2000099",
        "bytes 2000099-2000000/3145728",
        "bytes 2000000-2000099/2000050",
        "bytes 1999999-2000098/3145728",
        "bytes 2000000-2000100/3145728",
        "bytes */3145728",
        "lines 2000000-2000099/3145728",
    ] {
        let origin = wrong(content_range, 100, false);
        let seawall = cached(&origin, "http1", "on");
        for _ in 0..2 {
            let response = h1(&seawall, &range(RANGE));
            assert_eq!((response.status, response.header("content-range")), (206, Some(content_range)));
            assert!(status(&response).contains("detail=content-range"), "{}", status(&response));
        }
        assert_eq!(origin.count(), 2, "{content_range}");
    }
    let good = wrong("bytes 2000000-2000099/3145728", 100, false);
    let seawall = cached(&good, "http1", "on");
    for _ in 0..2 {
        check(&h1(&seawall, &range(RANGE)), 2_000_000, 2_000_099);
    }
    assert_eq!(good.count(), 1, "control");
}

#[test]
fn only_received_bytes_count() {
    // Content-Length says that fewer come than Content-Range does: that is what is stored, and said.
    let origin = wrong("bytes 2000000-2000099/3145728", 60, false);
    let seawall = cached(&origin, "http1", "on");
    let first = h1(&seawall, &range(RANGE));
    assert_eq!(first.header("content-range"), Some("bytes 2000000-2000099/3145728"), "what the origin says");
    assert_eq!(first.body.len(), 60);
    check(&h1(&seawall, &range(RANGE)), 2_000_000, 2_000_059);
    check(&h1(&seawall, &range("bytes=2000050-2000059")), 2_000_050, 2_000_059);
    assert_eq!(origin.count(), 1);
    let _ = h1(&seawall, &range("bytes=2000050-2000060"));
    assert_eq!(origin.count(), 2, "one byte more is not there");
    // More than it says is no part of anything.
    let origin = wrong("bytes 2000000-2000099/3145728", 120, false);
    let seawall = cached(&origin, "http1", "on");
    for _ in 0..2 {
        assert_eq!(h1(&seawall, &range(RANGE)).body.len(), 120, "passed on");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_part_without_a_length_must_be_what_it_says() {
    for (length, whole) in [(100, true), (60, false), (120, false)] {
        let origin = wrong("bytes 2000000-2000099/3145728", length, true);
        let seawall = cached(&origin, "http1", "on");
        for _ in 0..2 {
            match request(seawall.addr(0), &range(RANGE)) {
                Ok(response) if whole => check(&response, 2_000_000, 2_000_099),
                // So little comes at once that it is seen before anything was sent.
                Ok(response) => assert_eq!(response.status, 502, "{length} bytes pass for 100"),
                Err(error) => assert!(!whole, "{error}"),
            }
        }
        assert_eq!(origin.count(), if whole { 1 } else { 2 }, "{length}");
    }
}

#[test]
fn a_truncated_part_is_never_stored() {
    let whole = object();
    let origin = Origin::h1(move |request| {
        answer(request, &whole, &[("cache-control", "max-age=60")]).cut(500_000).close()
    });
    let seawall = cached(&origin, "http1", "on");
    let long = range("bytes=2000000-2999999");
    for _ in 0..2 {
        let error = request(seawall.addr(0), &long).expect_err("no whole part");
        assert!(error.is_truncated() || error.is_silent_close(), "{error:?}");
        let error = H2Client::tcp(seawall.addr(0)).expect("HTTP/2").exchange(&long);
        assert!(error.is_err(), "{error:?}");
    }
    eventually(DEADLINE, "all fills to be over", || {
        let metrics = seawall.metrics();
        let running = metrics.get("seawall_cache_fills_in_flight", &[]);
        if running < 0.5 { Ok(()) } else { Err(metrics.show("seawall_cache_fills_in_flight")) }
    });
    assert!(seawall.metrics().get("seawall_cache_objects", &[]) < 0.5);
    assert!(origin.count() >= 4, "{}", origin.count());
}

#[test]
fn other_statuses_are_kept_for_the_url() {
    let origin = Origin::h1(|_| Reply::new(404).body("no").header("cache-control", "max-age=60"));
    let seawall = cached(&origin, "http1", "on");
    for call in [range(RANGE), range("bytes=2500000-2500001"), crate::call("/o", &[])] {
        assert_eq!(shown(&h1(&seawall, &call)), (404, "-", "no".to_owned()));
    }
    assert_eq!(origin.count(), 1);
}

fn bounded(origin: &Origin, cache: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
cache: %{cache}
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
",
    )
    .set("origin", origin.addr())
    .set("cache", cache)
    .start()
}

/// Asks for `count` different parts of one byte of each of `paths`.
fn fill(seawall: &Seawall, paths: &[&str], count: usize) {
    let mut client = RawClient::tcp(seawall.addr(0));
    for path in paths {
        for at in 0..count {
            let at = 2_000_000 + 2 * at;
            let call = Call::get("example.com", path).header("Range", &format!("bytes={at}-{at}"));
            let response = client.exchange(&call).expect("a part");
            assert_eq!(response.header("content-range"), Some(format!("bytes {at}-{at}/{LENGTH}").as_str()));
        }
    }
}

#[test]
fn parts_of_one_object_are_bounded() {
    let origin = origin(&[("cache-control", "max-age=60")]);
    let seawall = bounded(&origin, "{}");
    fill(&seawall, &["/o"], 1010);
    let metrics = seawall.metrics();
    for name in ["seawall_cache_objects", "seawall_cache_indexed_parts"] {
        assert!((metrics.get(name, &[]) - 1000.0).abs() < 0.5, "{}", metrics.show(name));
    }
    let before = origin.count();
    check(&h2(&seawall, &range("bytes=2002018-2002018")), 2_002_018, 2_002_018);
    assert_eq!(origin.count(), before, "the newest is there");
    check(&h2(&seawall, &range("bytes=2000000-2000000")), 2_000_000, 2_000_000);
    assert_eq!(origin.count(), before + 1, "the oldest went");
}

#[test]
fn the_index_is_bounded() {
    let origin = origin(&[("cache-control", "max-age=60")]);
    let seawall = bounded(&origin, "{ indexed_parts: 16 }");
    fill(&seawall, &["/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h"], 4);
    let metrics = seawall.metrics();
    assert!(metrics.get("seawall_cache_indexed_parts", &[]) <= 16.0);
    assert!(metrics.get("seawall_cache_indexed_parts_evicted_total", &[]) >= 16.0);
    let capacity = metrics.get("seawall_cache_indexed_parts_capacity", &[]);
    assert!((capacity - 16.0).abs() < 0.5, "{capacity}");
    let objects = metrics.get("seawall_cache_objects", &[]);
    assert!((objects - 32.0).abs() < 0.5, "what the index forgets stays stored: {objects}");
    let before = origin.count();
    fill(&seawall, &["/a"], 4);
    assert_eq!(origin.count(), before, "and is found by its very range");
}
