//! SIGTERM: no new connections, what runs may end, and it all ends in time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use seawall_testkit::{
    Call, Gate, H2Client, Origin, RawClient, Reply, Seawall, body, check_body, eventually, request,
};

const SIZE: usize = 300_000;

/// A site whose downloads stop half-way until the gate opens.
fn downloads(gate: &Gate, patience: &str) -> (Seawall, Origin) {
    let held = gate.clone();
    let origin = Origin::h1(move |_| {
        let all = body(1, SIZE);
        Reply::ok(&all[..SIZE / 2]).gate(&held).body(&all[SIZE / 2..])
    });
    let seawall = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
server: { shutdown_timeout: '%{patience}' }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
",
    )
    .set("origin", origin.addr())
    .set("patience", patience)
    .start();
    (seawall, origin)
}

fn wait_closed(seawall: &Seawall) {
    eventually(seawall_testkit::DEADLINE, "the listener to close", || {
        RawClient::try_tcp(seawall.addr(0)).is_err()
    });
}

#[test]
fn running_downloads_end_whole() {
    let gate = Gate::new();
    let (mut seawall, _origin) = downloads(&gate, "30s");
    let idle = RawClient::tcp(seawall.addr(0));
    let address = seawall.addr(0).to_owned();
    let h1 = std::thread::spawn(move || request(address, &Call::get("example.com", "/")).expect("all of it"));
    let h2 = H2Client::tcp(seawall.addr(0)).expect("HTTP/2");
    let mut stream = h2.start(&Call::get("example.com", "/")).expect("a stream");
    assert_eq!(stream.head().expect("a head").status, 200);
    gate.wait_waiting(2);
    seawall.signal(Signal::SIGTERM);
    wait_closed(&seawall);
    eventually(seawall_testkit::DEADLINE, "the log to say so", || seawall.stderr().contains("draining"));
    // It can be watched while it drains.
    assert!(seawall.metrics().get("seawall_http_requests_in_flight", &[]) > 1.5);
    gate.open();
    check_body(1, SIZE, &h1.join().expect("a client").body).expect("whole over HTTP/1.1");
    check_body(1, SIZE, &stream.finish().expect("all of it").body).expect("whole over HTTP/2");
    drop((idle, h2));
    let done = seawall.wait();
    assert_eq!((done.code, done.signal), (Some(0), None));
}

#[test]
fn a_download_that_takes_too_long_is_cut_and_never_looks_whole() {
    let gate = Gate::new();
    let (mut seawall, _origin) = downloads(&gate, "500ms");
    let address = seawall.addr(0).to_owned();
    let client = std::thread::spawn(move || request(address, &Call::get("example.com", "/")));
    gate.wait_waiting(1);
    let began = Instant::now();
    seawall.signal(Signal::SIGTERM);
    let done = seawall.wait();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(began.elapsed() >= Duration::from_millis(490) && began.elapsed() < Duration::from_secs(10));
    assert!(done.stderr.contains("still open after 500ms"), "{}", done.stderr);
    assert!(client.join().expect("a client").expect_err("a part").is_truncated());
}

#[test]
fn a_second_signal_ends_the_waiting() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let gate = Gate::new();
        let (mut seawall, _origin) = downloads(&gate, "10m");
        let address = seawall.addr(0).to_owned();
        let client = std::thread::spawn(move || request(address, &Call::get("example.com", "/")));
        gate.wait_waiting(1);
        seawall.signal(Signal::SIGTERM);
        wait_closed(&seawall);
        seawall.signal(second);
        assert_eq!(seawall.wait().code, Some(0), "{second}");
        assert!(client.join().expect("a client").expect_err("a part").is_truncated());
    }
}

#[test]
fn kept_connections_do_not_hold_it_up() {
    let gate = Gate::new();
    gate.open();
    let (mut seawall, _origin) = downloads(&gate, "5m");
    let mut kept: Vec<RawClient> = (0..5).map(|_| RawClient::tcp(seawall.addr(0))).collect();
    for client in &mut kept {
        assert_eq!(client.exchange(&Call::get("example.com", "/")).expect("an answer").status, 200);
    }
    let h2 = H2Client::tcp(seawall.addr(0)).expect("HTTP/2");
    assert_eq!(h2.exchange(&Call::get("example.com", "/")).expect("an answer").status, 200);
    let silent = RawClient::tcp(seawall.addr(0));
    let began = Instant::now();
    seawall.signal(Signal::SIGTERM);
    assert_eq!(seawall.wait().code, Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "idle connections held it up for {:?}",
        began.elapsed()
    );
    drop((kept, silent, h2));
}
