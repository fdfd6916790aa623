//! Routing, forwarding manners, listeners: what a request meets on its way to an origin and back.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpListener;

use nix::sys::signal::Signal;
use seawall_testkit::{
    Call, DEADLINE, H2Client, Origin, Pki, RawClient, Reply, Seawall, TlsClient, curl, get, request,
};

const ONE_SITE: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
";

fn echo() -> Origin {
    Origin::h1(|request| Reply::ok(request.path().to_owned()))
}

#[test]
fn a_request_goes_to_its_upstream_with_its_manners() {
    let origin = echo();
    let seawall = Seawall::with(ONE_SITE).set("origin", origin.addr()).start();
    let forged = [("X-Forwarded-For", "1.2.3.4"), ("X-Original-URL", "/admin"), ("Keep-Alive", "x")];
    let response = get(seawall.addr(0), "example.com", "/a/b?c=d", &forged);
    assert_eq!((response.status, response.text().as_str()), (200, "/a/b"));
    let seen = origin.last();
    assert_eq!(seen.header("host"), Some("example.com"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"), "a client cannot choose its address");
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("via"), Some("1.1 seawall"));
    assert_eq!(seen.header("x-original-url"), None, "what no key has is not forwarded");
    assert_eq!(seen.header("keep-alive"), None);
    let id = seen.header("x-request-id").expect("a request id");
    assert_eq!(response.header("x-request-id"), Some(id));
    let line = seawall.wait_log(|line| line["uri"] == "/a/b?c=d");
    assert_eq!(line["request_id"], id);
    assert_eq!(line["status"], 200);
    seawall.wait_metric(
        "seawall_http_requests_total",
        &[("site", "example.com"), ("route", "/"), ("method", "GET"), ("status_class", "2xx")],
        1.0,
    );
}

#[test]
fn hosts_paths_and_methods_choose() {
    let origin = echo();
    let seawall = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - hosts: [example.com]
    routes:
      - { exact: /old, redirect: { to: '/new', status: 301 } }
      - { exact: /hello, respond: { status: 200, body: hi } }
      - { path: /api/, methods: [GET], upstream: app, rewrite: { strip_prefix: /api } }
      - { path: /add/, upstream: app, request_headers: { set: { X-In: a } }, response_headers: { set: { X-Out: b } } }
  - { hosts: ['*.example.com'], routes: [{ path: /, respond: { body: wild } }] }
",
    )
    .set("origin", origin.addr())
    .start();
    let at = seawall.addr(0);
    let moved = get(at, "example.com", "/old", &[]);
    assert_eq!((moved.status, moved.header("location")), (301, Some("/new")));
    assert_eq!(get(at, "example.com", "/hello", &[]).text(), "hi");
    assert_eq!(get(at, "a.example.com", "/x", &[]).text(), "wild");
    assert_eq!(get(at, "example.com", "/api/v1", &[]).text(), "/v1");
    let refused = request(at, &Call::post("example.com", "/api/v1", "x")).expect("an answer");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(get(at, "example.com", "/add/", &[]).header("x-out"), Some("b"));
    assert_eq!(origin.last().header("x-in"), Some("a"));
    assert_eq!(get(at, "example.com", "/none", &[]).status, 404);
    assert_eq!(get(at, "other.net", "/", &[]).status, 421);
}

#[test]
fn tls_chooses_the_certificate_and_speaks_both_versions() {
    let pki = Pki::new();
    let (first, second) = (pki.server(&["example.com"]), pki.server(&["*.example.org"]));
    let origin = echo();
    let seawall = Seawall::with(
        "
listeners:
  - address: '127.0.0.1:%{port}'
    tls: { certificates: [{ cert: '%{cert1}', key: '%{key1}' }, { cert: '%{cert2}', key: '%{key2}' }] }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com, '*.example.org'], routes: [{ path: /, upstream: app }] }]
",
    )
    .set("origin", origin.addr())
    .set("cert1", first.cert.display())
    .set("key1", first.key.display())
    .set("cert2", second.cert.display())
    .set("key2", second.key.display())
    .start();
    for host in ["example.com", "a.example.org"] {
        let mut client = TlsClient::new(host, pki.ca()).connect(seawall.addr(0)).expect("a handshake");
        let response = client.exchange(&Call::get(host, "/x")).expect("an answer");
        assert_eq!(response.text(), "/x", "{host}");
        assert_eq!(origin.last().header("x-forwarded-proto"), Some("https"));
    }
    let tls = TlsClient::builder("example.com").ca(pki.ca()).alpn(&["h2"]).build();
    let h2 = H2Client::tls(seawall.addr(0), &tls).expect("HTTP/2");
    let response = h2.exchange(&Call::get("example.com", "/two").scheme("https")).expect("an answer");
    assert_eq!((response.status, response.text().as_str()), (200, "/two"));
    let old = TlsClient::builder("example.com").ca(pki.ca()).versions("1.1", "1.1").build();
    assert!(old.connect(seawall.addr(0)).is_err(), "TLS 1.1 is below the floor");
}

#[test]
fn curl_sees_a_miss_then_a_hit_on_files() {
    let site = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { site: { files: '%{dir}/www' } }
sites: [{ hosts: [localhost], default: true, routes: [{ path: /, upstream: site, cache: 1h }] }]
",
    );
    std::fs::create_dir(site.folder().join("www")).expect("a folder");
    std::fs::write(site.folder().join("www/index.html"), "<p>hello</p>").expect("a file");
    std::fs::write(site.folder().join("secret"), "secret").expect("a file");
    let seawall = site.start();
    let url = format!("http://{}/", seawall.addr(0));
    assert!(curl(&["-i", &url]).stdout.contains("cache-status: seawall; fwd=uri-miss; stored"));
    assert!(curl(&["-i", &url]).stdout.contains("cache-status: seawall; hit"));
    assert!(curl(&["-r", "3-7", &url]).stdout.contains("hello"), "a range of a hit");
    for escape in ["../secret", "%2e%2e/secret", "..%2fsecret", ".%2e/secret"] {
        let out = curl(&["--path-as-is", "-i", &format!("{url}{escape}")]);
        assert!(!out.stdout.contains("\nsecret"), "{escape}: {}", out.stdout);
    }
}

#[test]
fn an_upgrade_is_a_tunnel_both_ways() {
    let accept = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let origin = Origin::h1(move |_| Reply::upgrade("websocket").header(accept.0, accept.1));
    let seawall = Seawall::with(ONE_SITE).set("origin", origin.addr()).start();
    let mut client = RawClient::tcp(seawall.addr(0));
    client.send(
        "GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.response().status, 101);
    client.send("ping");
    assert_eq!(client.read_exact(4), b"ping");
}

/// A 101 that is there before Pingora first looks for it: without care its tunnel ends at once in about every second
/// round.
#[test]
fn a_101_that_comes_at_once_is_a_tunnel_that_stays() {
    const ROUNDS: usize = 40;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let origin = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                )
                .expect("the answer is sent before the question");
            let mut seen = Vec::new();
            let mut piece = [0; 1024];
            while !seen.ends_with(b"ping") {
                match stream.read(&mut piece) {
                    Ok(count @ 1..) => seen.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            let _ = stream.write_all(b"pong");
        }
    });
    let seawall = Seawall::with(ONE_SITE).set("origin", address).start();
    for round in 0..ROUNDS {
        let mut client = RawClient::tcp(seawall.addr(0));
        client.send(
            "GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        assert_eq!(client.response().status, 101, "round {round}");
        client.send("ping");
        assert_eq!(client.read_exact(4), b"pong", "round {round}");
    }
    origin.join().expect("every round had a tunnel");
}

#[test]
fn a_term_signal_lets_a_request_finish() {
    let gate = seawall_testkit::Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| Reply::ok("late").hold(&held));
    let mut seawall = Seawall::with(ONE_SITE).set("origin", origin.addr()).start();
    let address = seawall.addr(0).to_owned();
    let client = std::thread::spawn(move || get(address, "example.com", "/", &[]));
    gate.wait_waiting(1);
    seawall.signal(Signal::SIGTERM);
    seawall_testkit::eventually(seawall_testkit::DEADLINE, "the listener to close", || {
        RawClient::try_tcp(seawall.addr(0)).is_err()
    });
    gate.open();
    assert_eq!(client.join().expect("an answer").text(), "late");
    assert_eq!(seawall.wait().code, Some(0));
}
