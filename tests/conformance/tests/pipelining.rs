//! Requests that come before the answer to the one before are answered in their order (RFC 9112 §9.3.2).
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use seawall_testkit::{Closing, Gate, Origin, Pki, RawClient, Reply, Request, Seawall, TlsClient};

fn ask(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n")
}

/// Says what it was asked for; may be kept, and takes its time with `/slow`.
fn origin(gate: &Gate) -> Origin {
    let held = gate.clone();
    Origin::h1(move |request: &Request| {
        let text =
            format!("{} {} {}", request.method, request.path(), String::from_utf8_lossy(&request.body));
        let reply = Reply::ok(text).header("cache-control", "max-age=60");
        if request.path() == "/slow" { reply.hold(&held) } else { reply }
    })
}

fn start(origin: &Origin, cache: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: %{cache} }] }]
",
    )
    .set("origin", origin.addr())
    .set("cache", cache)
    .start()
}

/// A client whose request the origin holds.
fn while_answered(seawall: &Seawall, gate: &Gate) -> RawClient {
    let mut client = RawClient::tcp(seawall.addr(0));
    client.send(ask("/slow"));
    gate.wait_waiting(1);
    client
}

#[track_caller]
fn answers(client: &mut RawClient, texts: &[&str]) {
    for text in texts {
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (200, *text));
    }
}

#[test]
fn requests_in_one_packet_are_all_answered() {
    let origin = origin(&Gate::new());
    let seawall = start(&origin, "on");
    let mut client = RawClient::tcp(seawall.addr(0));
    client.send(ask("/a") + &ask("/b") + &ask("/a") + &ask("/c"));
    answers(&mut client, &["GET /a ", "GET /b ", "GET /a ", "GET /c "]);
    client.send(ask("/d"));
    answers(&mut client, &["GET /d "]);
    assert_eq!(origin.count(), 4, "one of them was a hit");
}

#[test]
fn a_request_may_come_while_the_one_before_is_answered() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let seawall = start(&origin, "on");
    let mut client = while_answered(&seawall, &gate);
    let next = ask("/next");
    let (one, other) = next.split_at(20);
    client.send(one);
    client.send(other);
    gate.open();
    answers(&mut client, &["GET /slow ", "GET /next "]);
}

#[test]
fn very_many_wait_for_their_turn() {
    const COUNT: usize = 3000;
    let gate = Gate::new();
    let origin = origin(&gate);
    let seawall = start(&origin, "on");
    let mut client = while_answered(&seawall, &gate);
    // More than is read ahead; the rest waits in the sockets.
    client.send(ask("/hit").repeat(COUNT));
    gate.open();
    answers(&mut client, &["GET /slow "]);
    for _ in 0..COUNT {
        answers(&mut client, &["GET /hit "]);
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn over_tls_too() {
    let pki = Pki::new();
    let served = pki.server(&["example.com"]);
    let origin = origin(&Gate::new());
    let seawall = Seawall::with(
        "
listeners:
  - address: '127.0.0.1:%{port}'
    tls: { certificates: [{ cert: '%{cert}', key: '%{key}' }] }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
",
    )
    .set("origin", origin.addr())
    .set("cert", served.cert.display())
    .set("key", served.key.display())
    .start();
    let mut client = TlsClient::new("example.com", pki.ca()).connect(seawall.addr(0)).expect("a handshake");
    client.send(ask("/a") + &ask("/b"));
    answers(&mut client, &["GET /a ", "GET /b "]);
}

#[test]
fn what_follows_a_body_is_answered_or_may_be_asked_anew() {
    let origin = origin(&Gate::new());
    let seawall = start(&origin, "on");
    let mut client = RawClient::tcp(seawall.addr(0));
    let post = "POST /form HTTP/1.1\r\nHost: example.com\r\n";
    client.send(format!("{post}Content-Length: 3\r\n\r\nabc{}", ask("/b")));
    answers(&mut client, &["POST /form abc", "GET /b "]);
    client.send(format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{}", ask("/c")));
    answers(&mut client, &["POST /form abc"]);
    // Where chunks end is Pingora's to know, and it read too far: the connection ends, and not with a reset.
    let (rest, closing) = client.read_to_close();
    assert!(rest.is_empty() && closing == Closing::Closed, "{rest:?} {closing:?}");
    assert!(origin.requests_for("/c").is_empty());
}

#[test]
fn who_leaves_is_noticed_whatever_it_sent_ahead() {
    let gate = Gate::new();
    let origin = origin(&gate);
    let seawall = start(&origin, "off");
    let mut client = while_answered(&seawall, &gate);
    client.send(ask("/never"));
    drop(client);
    let line = seawall.wait_log(|line| line["uri"] == "/slow");
    assert_eq!(line["status"], 499, "{line}");
    gate.open();
    assert!(origin.requests_for("/never").is_empty());
}
