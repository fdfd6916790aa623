//! Origins that fail, and what the client sees of it.

use std::time::{Duration, Instant};

use seawall_testkit::{Call, Origin, Port, Reply, Seawall, get, request};

fn pool(servers: &str, more: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: [%{servers}]%{more} } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
",
    )
    .set("servers", servers)
    .set("more", more)
    .start()
}

#[test]
fn a_dead_server_is_passed_over() {
    let dead = Port::reserve();
    let origin = Origin::h1(|_| Reply::ok("alive"));
    let seawall = pool(&format!("'{}', '{}'", dead.addr(), origin.addr()), "");
    for _ in 0..10 {
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "alive");
    }
    let retries = seawall
        .metrics()
        .get("seawall_upstream_retries_total", &[("upstream", "app"), ("reason", "connect")]);
    assert!(retries >= 1.0);
}

#[test]
fn nobody_left_is_a_clear_answer() {
    let dead = Port::reserve();
    let seawall = pool(&format!("'{}'", dead.addr()), ", retries: { attempts: 0 }");
    let response = get(seawall.addr(0), "example.com", "/", &[]);
    assert_eq!(response.status, 502);
    assert!(!response.text().contains("127.0.0.1"), "no origin in the error: {}", response.text());

    let seawall = pool(
        &format!("'{}'", dead.addr()),
        ", health: { tcp: true, interval: 50ms, timeout: 50ms, unhealthy_threshold: 1 }",
    );
    seawall.wait_metric("seawall_upstream_server_up", &[("upstream", "app")], 0.0);
    let response = get(seawall.addr(0), "example.com", "/", &[]);
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
}

#[test]
fn a_silent_origin_is_a_504_in_time() {
    let origin = Origin::h1(|_| Reply::silence());
    let seawall =
        pool(&format!("'{}'", origin.addr()), ", timeouts: { first_byte: 300ms }, retries: { attempts: 0 }");
    let began = Instant::now();
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 504);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn garbage_is_a_502() {
    let origin = Origin::h1(|_| Reply::raw("this is not HTTP\r\n\r\n").close());
    let seawall = pool(&format!("'{}'", origin.addr()), "");
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 502);
}

#[test]
fn statuses_are_retried_where_that_is_asked_for_and_safe() {
    let bad = Origin::h1(|_| Reply::new(503));
    let good = Origin::h1(|_| Reply::ok("good"));
    let servers = format!("'{}', '{}'", bad.addr(), good.addr());
    let seawall = pool(&servers, ", retries: { on_statuses: [503] }");
    for _ in 0..6 {
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "good");
    }
    assert!(bad.count() >= 1);
    let statuses: Vec<u16> = (0..6)
        .map(|_| request(seawall.addr(0), &Call::post("example.com", "/", "x")).expect("an answer").status)
        .collect();
    assert!(statuses.contains(&503), "a POST is not repeated: {statuses:?}");
}

#[test]
fn health_checks_take_a_server_out_and_back_in() {
    let sick = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let flag = std::sync::Arc::clone(&sick);
    let origin = Origin::h1(move |request| {
        let failing = request.path() == "/healthz" && flag.load(std::sync::atomic::Ordering::SeqCst);
        Reply::new(if failing { 500 } else { 200 }).body("x")
    });
    let seawall = pool(
        &format!("'{}'", origin.addr()),
        ", health: { http: /healthz, interval: 50ms, healthy_threshold: 1, unhealthy_threshold: 1 }",
    );
    seawall.wait_metric("seawall_upstream_server_up", &[("upstream", "app")], 0.0);
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 503);
    sick.store(false, std::sync::atomic::Ordering::SeqCst);
    seawall.wait_metric("seawall_upstream_server_up", &[("upstream", "app")], 1.0);
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200);
}
