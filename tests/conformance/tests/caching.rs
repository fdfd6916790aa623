//! What is kept, for whom, and what the client is told.

use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_testkit::{
    Call, Gate, Origin, RawClient, Reply, Seawall, body, check_body, eventually, get, request,
};

fn cached(origin: &Origin, rule: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
cache: { purge: { allow: [127.0.0.1] } }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com, other.example], routes: [{ path: /, upstream: app, cache: %{rule} }] }]
",
    )
    .set("origin", origin.addr())
    .set("rule", rule)
    .start()
}

fn numbered(headers: &'static [(&'static str, &'static str)]) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::h1(move |_| Reply::ok(format!("{}", count.fetch_add(1, Ordering::SeqCst) + 1)).headers(headers))
}

#[test]
fn a_second_request_is_a_hit_with_its_age() {
    let origin = numbered(&[("cache-control", "max-age=60"), ("age", "7")]);
    let seawall = cached(&origin, "on");
    let miss = get(seawall.addr(0), "example.com", "/x", &[]);
    // The ttl is rounded down, so the moment since the answer came may already show.
    let status = miss.header("cache-status").unwrap_or_default();
    assert!(
        ["53", "52"].iter().any(|ttl| status == format!("seawall; fwd=uri-miss; stored; ttl={ttl}")),
        "{status}"
    );
    let hit = get(seawall.addr(0), "example.com", "/x", &[]);
    assert_eq!(hit.text(), "1");
    assert!(hit.header("cache-status").is_some_and(|status| status.starts_with("seawall; hit; ttl=5")));
    assert!(hit.header("age").is_some_and(|age| age == "7" || age == "8"));
    assert_eq!(get(seawall.addr(0), "other.example", "/x", &[]).text(), "2", "the host is in the key");
    assert_eq!(get(seawall.addr(0), "example.com", "/x?", &[]).text(), "3", "the query is in the key");
    seawall.wait_metric("seawall_cache_hits_total", &[], 1.0);
}

#[test]
fn what_is_private_is_never_shared() {
    for headers in [
        &[("cache-control", "private, max-age=60")][..],
        &[("cache-control", "no-store")],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
        &[("cache-control", "max-age=60"), ("vary", "*")],
    ] {
        let origin = numbered(headers);
        let seawall = cached(&origin, "1h");
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "1");
        let second = get(seawall.addr(0), "example.com", "/", &[]);
        assert_eq!(second.text(), "2", "{headers:?}: {:?}", second.header("cache-status"));
    }
    let origin = numbered(&[("cache-control", "max-age=60")]);
    let seawall = cached(&origin, "on");
    let secret = [("Authorization", "Basic x")];
    assert_eq!(get(seawall.addr(0), "example.com", "/", &secret).text(), "1");
    assert_eq!(get(seawall.addr(0), "example.com", "/", &secret).text(), "2");
}

#[test]
fn variants_are_told_apart() {
    let origin = Origin::h1(|request| {
        let language = request.header("accept-language").unwrap_or("none").to_owned();
        Reply::ok(language).headers(&[("cache-control", "max-age=60"), ("vary", "Accept-Language")])
    });
    let seawall = cached(&origin, "on");
    for _ in 0..2 {
        for language in ["de", "fr"] {
            let response = get(seawall.addr(0), "example.com", "/", &[("Accept-Language", language)]);
            assert_eq!(response.text(), language);
        }
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn many_clients_make_one_fetch() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin =
        Origin::h1(move |_| Reply::ok(body(1, 200_000)).header("cache-control", "max-age=60").hold(&held));
    let seawall = cached(&origin, "on");
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let address = seawall.addr(0).to_owned();
            std::thread::spawn(move || get(address, "example.com", "/big", &[]))
        })
        .collect();
    gate.wait_waiting(1);
    eventually(seawall_testkit::DEADLINE, "all requests to be there", || {
        let metrics = seawall.metrics();
        let waiting = metrics.get("seawall_http_requests_in_flight", &[]);
        if waiting >= 50.0 { Ok(()) } else { Err(metrics.show("seawall_http_requests_in_flight")) }
    });
    gate.open();
    for client in clients {
        let response = client.join().expect("an answer");
        check_body(1, 200_000, &response.body).expect("the whole body");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_stale_response_is_revalidated_or_served_while_it_is() {
    let origin = Origin::h1(|request| {
        let fields = [("cache-control", "max-age=0"), ("etag", "\"v1\"")];
        if request.header("if-none-match") == Some("\"v1\"") {
            Reply::new(304).headers(&fields)
        } else {
            Reply::ok("body").headers(&fields)
        }
    });
    let seawall = cached(&origin, "on");
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "body");
    let second = get(seawall.addr(0), "example.com", "/", &[]);
    assert_eq!((second.status, second.text().as_str()), (200, "body"));
    assert!(
        second
            .header("cache-status")
            .is_some_and(|s| s.contains("fwd=stale") && s.contains("fwd-status=304"))
    );

    let origin = numbered(&[("cache-control", "max-age=0, stale-while-revalidate=60")]);
    let seawall = cached(&origin, "on");
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "1");
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "1", "served while it is refreshed");
    origin.wait_requests(2);
}

#[test]
fn origins_may_speak_to_surrogates_alone() {
    let origin = Origin::h1(|request| {
        let capability = request.header("surrogate-capability").unwrap_or("none").to_owned();
        Reply::ok(capability)
            .headers(&[("cache-control", "no-store"), ("surrogate-control", "max-age=60;seawall")])
    });
    let seawall = cached(&origin, "on");
    for round in 0..2 {
        let own = [("Surrogate-Capability", "x=\"ESI/1.0\"")];
        let response = get(seawall.addr(0), "example.com", "/", &own);
        assert_eq!(response.text(), "seawall=\"Surrogate/1.0\"", "a client's own would be stored for all");
        assert_eq!(response.header("surrogate-control"), None, "round {round}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "round {round}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn no_connection_is_closed_that_was_to_be_kept() {
    for failing in [Reply::raw("").close(), Reply::new(503)] {
        let fresh = AtomicUsize::new(1);
        let origin = Origin::h1(move |_| {
            if fresh.swap(0, Ordering::SeqCst) == 1 {
                Reply::ok("kept").header("cache-control", "max-age=0, stale-if-error=60")
            } else {
                failing.clone()
            }
        });
        let seawall = cached(&origin, "on");
        let mut client = RawClient::tcp(seawall.addr(0));
        for round in 0..4 {
            let response = client.exchange(&Call::get("example.com", "/")).expect("an answer");
            assert_eq!(response.text(), "kept", "round {round}");
            let ends = response.header("connection") == Some("close");
            assert!(round > 0 || !ends, "the first answer is an ordinary one");
            if ends {
                client = RawClient::tcp(seawall.addr(0));
            }
        }
        assert!(origin.count() >= 4, "the origin was asked each time");
    }
}

#[test]
fn a_reload_leaves_alone_what_is_immutable() {
    let origin = numbered(&[("cache-control", "max-age=60, immutable")]);
    let changing = numbered(&[("cache-control", "max-age=60")]);
    for (origin, after_reload, after_force) in [(origin, "1", "2"), (changing, "2", "3")] {
        let seawall = cached(&origin, "{ profile: standard }");
        let ask = |headers: &[(&str, &str)]| get(seawall.addr(0), "example.com", "/", headers).text();
        assert_eq!(ask(&[]), "1");
        // What a browser sends for a reload, and for a forced one.
        assert_eq!(ask(&[("Cache-Control", "max-age=0")]), after_reload);
        assert_eq!(ask(&[("Cache-Control", "no-cache"), ("Pragma", "no-cache")]), after_force);
    }
}

#[test]
fn one_clients_odd_request_sends_nobody_past_the_cache() {
    let origin = Origin::h1(|request| match request.header("x-variant") {
        Some("odd") => Reply::new(413).body("no"),
        _ => Reply::ok("kept").headers(&[("cache-control", "max-age=60"), ("vary", "x-variant")]),
    });
    let seawall = cached(&origin, "on");
    let ask = |variant: &str| get(seawall.addr(0), "example.com", "/", &[("X-Variant", variant)]);
    assert_eq!(ask("usual").text(), "kept");
    assert_eq!(ask("odd").status, 413);
    let hit = ask("usual");
    assert!(hit.header("cache-status").is_some_and(|status| status.contains("hit")), "{hit:?}");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_purge_is_for_those_who_may() {
    let origin = numbered(&[("cache-control", "max-age=60")]);
    let seawall = cached(&origin, "on");
    let purge = Call::new("PURGE", "example.com", "/x");
    assert_eq!(get(seawall.addr(0), "example.com", "/x", &[]).text(), "1");
    assert_eq!(request(seawall.addr(0), &purge).expect("an answer").status, 200);
    assert_eq!(get(seawall.addr(0), "example.com", "/x", &[]).text(), "2");
    assert_eq!(
        request(seawall.addr(0), &Call::new("PURGE", "example.com", "/y")).expect("an answer").status,
        404
    );

    let closed = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
",
    )
    .set("origin", origin.addr())
    .start();
    assert_eq!(request(closed.addr(0), &purge).expect("an answer").status, 403);
}

#[test]
fn client_conditions_and_ranges_are_answered_from_the_store() {
    let origin = Origin::h1(|_| {
        Reply::ok("0123456789").headers(&[("cache-control", "max-age=60"), ("etag", "\"a\"")])
    });
    let seawall = cached(&origin, "on");
    let at = seawall.addr(0);
    assert_eq!(get(at, "example.com", "/", &[]).status, 200);
    assert_eq!(get(at, "example.com", "/", &[("If-None-Match", "\"a\"")]).status, 304);
    assert_eq!(get(at, "example.com", "/", &[("If-Match", "\"b\"")]).status, 412);
    let part = get(at, "example.com", "/", &[("Range", "bytes=2-4")]);
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(get(at, "example.com", "/", &[("Range", "bytes=50-")]).status, 416);
    assert_eq!(get(at, "example.com", "/", &[("Range", "bytes=2-4"), ("If-Range", "\"old\"")]).status, 200);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_truncated_body_is_never_kept() {
    let origin =
        Origin::h1(|_| Reply::ok(body(2, 100_000)).header("cache-control", "max-age=60").cut(50_000).close());
    let seawall = cached(&origin, "on");
    for _ in 0..2 {
        let error = request(seawall.addr(0), &Call::get("example.com", "/")).expect_err("no whole body");
        assert!(error.is_truncated() || error.is_silent_close(), "{error:?}");
    }
    assert!(origin.count() >= 2, "the part was not stored");
    assert!(seawall.metrics().get("seawall_cache_objects", &[]) < 0.5);
}
