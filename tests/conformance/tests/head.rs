//! HEAD and GET share what is stored, and a HEAD brings it up to date (RFC 9111 §4.3.5).
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_testkit::{Call, Gate, Origin, RawClient, Reply, Request, Response, Seawall, request};

const VERSIONS: [&str; 2] = ["one", "two versions later"];

/// Serves one of the versions; always stale, always with an entity tag.
fn versioned() -> (Origin, Arc<AtomicUsize>) {
    let version = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&version);
    let origin = Origin::h1(move |request: &Request| {
        let body = VERSIONS[current.load(Ordering::SeqCst)];
        let tag = format!("\"{}\"", body.len());
        let reply = if request.header("if-none-match") == Some(&tag) {
            Reply::new(304).header("x-seen", "not modified")
        } else {
            Reply::ok(body)
        };
        reply.header("etag", &tag).header("cache-control", "max-age=0")
    });
    (origin, version)
}

fn start(origin: &Origin) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: { profile: standard } }] }]
",
    )
    .set("origin", origin.addr())
    .start()
}

fn ask(seawall: &Seawall, method: &str, fields: &[(&str, &str)]) -> Response {
    let call = fields.iter().fold(Call::new(method, "example.com", "/x"), |call, (n, v)| call.header(n, v));
    request(seawall.addr(0), &call).expect("an answer")
}

/// What is stored, whatever its age.
fn stored(seawall: &Seawall) -> Response {
    ask(seawall, "GET", &[("Cache-Control", "max-stale, only-if-cached")])
}

fn length(response: &Response) -> Option<&str> {
    response.header("content-length")
}

#[test]
fn a_head_of_what_is_stored_is_its_get_without_the_body() {
    let (origin, _) = versioned();
    let seawall = start(&origin);
    assert_eq!(ask(&seawall, "GET", &[]).text(), VERSIONS[0]);
    let head = ask(&seawall, "HEAD", &[("Cache-Control", "max-stale")]);
    assert_eq!((head.status, length(&head), head.body.len()), (200, Some("3"), 0));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_head_with_a_changed_validator_replaces_what_is_stored() {
    let (origin, version) = versioned();
    let seawall = start(&origin);
    ask(&seawall, "GET", &[]);
    version.store(1, Ordering::SeqCst);
    let head = ask(&seawall, "HEAD", &[]);
    assert_eq!((head.status, head.header("etag"), head.body.len()), (200, Some("\"18\""), 0));
    assert_eq!(length(&head), Some("18"));
    assert_eq!(origin.last().header("if-none-match"), Some("\"3\""));
    // The old one is gone in any case; whether the new one is here depends on how much of it came with its head.
    let after = stored(&seawall);
    assert!(after.status == 504 || after.text() == VERSIONS[1], "{} {}", after.status, after.text());
    assert_eq!(ask(&seawall, "GET", &[]).text(), VERSIONS[1]);
}

#[test]
fn a_head_that_finds_nothing_changed_freshens_what_is_stored() {
    let (origin, _) = versioned();
    let seawall = start(&origin);
    ask(&seawall, "GET", &[]);
    assert_eq!(stored(&seawall).header("x-seen"), None);
    let head = ask(&seawall, "HEAD", &[]);
    assert_eq!((head.status, length(&head)), (200, Some("3")));
    assert_eq!(origin.count(), 2);
    let after = stored(&seawall);
    assert_eq!((after.text().as_str(), after.header("x-seen")), (VERSIONS[0], Some("not modified")));
}

fn client_that_stays(seawall: &Seawall) -> Response {
    RawClient::tcp(seawall.addr(0)).exchange(&Call::new("HEAD", "example.com", "/x")).expect("an answer")
}

#[test]
fn a_head_of_what_is_not_stored_does_not_wait_for_its_body() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_: &Request| {
        Reply::new(200).header("cache-control", "max-age=60").body("some").gate(&held).body("more").length(8)
    });
    let seawall = start(&origin);
    let mut client = RawClient::tcp(seawall.addr(0));
    let head = client.exchange(&Call::new("HEAD", "example.com", "/x")).expect("an answer");
    assert_eq!((head.status, length(&head)), (200, Some("8")));
    // What comes next on this connection would wait for the body.
    assert_eq!(head.header("connection"), Some("close"));
    gate.open();
    assert_eq!(ask(&seawall, "GET", &[]).text(), "somemore");
    assert_eq!(origin.count(), 1, "what was fetched for the HEAD serves the GET");
    let hit = client_that_stays(&seawall);
    assert_eq!(hit.header("connection"), Some("keep-alive"), "the control");
}
