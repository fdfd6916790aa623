//! A response whose clients have left: it goes on into the store, or stops, as the route says.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use seawall_testkit::{Call, Gate, Origin, RawClient, Reply, Request, Response, Seawall, body, get};

const YAML: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
cache: { %{cache} }
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - hosts: [a.example]
    routes:
      - { path: /, upstream: app, cache: { ttl: 1h, background_fill: %{fill} } }
";

const PIECE: usize = 16 << 10;
const PIECES: usize = 100;

/// `first` of a hundred pieces at once, the others one by one once the gate opens, for longer than a fill goes on anyway.
fn film(first: usize, gate: &Gate) -> Reply {
    let whole = body(1, PIECE * PIECES);
    let (now, later) = whole.split_at(PIECE * first);
    let reply = Reply::new(200).body(now).gate(gate);
    later.chunks(PIECE).fold(reply, |reply, piece| reply.pause(Duration::from_millis(40)).body(piece))
}

fn start(origin: &Origin, fill: &str, cache: &str) -> Seawall {
    let yaml = YAML.replace("%{fill}", fill).replace("%{cache}", cache);
    Seawall::with(&yaml).set("origin", origin.addr()).start()
}

/// Reads a byte of the body.
fn begin(seawall: &Seawall) -> RawClient {
    let mut client = RawClient::tcp(seawall.addr(0));
    client.call(&Call::get("a.example", "/film"));
    let head = client.read_exact(12);
    assert_eq!(head, b"HTTP/1.1 200");
    client
}

fn again(seawall: &Seawall) -> Response {
    get(seawall.addr(0), "a.example", "/film", &[])
}

fn results(seawall: &Seawall) -> [f64; 3] {
    let metrics = seawall.metrics();
    let count = |result| metrics.get("seawall_cache_background_fills_total", &[("result", result)]);
    ["finished", "stopped", "failed"].map(count)
}

fn wait(seawall: &Seawall, result: &str) {
    seawall.wait_metric("seawall_cache_background_fills_total", &[("result", result)], 1.0);
}

#[test]
fn the_route_decides_whether_it_goes_on() {
    let chunked = |reply: Reply, is: bool| if is { reply.chunked() } else { reply };
    for (fill, first, without_length, finishes) in [
        ("on", 1, false, true),
        ("on", 1, true, true),
        ("off", 99, false, true),
        ("off", 40, false, false),
        ("50%", 5, false, false),
        ("50%", 60, false, true),
        ("50%", 60, true, false),
    ] {
        let gate = Gate::new();
        let at_gate = gate.clone();
        let origin = Origin::h1(move |_: &Request| chunked(film(first, &at_gate), without_length));
        let seawall = start(&origin, fill, "");
        let client = begin(&seawall);
        gate.wait_waiting(1);
        drop(client);
        gate.open();
        wait(&seawall, if finishes { "finished" } else { "stopped" });
        assert_eq!(results(&seawall).iter().sum::<f64>(), 1.0, "{fill} {first}");
        let response = again(&seawall);
        assert_eq!((response.status, response.body == body(1, PIECE * PIECES)), (200, true));
        assert_eq!(origin.count(), if finishes { 1 } else { 2 }, "{fill} {first}");
        let server = [("upstream", "app"), ("server", origin.addr()), ("result", "broken")];
        let blamed = seawall.metrics().find("seawall_upstream_server_requests_total", &server);
        assert!(blamed.is_none_or(|count| count == 0.0), "it is no fault of the origin");
    }
}

/// Who pays for the fill leaves; somebody else reads along to the end.
#[test]
fn it_goes_on_for_another_reader() {
    let gate = Gate::new();
    let at_gate = gate.clone();
    let origin = Origin::h1(move |_: &Request| film(10, &at_gate));
    let seawall = start(&origin, "off", "");
    let first = begin(&seawall);
    gate.wait_waiting(1);
    let mut second = RawClient::tcp(seawall.addr(0));
    second.call(&Call::get("a.example", "/film"));
    seawall.wait_metric("seawall_cache_streamed_hits_total", &[("tier", "memory")], 1.0);
    drop(first);
    gate.open();
    assert!(second.response().body == body(1, PIECE * PIECES));
    wait(&seawall, "finished");
    assert_eq!((again(&seawall).status, origin.count()), (200, 1));
}

/// What has grown too large to be stored is for its clients alone, whatever the setting.
#[test]
fn what_is_not_to_be_stored_stops() {
    let gate = Gate::new();
    let at_gate = gate.clone();
    let origin = Origin::h1(move |_: &Request| film(10, &at_gate).chunked());
    let seawall = start(&origin, "on", "max_object: 512KiB");
    let client = begin(&seawall);
    gate.wait_waiting(1);
    drop(client);
    gate.open();
    wait(&seawall, "stopped");
    seawall.wait_metric("seawall_cache_fills_in_flight", &[("tier", "memory")], 0.0);
}
