//! What one client may take, each limit with its control: the same client passes when the limit is raised.

use std::time::{Duration, Instant};

use seawall_testkit::{
    Call, Closing, Frame, FrameClient, Gate, H2Client, H2Error, Origin, RawClient, Reply, Seawall, get, kind,
    request,
};

fn guarded(origin: &Origin, limits: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
limits: { %{limits} }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
",
    )
    .set("origin", origin.addr())
    .set("limits", limits)
    .start()
}

fn echo() -> Origin {
    Origin::h1(|request| Reply::ok(request.body.clone()))
}

fn refused(seawall: &Seawall, reason: &str) {
    seawall.wait_metric("seawall_http_requests_refused_total", &[("reason", reason)], 1.0);
}

#[test]
fn sizes_that_are_refused_pass_with_a_larger_limit() {
    let origin = echo();
    let (big_field, long_path) = ("a".repeat(5000), format!("/{}", "a".repeat(2000)));
    let many = (0..30).fold(Call::get("example.com", "/"), |call, n| call.header(&format!("X-{n}"), "a"));
    let chunked = Call::post("example.com", "/", vec![b'x'; 2000]).trailer("X-End", "1");
    let calls = [
        (Call::get("example.com", &long_path), 414, "target_too_long"),
        (Call::get("example.com", "/").header("X-Big", &big_field), 431, "max_head"),
        (many, 431, "too_many_fields"),
        (Call::post("example.com", "/", vec![b'x'; 2000]), 413, "body_too_large"),
        (chunked, 413, "body_too_large"),
    ];
    let lax = guarded(&origin, "max_uri: 4KiB, max_headers: 100, max_head: 16KiB, max_body: 4KiB");
    for (call, status, reason) in &calls {
        let strict = guarded(&origin, "max_uri: 1KiB, max_headers: 20, max_head: 4KiB, max_body: 1KiB");
        let response = request(strict.addr(0), call).expect("an answer");
        assert_eq!(response.status, *status, "HTTP/1.1");
        refused(&strict, reason);
        let h2 = H2Client::tcp(strict.addr(0)).expect("HTTP/2");
        match h2.exchange(call) {
            Ok(response) => assert_eq!(response.status, *status, "HTTP/2"),
            // A list that is far too large is refused by the HTTP/2 layer itself.
            Err(error) => assert!(matches!(error, H2Error::Reset { .. } | H2Error::GoAway(_)), "{error}"),
        }
        assert_eq!(request(lax.addr(0), call).expect("an answer").status, 200, "the control, HTTP/1.1");
        let h2 = H2Client::tcp(lax.addr(0)).expect("HTTP/2");
        assert_eq!(h2.exchange(call).expect("an answer").status, 200, "the control, HTTP/2");
    }
}

/// Sends bytes one by one with pauses; whether all could be sent.
fn drip(client: &mut RawClient, bytes: &[u8], pause: Duration) -> bool {
    bytes.iter().all(|byte| {
        client.pause(pause);
        client.try_send([*byte]).is_ok()
    })
}

#[test]
fn a_head_has_one_deadline_for_all_of_it() {
    let origin = echo();
    let head = b"GET / HTTP/1.1\r\nHost: example.com\r\nX: aaaaaaaaaa\r\n\r\n";
    let strict = guarded(&origin, "head_timeout: 500ms");
    let mut client = RawClient::tcp(strict.addr(0));
    let began = Instant::now();
    drip(&mut client, head, Duration::from_millis(25));
    let status = client.read_response("GET").map(|response| response.status);
    assert!(!matches!(status, Ok(200)), "{status:?}");
    assert!(began.elapsed() >= Duration::from_millis(490));
    refused(&strict, "head_timeout");

    let lax = guarded(&origin, "head_timeout: 20s");
    let mut client = RawClient::tcp(lax.addr(0));
    assert!(drip(&mut client, head, Duration::from_millis(25)));
    assert_eq!(client.response().status, 200);
}

const POST: &str = "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 40\r\n\r\n";

#[test]
fn a_body_that_stalls_is_cut() {
    let origin = echo();
    for (limits, passes) in [("body_timeout: 300ms, min_body_rate: 0", false), ("body_timeout: 20s", true)] {
        let seawall = guarded(&origin, limits);
        let mut client = RawClient::tcp(seawall.addr(0));
        client.send(POST).send([b'x'; 20]).pause(Duration::from_millis(900));
        if passes {
            client.send([b'y'; 20]);
            assert_eq!(client.response().body.len(), 40);
        } else {
            let status = client.read_response("POST").map(|response| response.status);
            assert!(!matches!(status, Ok(200)), "{status:?}");
            refused(&seawall, "body_timeout");
        }
    }
    let whole = origin.requests().iter().filter(|request| request.flaw.is_none()).count();
    assert_eq!(whole, 1, "half a body is no request");
}

#[test]
fn a_body_below_the_rate_is_cut() {
    let origin = echo();
    // 40 bytes in 2 s are 20 bytes a second.
    for (rate, passes) in [("200B", false), ("4B", true)] {
        let seawall =
            guarded(&origin, &format!("body_timeout: 20s, rate_window: 500ms, min_body_rate: {rate}"));
        let mut client = RawClient::tcp(seawall.addr(0));
        client.send(POST);
        drip(&mut client, &[b'x'; 40], Duration::from_millis(50));
        let status = client.read_response("POST").map(|response| response.status);
        assert_eq!(matches!(status, Ok(200)), passes, "{rate}: {status:?}");
        if !passes {
            refused(&seawall, "min_body_rate");
        }
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = echo();
    for (limits, open) in [("idle_timeout: 300ms", false), ("idle_timeout: 30s", true)] {
        let seawall = guarded(&origin, limits);
        let mut client = RawClient::tcp(seawall.addr(0));
        assert_eq!(client.exchange(&Call::get("example.com", "/")).expect("an answer").status, 200);
        let closing = client.closing(if open { Duration::from_millis(900) } else { Duration::from_secs(10) });
        assert_eq!(closing, if open { Closing::Open } else { Closing::Closed }, "{limits}");
        let h2 = H2Client::tcp(seawall.addr(0)).expect("HTTP/2");
        assert_eq!(h2.exchange(&Call::get("example.com", "/")).expect("an answer").status, 200);
        if open {
            assert!(!h2.has_ended());
        } else {
            let _ = h2.wait_end();
        }
    }
}

#[test]
fn connections_have_a_cap_in_all() {
    let origin = echo();
    let seawall = guarded(&origin, "max_connections: 5, max_connections_per_address: 5");
    // The probes of the start may still hold places, or wait for one: what was served came after them.
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200);
    seawall.wait_metric("seawall_connections", &[], 0.0);
    let held: Vec<RawClient> = (0..5).map(|_| RawClient::tcp(seawall.addr(0))).collect();
    seawall.wait_metric("seawall_connections", &[], 5.0);
    let outcome = request(seawall.addr(0), &Call::get("example.com", "/"));
    assert!(outcome.is_err(), "{outcome:?}");
    let labels = [("reason", "max_connections")];
    seawall.wait_metric("seawall_connections_refused_total", &labels, 1.0);
    drop(held);
    seawall.wait_metric("seawall_connections", &[], 0.0);
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200, "places come free again");

    let lax = guarded(&origin, "max_connections: 6, max_connections_per_address: 6");
    assert_eq!(get(lax.addr(0), "example.com", "/", &[]).status, 200);
    lax.wait_metric("seawall_connections", &[], 0.0);
    let _held: Vec<RawClient> = (0..5).map(|_| RawClient::tcp(lax.addr(0))).collect();
    lax.wait_metric("seawall_connections", &[], 5.0);
    assert_eq!(get(lax.addr(0), "example.com", "/", &[]).status, 200);
}

#[test]
fn http2_streams_have_a_cap_on_each_connection() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| Reply::ok("late").hold(&held));
    for (limits, passes) in [("h2: { max_streams: 4 }", false), ("h2: { max_streams: 8 }", true)] {
        let seawall = guarded(&origin, limits);
        // A client that does not care what the server allows.
        let mut client = FrameClient::over(RawClient::tcp(seawall.addr(0)));
        for stream in [1, 3, 5, 7, 9] {
            client.send(&Frame::get(stream, "example.com", "/"));
        }
        if passes {
            gate.wait_waiting(5);
        } else {
            let reset = client.read_until(kind::RST_STREAM);
            // REFUSED_STREAM (RFC 9113 section 7): it may be sent again.
            assert_eq!((reset.stream, reset.code()), (9, Some(7)));
            gate.wait_waiting(4);
            assert_eq!(origin.count(), 4);
        }
        drop(client);
        seawall.wait_metric("seawall_http_requests_in_flight", &[], 0.0);
    }
}
