//! What passes as it is.

use super::*;
use seawall_testkit::Gate;

/// Asks twice for a response with these fields, beside a good one; both must be what the origin sent.
#[track_caller]
fn passes(reason: &str, status: u16, fields: &[(&str, &str)], body: &[u8], varies_too: bool) {
    let (fields, sent): (Vec<(String, String)>, Vec<u8>) = (
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body.to_vec(),
    );
    let origin = Origin::h1(move |request: &Request| {
        if request.path() == "/good" {
            return page(request);
        }
        let reply = Reply::new(status).header("etag", "\"v1\"");
        let reply = fields.iter().fold(reply, |reply, (name, value)| reply.header(name, value));
        if sent.is_empty() { reply } else { reply.body(sent.clone()) }
    });
    let seawall = node(&origin, "cache: on, compress: on");
    for ask in [h1, h2] {
        let got = ask(&seawall, &accepting("/", "br, gzip"));
        assert_eq!((got.status, got.body.as_slice()), (status, body), "{reason}");
        assert_eq!(got.header("etag"), Some("\"v1\""), "{reason}");
        assert_eq!(varies(&got), varies_too, "{reason}");
    }
    assert!(
        passed(&seawall, reason) >= 1.0,
        "{reason}: {}",
        seawall.metrics().show("seawall_compression_passed_total")
    );
    assert_eq!(compressions(&seawall), 0.0, "{reason}");
    // The control: the same node compresses what it may.
    assert_eq!(encoding(&h1(&seawall, &accepting("/good", "br, gzip"))), "br");
}

const HTML: (&str, &str) = ("content-type", "text/html");

#[test]
fn responses_that_may_not_be_changed() {
    let body = text(5000);
    passes("no_transform", 200, &[HTML, ("cache-control", "max-age=60, no-transform")], &body, false);
    passes("signed", 200, &[HTML, ("signature-input", "sig1=(\"content-digest\")")], &body, false);
    passes("encoded", 200, &[HTML, ("content-encoding", "compress")], &body, false);
}

#[test]
fn responses_of_other_types_and_sizes() {
    passes("type", 200, &[("content-type", "image/png")], &text(5000), false);
    passes("type", 200, &[], &text(5000), false);
    passes("type", 200, &[("content-type", "text/event-stream")], &text(5000), false);
    passes("small", 200, &[HTML], &text(1023), false);
}

#[test]
fn responses_that_are_no_whole_2xx() {
    passes("status", 404, &[HTML], &text(5000), false);
    passes("status", 500, &[HTML], &text(5000), false);
    passes("status", 204, &[HTML], b"", false);
    let range = ("content-range", "bytes 0-4999/20000");
    passes("status", 206, &[HTML, range], &text(5000), true);
}

#[test]
fn a_client_that_wants_nothing_transformed() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    let wish = [("accept-encoding", "br"), ("cache-control", "no-transform")];
    assert_eq!(encoding(&h1(&seawall, &call("/", &wish))), "");
    assert_eq!(encoding(&h1(&seawall, &call("/", &wish[..1]))), "br");
    assert_eq!(passed(&seawall, "not_accepted"), 1.0);
}

#[test]
fn larger_than_the_settings_want() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "compress: { max_size: 19KiB, types: [text/*], min_size: 10 }");
    assert_eq!(encoding(&h1(&seawall, &accepting("/", "br"))), "");
    assert_eq!(passed(&seawall, "large"), 1.0);
    // The control: 20,000 bytes are below 20 KiB.
    let seawall = node(&origin, "compress: { max_size: 20KiB, types: [text/*] }");
    assert_eq!(encoding(&h1(&seawall, &accepting("/", "br"))), "br");
}

#[test]
fn beyond_the_limit_responses_pass_as_they_are() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |request: &Request| match request.path() {
        "/held" => Reply::new(200)
            .header("content-type", "text/html")
            .chunked()
            .body(text(5000))
            .gate(&held)
            .body(text(5000)),
        _ => page(request),
    });
    let seawall = node_with(
        &origin,
        "http1",
        "limits: { compression_memory: 18MiB }",
        "compress: { levels: { br: 11 } }",
    );
    let client = H2Client::tcp(seawall.addr(0)).or_die("speak HTTP/2");
    let mut held = client.start(&accepting("/held", "br")).or_die("start");
    assert_eq!(encoding(held.head().or_die("a head")), "br");
    let plain = h1(&seawall, &accepting("/", "br"));
    assert_eq!((encoding(&plain), plain.body.len(), varies(&plain)), ("", 20_000, true));
    assert_eq!(passed(&seawall, "busy"), 1.0);
    let metrics = seawall.metrics();
    assert_eq!(metrics.get("seawall_compressions_in_flight", &[]), 1.0);
    for name in ["seawall_compression_memory_bytes", "seawall_compression_memory_capacity_bytes"] {
        assert_eq!(metrics.get(name, &[]), 18.0 * 1_048_576.0, "{name}");
    }
    gate.open();
    assert_eq!(content(&held.finish().or_die("the rest")), [text(5000), text(5000)].concat());
    seawall.wait_metric("seawall_compressions_in_flight", &[], 0.0);
    assert_eq!(encoding(&h1(&seawall, &accepting("/", "br"))), "br", "the place is free again");
}

#[test]
fn grpc_and_tunnels_are_left_alone() {
    let origin = Origin::h1(|request: &Request| match request.header("upgrade") {
        Some(_) => Reply::ok(text(5000)).header("content-type", "text/plain"),
        None => Reply::ok(text(5000)).header("content-type", "application/grpc+proto"),
    });
    let seawall = node(&origin, "compress: { types: [text/*, application/*+proto] }");
    let grpc = Call::post("example.com", "/", "x")
        .header("accept-encoding", "gzip, br")
        .header("content-type", "application/grpc+proto");
    let got = h1(&seawall, &grpc);
    assert_eq!((encoding(&got), &got.body), ("", &text(5000)));
    assert_eq!(origin.last().header("accept-encoding"), Some("gzip, br"), "nobody touched it");
    assert_eq!(encoding(&h1(&seawall, &accepting("/", "br"))), "", "also by the type of the response");
    let upgrade = |to| [("accept-encoding", "br"), ("connection", "upgrade"), ("upgrade", to)];
    assert_eq!(encoding(&h1(&seawall, &call("/", &upgrade("websocket")))), "");
}
