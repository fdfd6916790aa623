//! A connection becomes a tunnel only when both ends speak WebSocket.

use seawall_testkit::{Closing, DEADLINE, Gate, Origin, RawClient, Reply, Seawall};

/// The key and its proof of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const PROOF: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// What an attacker would like to reach the origin unseen.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n";

fn in_front_of(origin: &Origin) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
",
    )
    .set("origin", origin.addr())
    .start()
}

fn asking(fields: &str) -> String {
    format!("GET /chat HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n")
}

fn handshake() -> String {
    asking(&format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    ))
}

#[test]
fn a_right_101_is_a_tunnel() {
    let origin = Origin::h1(|_| Reply::upgrade("websocket").header("Sec-WebSocket-Accept", PROOF));
    let seawall = in_front_of(&origin);
    let mut client = RawClient::tcp(seawall.addr(0));
    client.send(handshake());
    let answer = client.response();
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(PROOF)));
    client.send(SMUGGLED);
    assert_eq!(client.read_exact(SMUGGLED.len()), SMUGGLED.as_bytes());
    assert_eq!(origin.tunnelled(), SMUGGLED.as_bytes(), "the control: this is what a tunnel carries");
}

#[test]
fn a_101_without_the_right_proof_is_a_502() {
    let wrong = [
        ("websocket", ""),
        ("websocket", "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"),
        ("h2c", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
    ];
    for (protocol, proof) in wrong {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n{proof}\r\n"
        );
        let origin = Origin::h1(move |_| Reply::raw(head.clone()));
        let seawall = in_front_of(&origin);
        let mut client = RawClient::tcp(seawall.addr(0));
        client.send(handshake());
        assert_eq!(client.response().status, 502, "{protocol} {proof}");
        // The connection is over for both: nothing sent on it arrives anywhere.
        let _ = client.try_send(SMUGGLED);
        assert_ne!(client.closing(DEADLINE), Closing::Data);
        origin.wait_open(0);
        assert_eq!(origin.count(), 1, "not asked again, and nothing behind it");
        assert_eq!(seawall.wait_log(|line| line["status"] == 502)["error"], "bad_upgrade");
    }
}

#[test]
fn a_101_that_nobody_asked_for_is_a_502() {
    for fields in ["", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"]
    {
        let origin = Origin::h1(|_| Reply::upgrade("websocket").header("Sec-WebSocket-Accept", PROOF));
        let seawall = in_front_of(&origin);
        let mut client = RawClient::tcp(seawall.addr(0));
        client.send(asking(fields));
        assert_eq!(client.response().status, 502, "{fields}");
        assert_eq!(origin.last().header("upgrade"), None, "only WebSocket is passed on");
        assert_eq!(origin.last().header("http2-settings"), None);
        let _ = client.try_send(SMUGGLED);
        assert_ne!(client.closing(DEADLINE), Closing::Data);
        assert!(origin.tunnelled().is_empty());
    }
}

#[test]
fn a_refused_upgrade_stays_http() {
    for status in [200, 403, 426] {
        let origin = Origin::h1(move |request| match request.path() {
            "/chat" => Reply::new(status).body("no"),
            path => Reply::ok(path.to_owned()),
        });
        let seawall = in_front_of(&origin);
        let mut client = RawClient::tcp(seawall.addr(0));
        client.send(handshake());
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (status, "no"));
        client.send("GET /next HTTP/1.1\r\nHost: example.com\r\nX-Original-URL: /admin\r\n\r\n");
        assert_eq!(client.response().text(), "/next");
        assert_eq!(origin.last().header("via"), Some("1.1 seawall"), "it was read as a request");
        assert_eq!(origin.last().header("x-original-url"), None);
    }
}

#[test]
fn nothing_is_tunnelled_before_the_101() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |request| match request.path() {
        "/chat" => Reply::new(403).hold(&held),
        path => Reply::ok(path.to_owned()),
    });
    let seawall = in_front_of(&origin);
    let mut client = RawClient::tcp(seawall.addr(0));
    client.send(handshake() + SMUGGLED);
    gate.wait_waiting(1);
    assert_eq!(origin.count(), 1);
    gate.open();
    assert_eq!(client.response().status, 403);
    // What came early is what any client may send there: the next request.
    assert_eq!(client.response().text(), "/smuggled");
    assert_eq!(origin.last().header("via"), Some("1.1 seawall"));
    assert!(origin.tunnelled().is_empty());
}
