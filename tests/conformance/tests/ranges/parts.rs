//! Ranges deep inside an object that is not stored: the part is fetched and stored.

use seawall_testkit::{Call, DEADLINE, Gate, Origin, RawClient, Reply, eventually};

use crate::object::{DEEP, LENGTH, answer, builder, check, object, origin, range, status};
use crate::{both, cached, call, h1, h2, shown};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60"), ("etag", "\"v1\"")];

#[test]
fn a_deep_range_is_fetched_as_it_is_and_kept() {
    for http2 in [false, true] {
        let origin = if http2 { builder(FRESH).http2().start() } else { origin(FRESH) };
        let seawall = cached(&origin, if http2 { "http2" } else { "http1" }, "on");
        let deep = range("bytes=2000000-2000099");
        let miss = h1(&seawall, &deep);
        check(&miss, 2_000_000, 2_000_099);
        assert!(status(&miss).starts_with("seawall; fwd=uri-miss; stored; ttl="), "{}", status(&miss));
        assert_eq!(origin.last().header("range"), Some("bytes=2000000-2000099"));
        for hit in both(&seawall, &deep) {
            check(&hit, 2_000_000, 2_000_099);
            assert!(status(&hit).starts_with("seawall; hit; ttl="), "{}", status(&hit));
            assert!(hit.header("age").is_some());
        }
        for within in both(&seawall, &range("bytes=2000010-2000019")) {
            check(&within, 2_000_010, 2_000_019);
            assert!(status(&within).starts_with("seawall; hit"), "{}", status(&within));
        }
        assert_eq!(origin.count(), 1);
        let beyond = h1(&seawall, &range("bytes=2000050-2000149"));
        check(&beyond, 2_000_050, 2_000_149);
        assert!(status(&beyond).starts_with("seawall; fwd=partial; stored"), "{}", status(&beyond));
        assert_eq!(origin.count(), 2);
        let whole = h2(&seawall, &call("/o", &[]));
        assert!(whole.status == 200 && whole.body == object());
        assert!(status(&whole).starts_with("seawall; fwd=partial; stored"), "{}", status(&whole));
        check(&h1(&seawall, &range("bytes=1500000-1500001")), 1_500_000, 1_500_001);
        assert_eq!(origin.count(), 3, "what is stored whole answers all ranges");
    }
}

#[test]
fn a_suffix_is_fetched_as_it_is_and_kept() {
    let origin = origin(FRESH);
    let seawall = cached(&origin, "http1", "on");
    for _ in 0..2 {
        check(&h1(&seawall, &range("bytes=-100")), LENGTH - 100, LENGTH - 1);
    }
    check(&h1(&seawall, &range("bytes=-10")), LENGTH - 10, LENGTH - 1);
    check(&h1(&seawall, &range(&format!("bytes={}-", LENGTH - 50))), LENGTH - 50, LENGTH - 1);
    assert_eq!(origin.count(), 1);
    assert_eq!(origin.last().header("range"), Some("bytes=-100"));
}

#[test]
fn a_part_answers_what_lies_within_it_near_the_start_too() {
    let origin = origin(FRESH);
    let seawall = cached(&origin, "http1", "on");
    check(&h1(&seawall, &range(&format!("bytes=-{}", LENGTH - 8))), 8, LENGTH - 1);
    for near in both(&seawall, &range("bytes=10-19")) {
        check(&near, 10, 19);
        assert!(status(&near).starts_with("seawall; hit"), "{}", status(&near));
    }
    assert_eq!(origin.count(), 1);
    check(&h1(&seawall, &range("bytes=7-19")), 7, 19);
    assert_eq!(
        (origin.count(), origin.last().header("range")),
        (2, None),
        "for what is not there, the whole"
    );
}

#[test]
fn what_is_near_the_start_or_is_no_single_range_fetches_the_whole() {
    for (cache, call) in [
        ("on", range("bytes=1048575-1048580")),
        ("on", range("bytes=2000000-2000001,2100000-2100001")),
        ("{ range_requests: whole }", range("bytes=2000000-2000099")),
        ("{ key: { headers: [X-A] } }", range("bytes=2000000-2000099")),
        ("{ key: { cookies: [a] } }", range("bytes=2000000-2000099")),
        ("{ max_ranges: 0 }", range("bytes=2000000-2000099")),
    ] {
        let origin = origin(FRESH);
        let seawall = cached(&origin, "http1", cache);
        let status = h1(&seawall, &call).status;
        assert_eq!(status, if cache.contains("max_ranges") { 200 } else { 206 }, "{cache}");
        assert_eq!(origin.last().header("range"), None, "{cache}");
    }
    let origin = origin(FRESH);
    let seawall = cached(&origin, "http1", "on");
    let head = h1(&seawall, &Call::new("HEAD", "example.com", "/o").header("Range", "bytes=2000000-"));
    assert_eq!((head.status, origin.last().header("range")), (200, None));
}

#[test]
fn a_route_may_want_parts_of_everything() {
    let origin = origin(FRESH);
    let seawall = cached(&origin, "http1", "{ range_requests: part }");
    for _ in 0..2 {
        check(&h1(&seawall, &range("bytes=0-99")), 0, 99);
    }
    assert_eq!((origin.count(), origin.last().header("range")), (1, Some("bytes=0-99")));
}

#[test]
fn the_whole_serves_while_it_is_on_its_way() {
    let (gate, whole) = (Gate::new(), object());
    let held = gate.clone();
    let origin = Origin::h1(move |_| {
        let reply = Reply::ok(&whole[..2 * DEEP]).gate(&held).body(&whole[2 * DEEP..]);
        reply.header("content-length", &LENGTH.to_string()).headers(FRESH)
    });
    let seawall = cached(&origin, "http1", "on");
    check(&h1(&seawall, &range("bytes=0-9")), 0, 9);
    check(&h1(&seawall, &range("bytes=1500000-1500009")), 1_500_000, 1_500_009);
    assert_eq!((origin.count(), gate.waiting()), (1, 1));
    gate.open();
}

#[test]
fn many_clients_make_one_fetch_of_a_part() {
    let (gate, whole) = (Gate::new(), object());
    let held = gate.clone();
    let origin = Origin::h1(move |request| answer(request, &whole, FRESH).hold(&held));
    let seawall = cached(&origin, "http1", "on");
    let clients = many(&seawall, 20, "bytes=2000000-2000099");
    gate.wait_waiting(1);
    wait_in_flight(&seawall, 20.0);
    gate.open();
    for client in clients {
        check(&client.join().expect("an answer"), 2_000_000, 2_000_099);
    }
    assert_eq!(origin.count(), 1);
}

/// So many clients who ask for the same range at once.
fn many(
    seawall: &seawall_testkit::Seawall,
    count: usize,
    asked: &'static str,
) -> Vec<std::thread::JoinHandle<seawall_testkit::Response>> {
    let client = |_| {
        let address = seawall.addr(0).to_owned();
        std::thread::spawn(move || seawall_testkit::request(address, &range(asked)).expect("an answer"))
    };
    (0..count).map(client).collect()
}

fn wait_in_flight(seawall: &seawall_testkit::Seawall, wanted: f64) {
    eventually(DEADLINE, "all requests to be there", || {
        let metrics = seawall.metrics();
        let there = metrics.get("seawall_http_requests_in_flight", &[]);
        if there >= wanted { Ok(()) } else { Err(metrics.show("seawall_http_requests_in_flight")) }
    });
}

#[test]
fn an_origin_without_ranges_is_remembered() {
    let (gate, whole) = (Gate::new(), object());
    let held = gate.clone();
    let origin = Origin::h1(move |request| {
        Reply::ok(whole.clone())
            .headers(FRESH)
            .header("x-range", request.header("range").unwrap_or("-"))
            .hold(&held)
    });
    let seawall = cached(&origin, "http1", "on");
    let clients = many(&seawall, 10, "bytes=2000000-2000099");
    gate.wait_waiting(1);
    wait_in_flight(&seawall, 10.0);
    gate.open();
    for client in clients {
        check(&client.join().expect("an answer"), 2_000_000, 2_000_099);
    }
    // Who waited for the part gets it from the whole; but one may look in the moment before that is there.
    assert!(origin.count() <= 2, "{} fetches", origin.count());
    assert_eq!(origin.last().header("range"), Some("bytes=2000000-2000099"));
    let whole = h1(&seawall, &call("/o", &[]));
    assert!(whole.body == object() && status(&whole).starts_with("seawall; hit"), "{}", status(&whole));
    purge(&seawall);
    let again = h1(&seawall, &range("bytes=2000000-2000099"));
    check(&again, 2_000_000, 2_000_099);
    assert_eq!(origin.last().header("range"), None, "the next range fetches the whole");
}

fn purge(seawall: &seawall_testkit::Seawall) {
    let purged = h1(seawall, &Call::new("PURGE", "example.com", "/o"));
    assert_eq!(purged.status, 200);
}

#[test]
fn a_purge_and_a_change_take_the_parts_along() {
    for method in ["PURGE", "POST"] {
        let origin = origin(FRESH);
        let seawall = cached(&origin, "http1", "on");
        let ask = || {
            check(&h1(&seawall, &range("bytes=2000000-2000099")), 2_000_000, 2_000_099);
            check(&h1(&seawall, &range("bytes=2000010-2000019")), 2_000_010, 2_000_019);
        };
        ask();
        let before = origin.count();
        ask();
        assert_eq!(origin.count(), before, "control: stored");
        assert_eq!(h1(&seawall, &Call::new(method, "example.com", "/o")).status, 200);
        let before = origin.count();
        ask();
        assert_eq!(origin.count(), before + 1, "{method}");
    }
}

#[test]
fn conditions_count_for_parts() {
    let origin = origin(FRESH);
    let seawall = cached(&origin, "http1", "on");
    let with = |name: &str, value: &str| range("bytes=2000000-2000099").header(name, value);
    // On a miss and on hits alike.
    for _ in 0..2 {
        for not_modified in both(&seawall, &with("If-None-Match", "\"v1\"")) {
            assert_eq!(shown(&not_modified), (304, "-", String::new()));
        }
        for failed in both(&seawall, &with("If-Match", "\"v0\"")) {
            assert_eq!(shown(&failed), (412, "-", String::new()));
        }
        check(&h1(&seawall, &with("If-Match", "\"v1\"")), 2_000_000, 2_000_099);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn if_range_goes_along() {
    let origin = origin(FRESH);
    let seawall = cached(&origin, "http1", "on");
    let with = |condition: &str| range("bytes=2000000-2000099").header("If-Range", condition);
    check(&h1(&seawall, &with("\"v1\"")), 2_000_000, 2_000_099);
    assert_eq!(origin.last().header("if-range"), Some("\"v1\""));
    check(&h1(&seawall, &with("\"v1\"")), 2_000_000, 2_000_099);
    assert_eq!(origin.count(), 1, "the client's copy is of this version: a hit");
    let whole = h1(&seawall, &with("\"v0\""));
    assert!(whole.status == 200 && whole.body == object(), "of another: it needs the whole");
    assert_eq!(origin.count(), 2);
    check(&h1(&seawall, &range("bytes=1500000-1500001")), 1_500_000, 1_500_001);
    assert_eq!(origin.count(), 2, "which is stored");
}

#[test]
fn an_object_too_large_for_the_store_is_kept_in_parts() {
    let origin = origin(FRESH);
    let seawall = seawall_testkit::Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
cache: { max_object: 1MiB }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
",
    )
    .set("origin", origin.addr())
    .start();
    check(&h1(&seawall, &range("bytes=0-99")), 0, 99);
    assert_eq!(origin.last().header("range"), None, "nobody knew yet");
    for _ in 0..2 {
        check(&h1(&seawall, &range("bytes=0-99")), 0, 99);
        check(&h1(&seawall, &range("bytes=50-69")), 50, 69);
    }
    assert_eq!((origin.count(), origin.last().header("range")), (2, Some("bytes=0-99")));
    // A part that is too large itself passes, and says nothing of the others.
    for _ in 0..2 {
        check(&h1(&seawall, &range("bytes=1048576-")), DEEP, LENGTH - 1);
    }
    assert_eq!(origin.count(), 4);
    check(&h1(&seawall, &range("bytes=0-99")), 0, 99);
    assert_eq!(origin.count(), 4);
}

#[test]
fn a_part_is_finished_after_its_client_left() {
    let (gate, whole) = (Gate::new(), object());
    let held = gate.clone();
    let origin = Origin::h1(move |request| match request.header("range") {
        Some("bytes=2000000-2999999") => Reply::new(206)
            .body(&whole[2_000_000..2_500_000])
            .gate(&held)
            .body(&whole[2_500_000..3_000_000])
            .header("content-length", "1000000")
            .header("content-range", &format!("bytes 2000000-2999999/{LENGTH}"))
            .headers(FRESH),
        _ => Reply::new(500),
    });
    let seawall = cached(&origin, "http1", "on");
    let mut client = RawClient::tcp(seawall.addr(0));
    client.call(&range("bytes=2000000-2999999"));
    let _ = client.read_exact(1000);
    // What is there already is sent to others, of which it has only a part.
    check(&h1(&seawall, &range("bytes=2100000-2100099")), 2_100_000, 2_100_099);
    client.reset();
    gate.open();
    seawall.wait_metric("seawall_cache_objects", &[], 1.0);
    check(&h1(&seawall, &range("bytes=2900000-2999999")), 2_900_000, 2_999_999);
    assert_eq!(origin.count(), 1);
}
