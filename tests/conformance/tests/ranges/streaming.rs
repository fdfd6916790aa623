//! Ranges of a response that is on its way into the store, and of one that is not stored.

use seawall_testkit::{Call, Gate, Origin, Reply, Seawall, body};

use crate::{both, cached, call, h1, h2, shown};

const LENGTH: usize = 300_000;
/// What comes before the gate.
const FIRST: usize = 200_000;

/// A body whose end waits at `gate`.
fn gated(gate: &Gate, http2: bool) -> Origin {
    let gate = gate.clone();
    let reply = move |_: &seawall_testkit::Request| {
        let whole = body(7, LENGTH);
        let reply = Reply::ok(&whole[..FIRST]).gate(&gate).body(&whole[FIRST..]);
        reply.header("content-length", &LENGTH.to_string()).header("cache-control", "max-age=60")
    };
    if http2 { Origin::h2(reply) } else { Origin::h1(reply) }
}

fn protocol(http2: bool) -> &'static str {
    if http2 { "http2" } else { "http1" }
}

fn expected(from: usize, to: usize) -> String {
    body(7, LENGTH)[from..to].iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn what_has_come_is_sent_before_the_rest_has() {
    for http2 in [false, true] {
        let gate = Gate::new();
        let origin = gated(&gate, http2);
        let seawall = cached(&origin, protocol(http2), "on");
        let asked = call("/", &[("Range", "bytes=100000-100009")]);
        // The first starts the fetch, the second reads along.
        for response in [h1(&seawall, &asked), h2(&seawall, &asked), h1(&seawall, &asked)] {
            let wanted = (206, "bytes 100000-100009/300000", expected(100_000, 100_010));
            assert_eq!(shown(&response), wanted, "http2: {http2}");
        }
        for response in both(&seawall, &call("/", &[("Range", "bytes=300000-")])) {
            assert_eq!(shown(&response), (416, "bytes */300000", String::new()));
        }
        assert_eq!((origin.count(), gate.waiting()), (1, 1));
        gate.open();
        let last = h1(&seawall, &call("/", &[("Range", "bytes=-10")]));
        assert_eq!(shown(&last), (206, "bytes 299990-299999/300000", expected(299_990, 300_000)));
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn a_range_that_does_not_exist_waits_for_nothing() {
    for http2 in [false, true] {
        for ask in [h1 as fn(&Seawall, &Call) -> _, h2] {
            let gate = Gate::new();
            let origin = gated(&gate, http2);
            let seawall = cached(&origin, protocol(http2), "on");
            let response = ask(&seawall, &call("/", &[("Range", "bytes=300000-300001")]));
            assert_eq!(shown(&response), (416, "bytes */300000", String::new()), "http2: {http2}");
            gate.wait_waiting(1);
            gate.open();
            seawall.wait_metric("seawall_cache_objects", &[], 1.0);
        }
    }
}

#[test]
fn several_ranges_come_in_the_order_of_the_bytes() {
    for http2 in [false, true] {
        for ask in [h1 as fn(&Seawall, &Call) -> _, h2] {
            let gate = Gate::new();
            gate.open();
            let origin = gated(&gate, http2);
            let seawall = cached(&origin, protocol(http2), "on");
            let response = ask(&seawall, &call("/", &[("Range", "bytes=250000-250001,5-6")]));
            assert_eq!(response.status, 206);
            let text = response.text();
            let (first, last) = (text.find("bytes 5-6/300000"), text.find("bytes 250000-250001/300000"));
            assert!(first.is_some() && first < last, "{text}");
            let length = response.body.len().to_string();
            assert_eq!(response.header("content-length"), Some(length.as_str()));
            seawall.wait_metric("seawall_cache_objects", &[], 1.0);
        }
    }
}

#[test]
fn what_is_not_stored_is_cut_too() {
    for http2 in [false, true] {
        let reply = |request: &seawall_testkit::Request| {
            // An origin that knows no ranges; HTTP/2 does not say the length by itself.
            assert_eq!(request.header("range"), None, "the whole is asked for");
            Reply::ok("0123456789").headers(&[("cache-control", "private"), ("content-length", "10")])
        };
        for ask in [h1 as fn(&Seawall, &Call) -> _, h2] {
            let origin = if http2 { Origin::h2(reply) } else { Origin::h1(reply) };
            let seawall = cached(&origin, protocol(http2), "on");
            for (path, range, status, content_range, part) in
                [("/a", "bytes=2-4", 206, "bytes 2-4/10", "234"), ("/b", "bytes=20-", 416, "bytes */10", "")]
            {
                let response = ask(&seawall, &call(path, &[("Range", range)]));
                assert_eq!(shown(&response), (status, content_range, part.to_owned()), "http2: {http2}");
            }
            let failed = ask(&seawall, &call("/c", &[("If-Match", "\"x\"")]));
            assert_eq!(shown(&failed), (412, "-", String::new()), "http2: {http2}");
        }
    }
}
