//! stale-if-error: an old answer is better than none, for as long as the origin allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use seawall_testkit::{Call, Gate, Origin, Port, Reply, Response, Seawall, eventually, get, request};

use crate::rig::{site, wait_up};

/// How an origin fails in these tests.
const TIMEOUT: u16 = 0;

/// An origin whose answers have these fields, and that fails with a status, or by silence.
struct Failing {
    origin: Origin,
    status: Arc<AtomicU16>,
}

impl Failing {
    fn new(cache_control: &'static str, age: &'static str) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let now = Arc::clone(&status);
        let origin = Origin::h1(move |_| match now.load(Ordering::SeqCst) {
            TIMEOUT => Reply::silence(),
            200 => Reply::ok("good").headers(&[("cache-control", cache_control), ("age", age)]),
            status => Reply::new(status).body("bad").header("cache-control", "no-store"),
        });
        Self { origin, status }
    }

    fn now(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

fn front(origin: &Origin, route: &str) -> Seawall {
    site(
        &format!("'{}'", origin.addr()),
        "timeouts: { first_byte: 300ms, connect: 1s }, retries: { attempts: 0 }",
        &format!("cache: {{ {route} }}"),
    )
    .start()
}

fn ask(seawall: &Seawall) -> Response {
    get(seawall.addr(0), "example.com", "/", &[])
}

fn is_stale(response: &Response) -> bool {
    let status = response.header("cache-status").unwrap_or_default();
    assert_eq!(response.status, 200, "{status}");
    assert_eq!(response.text(), "good");
    // One that came just now and is stale already was stored.
    status.contains("fwd=stale") && status.contains("ttl=-") && !status.contains("stored")
}

/// Already stale when it comes, by some seconds.
const OPEN: &str = "max-age=10, stale-if-error=600";

#[test]
fn every_kind_of_failure_is_covered_within_the_window() {
    for failure in [500, 502, 503, 504, TIMEOUT] {
        let failing = Failing::new(OPEN, "15");
        let seawall = front(&failing.origin, "");
        assert_eq!(ask(&seawall).text(), "good");
        failing.now(failure);
        for _ in 0..2 {
            let response = ask(&seawall);
            assert!(is_stale(&response), "{failure}: {:?}", response.header("cache-status"));
        }
        assert_eq!(failing.origin.count(), 3, "{failure}: the origin is asked each time");
        let labels = [("site", "example.com"), ("cache", "stale")];
        seawall.wait_metric("seawall_http_requests_total", &labels, 2.0);
        failing.now(200);
        let response = ask(&seawall);
        assert_eq!((response.status, response.text().as_str()), (200, "good"));
        assert!(!is_stale(&response), "{failure}: back to normal: {:?}", response.header("cache-status"));
    }
}

#[test]
fn a_refused_connection_is_covered_too() {
    let mut failing = Failing::new(OPEN, "15");
    let seawall = front(&failing.origin, "");
    assert_eq!(ask(&seawall).text(), "good");
    failing.origin.stop();
    assert!(is_stale(&ask(&seawall)));
    // What was never stored cannot be served.
    let other = request(seawall.addr(0), &Call::get("example.com", "/other")).expect("an answer");
    assert_eq!(other.status, 502);
}

#[test]
fn a_pool_without_a_server_is_covered_too() {
    let failing = Failing::new(OPEN, "15");
    let health =
        "health: { http: /, interval: 50ms, timeout: 1s, unhealthy_threshold: 1 }, retries: { attempts: 0 }";
    let seawall = site(&format!("'{}'", failing.origin.addr()), health, "cache: on").start();
    assert_eq!(ask(&seawall).text(), "good");
    failing.now(500);
    wait_up(&seawall, failing.origin.addr(), false);
    assert!(is_stale(&ask(&seawall)));
    let other = request(seawall.addr(0), &Call::get("example.com", "/other")).expect("an answer");
    assert_eq!(other.status, 503);
}

#[test]
fn outside_of_the_window_the_failure_is_told() {
    for (cache_control, age) in [
        ("max-age=10, stale-if-error=20", "31"),
        ("max-age=10", "15"),
        ("max-age=10, must-revalidate, stale-if-error=600", "15"),
        ("max-age=10, proxy-revalidate, stale-if-error=600", "15"),
        ("max-age=10, no-cache, stale-if-error=600", "5"),
    ] {
        for (failure, status) in [(503, 503), (TIMEOUT, 504)] {
            let failing = Failing::new(cache_control, age);
            let seawall = front(&failing.origin, "stale_if_disconnected: 0");
            assert_eq!(ask(&seawall).text(), "good");
            failing.now(failure);
            assert_eq!(ask(&seawall).status, status, "{cache_control}, age {age}");
        }
        let mut failing = Failing::new(cache_control, age);
        let seawall = front(&failing.origin, "stale_if_disconnected: 0");
        assert_eq!(ask(&seawall).text(), "good");
        failing.origin.stop();
        assert_eq!(ask(&seawall).status, 502, "{cache_control}, age {age}");
    }
}

#[test]
fn without_a_word_about_failures_an_origin_that_is_gone_is_covered_and_one_that_fails_is_not() {
    let mut failing = Failing::new("max-age=1", "0");
    let seawall = front(&failing.origin, "");
    assert_eq!(ask(&seawall).text(), "good");
    failing.now(TIMEOUT);
    eventually(Duration::from_secs(10), "the end of its lifetime", || is_stale(&ask(&seawall)));
    failing.origin.stop();
    assert!(is_stale(&ask(&seawall)));
    let _again = failing.origin.again().start();
    failing.now(503);
    assert_eq!(ask(&seawall).status, 503, "an answer is an answer");
}

/// A key that is remembered as uncacheable is not looked up: what is stored under it could not stand in.
#[test]
fn a_failure_that_is_told_does_not_hide_what_is_stored() {
    let mut failing = Failing::new("max-age=1", "0");
    let seawall = front(&failing.origin, "");
    assert_eq!(ask(&seawall).text(), "good");
    failing.now(503);
    eventually(Duration::from_secs(10), "the end of its lifetime", || ask(&seawall).status == 503);
    for _ in 0..2 {
        let told = ask(&seawall);
        assert_eq!(told.status, 503, "no window for failures that are told");
        assert_eq!(told.header("cache-status"), Some("seawall; fwd=stale; detail=no-store"));
    }
    failing.origin.stop();
    assert!(is_stale(&ask(&seawall)));
    assert!(is_stale(&ask(&seawall)));
}

/// Who waits for a fetch shares its failure: all are served what is stored, and the origin is asked once.
#[test]
fn a_crowd_is_covered_as_one_client_is() {
    const CLIENTS: usize = 30;
    for failure in [Reply::new(503), Reply::raw("").close()] {
        let gate = Gate::new();
        let held = gate.clone();
        let first = AtomicBool::new(true);
        let origin = Origin::h1(move |_| {
            if first.swap(false, Ordering::SeqCst) {
                Reply::ok("good").headers(&[("cache-control", OPEN), ("age", "15")])
            } else {
                failure.clone().hold(&held)
            }
        });
        let seawall = site(&format!("'{}'", origin.addr()), "retries: { attempts: 0 }", "cache: on").start();
        assert_eq!(ask(&seawall).text(), "good");
        let crowd: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let address = seawall.addr(0).to_owned();
                std::thread::spawn(move || get(address, "example.com", "/", &[]))
            })
            .collect();
        seawall.wait_metric("seawall_http_requests_in_flight", &[], CLIENTS as f64);
        gate.open();
        for client in crowd {
            let response = client.join().unwrap();
            let status = response.header("cache-status").unwrap_or_default();
            assert_eq!((response.status, response.text().as_str()), (200, "good"), "{status}");
            assert!(status.contains("ttl=-") && status.contains("detail=stale-if-error"), "{status}");
        }
        assert!(origin.count() <= 3, "{} fetches", origin.count());
    }
}

#[test]
fn the_route_gives_a_window_where_the_origin_gives_none() {
    let failing = Failing::new("max-age=10", "15");
    let seawall = front(&failing.origin, "stale_if_error: 10m");
    assert_eq!(ask(&seawall).text(), "good");
    failing.now(502);
    assert!(is_stale(&ask(&seawall)));
}

#[test]
fn only_server_errors_are_covered() {
    let failing = Failing::new(OPEN, "15");
    let seawall = front(&failing.origin, "");
    assert_eq!(ask(&seawall).text(), "good");
    for status in [404, 410, 429] {
        failing.now(status);
        assert_eq!(ask(&seawall).status, status, "the origin is well and means it");
        failing.now(200);
        assert_eq!(ask(&seawall).text(), "good");
    }
}

#[test]
fn a_window_ends_by_itself() {
    let failing = Failing::new("max-age=1, stale-if-error=1", "0");
    let seawall = front(&failing.origin, "");
    assert_eq!(ask(&seawall).text(), "good");
    failing.now(503);
    // Fresh, then stale, then over: nothing else makes the last change but time.
    let mut seen = Vec::new();
    eventually(Duration::from_secs(10), "the end of the window", || {
        let response = ask(&seawall);
        let what = if response.status == 503 {
            "over"
        } else if is_stale(&response) {
            "stale"
        } else {
            "fresh"
        };
        if seen.last() != Some(&what) {
            seen.push(what);
        }
        if what == "over" { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    assert_eq!(seen, ["fresh", "stale", "over"]);
}

#[test]
fn an_origin_that_never_was_there_has_nothing_old() {
    let dead = Port::reserve();
    let seawall = site(&format!("'{}'", dead.addr()), "", "cache: { stale_if_error: 1h }").start();
    assert_eq!(ask(&seawall).status, 502);
}
