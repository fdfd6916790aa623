//! Checks take servers out and bring them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seawall_testkit::{Origin, Port, Reply, get};

use crate::rig::{list, pool, wait_up};

/// Checks in quick succession, the first one counting.
const QUICK: &str = "interval: 50ms, timeout: 1s, healthy_threshold: 1, unhealthy_threshold: 1";

#[test]
fn http_checks_take_a_server_out_and_back_in() {
    let sick = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&sick);
    let first = Origin::h1(move |request| {
        let failing = request.path() == "/healthz" && flag.load(Ordering::SeqCst);
        Reply::new(if failing { 500 } else { 200 }).body("first")
    });
    let second = Origin::h1(|_| Reply::ok("second"));
    let seawall =
        pool(&list(&[first.addr(), second.addr()]), &format!("health: {{ http: /healthz, {QUICK} }}"));
    let answers =
        || -> Vec<String> { (0..8).map(|_| get(seawall.addr(0), "example.com", "/", &[]).text()).collect() };
    wait_up(&seawall, first.addr(), false);
    assert!(answers().iter().all(|text| text == "second"));
    let failures = seawall.metrics().get(
        "seawall_upstream_health_check_failures_total",
        &[("upstream", "app"), ("server", first.addr())],
    );
    assert!(failures >= 1.0);
    sick.store(false, Ordering::SeqCst);
    wait_up(&seawall, first.addr(), true);
    let answers = answers();
    assert!(answers.iter().any(|text| text == "first") && answers.iter().any(|text| text == "second"));
    assert!(first.requests_for("/healthz").iter().all(|check| check.method == "GET"));
}

#[test]
fn a_connection_is_a_check_too() {
    let mut origin = Origin::h1(|_| Reply::ok("x"));
    let seawall = pool(&list(&[origin.addr()]), &format!("health: {{ tcp: true, {QUICK} }}"));
    wait_up(&seawall, origin.addr(), true);
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200);
    origin.stop();
    wait_up(&seawall, origin.addr(), false);
    let response = get(seawall.addr(0), "example.com", "/", &[]);
    assert_eq!(response.status, 503);
    let after: u32 = response.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
    assert!((1..=600).contains(&after));
    assert!(seawall.metrics().get("seawall_upstream_no_server_total", &[("upstream", "app")]) >= 1.0);
    let again = origin.again().start();
    wait_up(&seawall, again.addr(), true);
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200);
}

#[test]
fn one_slip_is_forgiven() {
    let slips = Arc::new(std::sync::atomic::AtomicUsize::new(2));
    let left = Arc::clone(&slips);
    let origin = Origin::h1(move |_| {
        let slip = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        Reply::new(if slip { 500 } else { 200 })
    });
    let health = "health: { http: /, interval: 50ms, timeout: 1s, unhealthy_threshold: 3 }";
    let seawall = pool(&list(&[origin.addr()]), health);
    origin.wait_requests(4);
    let metrics = seawall.metrics();
    assert!(metrics.get("seawall_upstream_health_check_failures_total", &[]) > 1.5, "it did fail twice");
    assert!(metrics.get("seawall_upstream_server_up", &[]) > 0.5, "three in a row take it out, not two");
}

#[test]
fn without_checks_a_dead_server_stays_in_and_costs_a_retry() {
    let dead = Port::reserve();
    let origin = Origin::h1(|_| Reply::ok("alive"));
    let seawall = pool(&list(&[&dead.addr(), origin.addr()]), "");
    for _ in 0..10 {
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "alive");
    }
    let metrics = seawall.metrics();
    assert!(metrics.get("seawall_upstream_server_up", &[("server", &dead.addr())]) > 0.5);
    assert!(metrics.get("seawall_upstream_retries_total", &[("reason", "connect")]) >= 1.0);
}
