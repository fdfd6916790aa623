//! Clients that leave or do not read while a hit is sent to them.

use seawall_testkit::{
    DEADLINE, Frame, FrameClient, H2Client, OrDie, Origin, RawClient, Reply, Request, Seawall, body,
    check_body, eventually, request,
};
use serde_json::Value;

use crate::{fast_hits, get, node};

/// More than the kernel takes for a client that does not read.
const LARGE: usize = 12 << 20;

/// What is the same for a hit of either way, in the log and in the counters.
#[derive(Debug, PartialEq)]
struct Left {
    logged: Vec<(&'static str, Value)>,
    counted: Vec<(&'static str, f64)>,
}

/// Lets a client fetch a large hit as it likes, from a node with the fast path and from one without.
fn same_both_ways(limits: &str, leave: impl Fn(&Seawall)) -> Left {
    let [fast, slow] = [true, false].map(|fast| {
        let origin =
            Origin::h1(|_: &Request| Reply::ok(body(3, LARGE)).header("cache-control", "max-age=600"));
        let seawall = node(&origin, fast, false, limits);
        let whole = || {
            let answer = request(seawall.addr(0), &get("/large", &[])).or_die("the whole");
            check_body(3, LARGE, &answer.body).or_die("the body");
        };
        whole();
        seawall.wait_log(|line| line["status"] == 200);
        assert_eq!(fast_hits(&seawall), 0.0);
        leave(&seawall);
        let line = seawall.wait_log(|line| line["error"].as_str().is_some_and(|error| !error.is_empty()));
        let sent = line["bytes_sent"].as_u64().unwrap_or_default();
        assert!(sent < LARGE as u64, "it did not go out whole: {line}");
        seawall.wait_metric("seawall_http_requests_in_flight", &[], 0.0);
        whole();
        seawall.wait_metric("seawall_http_requests_total", &[], 3.0);
        assert_eq!(fast_hits(&seawall), if fast { 2.0 } else { 0.0 });
        assert_eq!(origin.count(), 1);
        eventually(DEADLINE, "the clients to be gone", || {
            seawall.metrics().get("seawall_connections", &[]) == 0.0
        });
        let metrics = seawall.metrics();
        let logged =
            ["status", "error", "cache", "protocol", "site", "route", "method", "uri", "tries", "upstream"];
        let counted = ["seawall_cache_hits_total", "seawall_cache_misses_total", "seawall_cache_objects"];
        let counted = counted.map(|name| (name, metrics.get(name, &[])));
        let by_class =
            |class| metrics.get("seawall_http_requests_total", &[("cache", "hit"), ("status_class", class)]);
        let classes = ["2xx", "4xx", "5xx"].map(|class| (class, by_class(class)));
        Left {
            logged: logged.map(|name| (name, line[name].clone())).to_vec(),
            counted: [&counted[..], &classes].concat(),
        }
    });
    assert_eq!(fast, slow);
    fast
}

impl Left {
    fn error(&self) -> &str {
        self.logged
            .iter()
            .find(|(name, _)| *name == "error")
            .and_then(|(_, error)| error.as_str())
            .unwrap_or_default()
    }
}

/// A client that takes little at once, with the beginning of its answer.
fn reads_a_byte(seawall: &Seawall) -> RawClient {
    let mut client = RawClient::tcp(seawall.addr(0));
    client.receive_buffer(4096).call(&get("/large", &[]));
    assert_eq!(client.read_exact(1), b"H");
    client
}

#[test]
fn one_that_reads_a_byte_and_resets() {
    let left = same_both_ways("", |seawall| reads_a_byte(seawall).reset());
    assert_eq!(left.error(), "client_gone");
}

#[test]
fn one_that_reads_a_byte_and_closes() {
    let left = same_both_ways("", |seawall| drop(reads_a_byte(seawall)));
    assert_eq!(left.error(), "client_gone");
}

/// Whether the node has written down that a client was given up.
fn is_given_up(seawall: &Seawall) {
    seawall.wait_log(|line| line["error"].as_str().is_some_and(|error| !error.is_empty()));
}

const SHORT: &str = "write_timeout: 500ms, min_send_rate: 0";

#[test]
fn one_that_does_not_read() {
    same_both_ways(SHORT, |seawall| {
        let _client = reads_a_byte(seawall);
        is_given_up(seawall);
    });
}

#[test]
fn one_that_opens_no_window() {
    same_both_ways(SHORT, |seawall| {
        let mut client = FrameClient::over(RawClient::tcp(seawall.addr(0)));
        client.send(&Frame::get(1, "example.com", "/large"));
        is_given_up(seawall);
    });
}

#[test]
fn one_that_resets_its_stream() {
    same_both_ways("", |seawall| {
        let client = H2Client::tcp(seawall.addr(0)).or_die("speak HTTP/2");
        let mut stream = client.start(&get("/large", &[])).or_die("begin a stream");
        assert_eq!(stream.head().or_die("a head").status, 200);
        stream.reset(8);
        is_given_up(seawall);
    });
}
