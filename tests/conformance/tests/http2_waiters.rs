//! Requests over HTTP/2 that wait for the answer to another's.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use seawall_testkit::{Call, DEADLINE, Gate, H2Client, H2Stream, Origin, Reply, Seawall, eventually};
use serde_json::Value;

fn start(origin: &Origin) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
",
    )
    .set("origin", origin.addr())
    .start()
}

/// A client with so many requests on their way.
fn client(seawall: &Seawall, count: usize) -> (H2Client, Vec<H2Stream>) {
    let client = H2Client::tcp(seawall.addr(0)).expect("HTTP/2");
    let streams =
        (0..count).map(|_| client.start(&Call::get("example.com", "/x")).expect("a stream")).collect();
    (client, streams)
}

fn wait_in_flight(seawall: &Seawall, count: f64) {
    eventually(DEADLINE, "all requests to be there", || {
        let metrics = seawall.metrics();
        let there = metrics.get("seawall_http_requests_in_flight", &[]);
        if there >= count { Ok(()) } else { Err(metrics.show("seawall_http_requests_in_flight")) }
    });
}

#[test]
fn those_whose_connection_ends_leave_and_the_others_are_answered() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| Reply::ok("body").header("cache-control", "max-age=60").hold(&held));
    let seawall = start(&origin);
    let (_first, leader) = client(&seawall, 1);
    gate.wait_waiting(1);
    let leaving = client(&seawall, 20);
    let (_staying, answered) = client(&seawall, 5);
    wait_in_flight(&seawall, 26.0);
    drop(leaving);
    // The one who fetches and those whose client is still there.
    seawall.wait_metric("seawall_http_requests_in_flight", &[], 6.0);
    let address = seawall.addr(0).to_string();
    let gone = |line: &Value| line["status"] == 499 && line["error"] == "client_gone";
    seawall.wait_log(|line| gone(line) && line["listener"] == address.as_str());
    gate.open();
    for stream in leader.into_iter().chain(answered) {
        assert_eq!(stream.finish().expect("an answer").text(), "body");
    }
    assert_eq!(origin.count(), 1);
    seawall.wait_metric("seawall_http_requests_in_flight", &[], 0.0);
}
