//! Stale responses that are refreshed in the background: never more at once than the origin can take, and nobody waits.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use seawall_testkit::{Call, DEADLINE, Gate, H2Client, Origin, Reply, Request, Seawall, eventually, get};

const YAML: &str = "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
admin: { listen: 'unix:%{dir}/admin.sock' }
cache: { collapse: { %{collapse} } }
upstreams: { app: { servers: ['%{origin}'] }, other: { servers: ['%{origin}'] } }
sites:
  - hosts: [a.example]
    routes:
      - { path: /other/, upstream: other, cache: on }
      - { path: /, upstream: app, cache: on }
";

const OBJECTS: usize = 300;
const CLIENTS: usize = 8;

/// Answers at once, until it is `slow`: then no sooner than the gate opens.
struct Held {
    origin: Origin,
    gate: Gate,
    slow: Arc<AtomicBool>,
}

fn held() -> Held {
    let (gate, slow) = (Gate::new(), Arc::new(AtomicBool::new(false)));
    let (held, is_slow) = (gate.clone(), Arc::clone(&slow));
    let origin = Origin::h1(move |request: &Request| {
        let reply = Reply::ok(request.path().to_owned())
            .header("cache-control", "max-age=600, stale-while-revalidate=600")
            .header("surrogate-key", "red");
        if is_slow.load(SeqCst) { reply.hold(&held) } else { reply }
    });
    Held { origin, gate, slow }
}

fn start(origin: &Origin, collapse: &str) -> Seawall {
    Seawall::with(&YAML.replace("%{collapse}", collapse)).set("origin", origin.addr()).start()
}

/// Every object, asked for by a crowd; hands out what Cache-Status says of each.
fn crowd(seawall: &Seawall, folder: &str) -> Vec<String> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let mut said = Vec::new();
                    for number in (client..OBJECTS).step_by(CLIENTS) {
                        let path = format!("{folder}/{number}");
                        let response = get(seawall.addr(0), "a.example", &path, &[]);
                        assert_eq!((response.status, &response.body[..]), (200, path.as_bytes()));
                        said.push(response.header("cache-status").unwrap_or_default().to_owned());
                    }
                    said
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("all are answered")).collect()
    })
}

fn count(said: &[String], words: &str) -> usize {
    said.iter().filter(|status| status.contains(words)).count()
}

fn purge(seawall: &Seawall) {
    let done = seawall.control(&["purge", "--soft", "--tag", "red"]);
    assert_eq!(done.code, Some(0), "{done:?}");
}

fn refused(seawall: &Seawall, limit: &str) -> f64 {
    seawall.metrics().get("seawall_cache_refreshes_refused_total", &[("limit", limit)])
}

#[test]
fn a_soft_purge_of_many_is_no_herd() {
    let Held { origin, gate, slow } = held();
    let seawall = start(&origin, "refreshes: 8, upstream_refreshes: 5");
    crowd(&seawall, "");
    crowd(&seawall, "/other");
    assert_eq!(count(&crowd(&seawall, ""), "; hit; ttl="), OBJECTS, "negative control: all are stored");
    slow.store(true, SeqCst);
    purge(&seawall);
    // The origin answers nobody before the gate opens, and everybody is answered.
    let first = crowd(&seawall, "");
    assert_eq!(count(&first, "; hit; ttl=-"), OBJECTS, "{first:?}");
    assert_eq!(count(&first, "detail=stale-while-revalidate"), 5);
    assert_eq!(count(&first, "detail=refresh-limit"), OBJECTS - 5, "who is not refreshed does not say so");
    gate.wait_waiting(5);
    let other = crowd(&seawall, "/other");
    assert_eq!(
        count(&other, "detail=stale-while-revalidate"),
        3,
        "the rest of the eight is left for another upstream"
    );
    gate.wait_waiting(8);
    let again = crowd(&seawall, "");
    assert_eq!(count(&again, "detail=stale-while-revalidate"), 5, "those that are under way, and no others");
    assert_eq!(origin.count(), 2 * OBJECTS + 8);
    assert_eq!(gate.waiting(), 8);
    seawall.wait_metric("seawall_cache_refreshes_in_flight", &[], 8.0);
    assert_eq!(seawall.metrics().get("seawall_cache_refreshes_total", &[]), 8.0);
    assert_eq!(refused(&seawall, "upstream") + refused(&seawall, "all"), (3 * OBJECTS - 5 - 3 - 5) as f64);
    assert!(refused(&seawall, "upstream") >= (OBJECTS - 5) as f64 && refused(&seawall, "all") > 0.0);
    // Once there is room again, all of them are refreshed by and by.
    gate.open();
    for folder in ["", "/other"] {
        eventually(DEADLINE, "all to be fresh", || {
            let said = crowd(&seawall, folder);
            if count(&said, "; hit; ttl=-") == 0 { Ok(()) } else { Err(format!("{said:?}")) }
        });
    }
    assert_eq!(origin.count(), 4 * OBJECTS, "each was refreshed once");
    seawall.wait_metric("seawall_cache_refreshes_in_flight", &[], 0.0);
}

/// The negative control: it is the limit that holds them back.
#[test]
fn with_a_large_budget_the_herd_comes() {
    let Held { origin, gate, slow } = held();
    let seawall = start(&origin, "refreshes: 10000, upstream_refreshes: 10000");
    crowd(&seawall, "");
    slow.store(true, SeqCst);
    purge(&seawall);
    let said = crowd(&seawall, "");
    assert_eq!(count(&said, "detail=stale-while-revalidate"), OBJECTS);
    gate.wait_waiting(OBJECTS);
    assert_eq!(refused(&seawall, "all") + refused(&seawall, "upstream"), 0.0);
    gate.open();
    seawall.wait_metric("seawall_cache_refreshes_in_flight", &[], 0.0);
}

/// Pingora hands a refresh the text of the request's head, which has no form for HTTP/2.
#[test]
fn a_request_over_http2_refreshes_too() {
    for host in ["a.example", "a.example:8080"] {
        let origin = held().origin;
        let seawall = start(&origin, "refreshes: 8");
        let ask = |path: &str| {
            let client = H2Client::tcp(seawall.addr(0)).expect("HTTP/2");
            let response = client.exchange(&Call::get(host, path)).expect("an answer");
            assert_eq!((response.status, &response.body[..]), (200, path.as_bytes()));
            assert_eq!(response.header("via"), Some("2.0 seawall"), "the request is told as it came");
            response.header("cache-status").unwrap_or_default().to_owned()
        };
        ask("/1");
        assert!(ask("/1").contains("; hit; ttl="), "negative control: it is stored");
        purge(&seawall);
        assert!(ask("/1").contains("detail=stale-while-revalidate"));
        seawall.wait_metric("seawall_cache_refreshes_in_flight", &[], 0.0);
        assert_eq!(origin.count(), 2, "the origin was asked once more");
        let said = ask("/1");
        assert!(said.contains("; hit; ttl=") && !said.contains("ttl=-"), "it is fresh again: {said}");
        assert_eq!(origin.count(), 2);
    }
}

/// A refresh that fails gives its place back.
#[test]
fn a_failed_refresh_makes_room() {
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    let origin = Origin::h1(move |_: &Request| {
        if fails.load(SeqCst) {
            return Reply::new(503);
        }
        Reply::ok("x")
            .header("cache-control", "max-age=600, stale-while-revalidate=600, stale-if-error=600")
            .header("surrogate-key", "red")
    });
    let seawall = start(&origin, "refreshes: 1, upstream_refreshes: 1");
    for path in ["/1", "/2"] {
        let _ = get(seawall.addr(0), "a.example", path, &[]);
    }
    failing.store(true, SeqCst);
    purge(&seawall);
    for (asked, path) in ["/1", "/2", "/1"].iter().enumerate() {
        let response = get(seawall.addr(0), "a.example", path, &[]);
        let status = response.header("cache-status").unwrap_or_default();
        assert!(status.contains("detail=stale-while-revalidate"), "{status}");
        origin.wait_requests(3 + asked);
        seawall.wait_metric("seawall_cache_refreshes_in_flight", &[], 0.0);
    }
    failing.store(false, SeqCst);
    let _ = get(seawall.addr(0), "a.example", "/1", &[]);
    origin.wait_requests(6);
    seawall.wait_metric("seawall_cache_refreshes_in_flight", &[], 0.0);
    eventually(DEADLINE, "the fresh one", || {
        let response = get(seawall.addr(0), "a.example", "/1", &[]);
        let status = response.header("cache-status").unwrap_or_default().to_owned();
        if status.starts_with("seawall; hit; ttl=5") { Ok(()) } else { Err(status) }
    });
}
