//! Requests that two parties could read differently, and clients that take more than their share.

use std::time::{Duration, Instant};

use seawall_testkit::{Call, Origin, RawClient, Reply, Seawall, get, request};

fn guarded(origin: &Origin, limits: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
limits: { %{limits} }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
",
    )
    .set("origin", origin.addr())
    .set("limits", limits)
    .start()
}

#[test]
fn ambiguous_heads_never_reach_the_origin() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let seawall = guarded(&origin, "");
    for head in [
        "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: example.com\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: example.com\r\nX: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\nHost: example.com\n\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: example.com\r\nHost: evil.example\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET /a/../../b HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ] {
        let mut client = RawClient::tcp(seawall.addr(0));
        client.send(head);
        let status = client.response().status;
        assert!((400..500).contains(&status) || status == 501, "{head:?} got {status}");
    }
    assert_eq!(origin.count(), 0);
    // The control: a lawful head on the same node passes.
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200);
    assert_eq!(origin.count(), 1);
}

#[test]
fn sizes_have_limits() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let seawall = guarded(&origin, "max_uri: 1KiB, max_headers: 20, max_head: 4KiB, max_body: 1KiB");
    let at = seawall.addr(0);
    assert_eq!(get(at, "example.com", &format!("/{}", "a".repeat(2000)), &[]).status, 414);
    assert_eq!(get(at, "example.com", "/", &[("X-Big", &"a".repeat(5000))]).status, 431);
    let many: Vec<(String, String)> = (0..30).map(|i| (format!("X-{i}"), "a".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(get(at, "example.com", "/", &many).status, 431);
    assert_eq!(
        request(at, &Call::post("example.com", "/", vec![b'x'; 2000])).expect("an answer").status,
        413
    );
    assert_eq!(origin.count(), 0);
    assert_eq!(
        request(at, &Call::post("example.com", "/", vec![b'x'; 1000])).expect("an answer").status,
        200
    );
}

#[test]
fn a_dripping_head_is_cut_and_a_slow_one_is_not() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let seawall = guarded(&origin, "head_timeout: 1s");
    let mut slow = RawClient::tcp(seawall.addr(0));
    slow.send("GET / HTTP/1.1\r\nHost: ").pause(Duration::from_millis(300)).send("example.com\r\n\r\n");
    assert_eq!(slow.response().status, 200);

    let mut dripping = RawClient::tcp(seawall.addr(0));
    dripping.send("GET / HTTP/1.1\r\nHost: example.com\r\nX: ");
    let began = Instant::now();
    while dripping.try_send("a").is_ok() && began.elapsed() < Duration::from_secs(10) {
        dripping.pause(Duration::from_millis(50));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it could drip for {:?}", began.elapsed());
}

#[test]
fn connections_have_a_cap_that_frees_again() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let seawall = guarded(&origin, "max_connections_per_address: 4");
    // The probes of the start may still hold places, or wait for one: what was served came after them.
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200);
    seawall.wait_metric("seawall_connections", &[], 0.0);
    let held: Vec<RawClient> = (0..4).map(|_| RawClient::tcp(seawall.addr(0))).collect();
    seawall.wait_metric("seawall_connections", &[], 4.0);
    let refused = request(seawall.addr(0), &Call::get("example.com", "/"));
    assert!(refused.is_err(), "{refused:?}");
    drop(held);
    seawall.wait_metric("seawall_connections", &[], 0.0);
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200);
}

#[test]
fn what_cannot_start_says_so_and_ends_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let yaml = "
listeners: [{ address: '127.0.0.1:%{taken}' }]
sites: [{ hosts: [example.com], routes: [{ path: /, respond: { body: x } }] }]
";
    let done = Seawall::with(yaml).set("taken", port).fail();
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("in use"), "{}", done.stderr);

    let done = Seawall::with("listeners: [{ adress: x }]\n").fail();
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("did you mean `address`?"), "{}", done.stderr);
}
