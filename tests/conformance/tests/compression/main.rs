//! Compression (`compress` on a route), over both versions of HTTP on both sides.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod disk;
mod purged;
mod ranges;
mod stored;
mod streaming;
mod unfit;
mod validators;

use std::io::Read as _;

use seawall_testkit::{Call, H2Client, OrDie, Origin, Reply, Request, Response, Seawall, request};

/// The encodings, and what a client may write to get each.
const WANTED: [(&str, &str); 4] = [("zstd", "zstd"), ("br", "br"), ("gzip", "gzip"), ("", "identity")];

/// A node whose one listener takes HTTP/1.1 and HTTP/2; `route` are the settings of its route.
fn node(origin: &Origin, route: &str) -> Seawall {
    node_with(origin, "auto", "", route)
}

fn node_with(origin: &Origin, protocol: &str, top: &str, route: &str) -> Seawall {
    Seawall::with(
        "
%{top}
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
admin: { listen: 'unix:%{dir}/admin.sock' }
cache: { purge: { allow: [127.0.0.1] } }
upstreams: { app: { servers: ['%{origin}'], protocol: %{protocol} } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, %{route} }] }]
",
    )
    .set("origin", origin.addr())
    .set("protocol", if protocol == "auto" { "http1" } else { protocol })
    .set("top", top)
    .set("route", route)
    .start()
}

/// Text of some size.
fn text(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|i| format!("<p>Paragraph {i}: {}</p>\n", i * 7919).into_bytes()).take(bytes).collect()
}

/// A page that may be cached for a while.
fn page(_: &Request) -> Reply {
    Reply::ok(text(20_000)).headers(&[
        ("content-type", "text/html"),
        ("cache-control", "max-age=600"),
        ("etag", "\"v1\""),
    ])
}

fn call(path: &str, headers: &[(&str, &str)]) -> Call {
    headers.iter().fold(Call::get("example.com", path), |call, (name, value)| call.header(name, value))
}

fn accepting(path: &str, accept: &str) -> Call {
    call(path, &[("accept-encoding", accept)])
}

#[track_caller]
fn h1(seawall: &Seawall, call: &Call) -> Response {
    request(seawall.addr(0), call).or_die("ask over HTTP/1.1")
}

#[track_caller]
fn h2(seawall: &Seawall, call: &Call) -> Response {
    H2Client::tcp(seawall.addr(0)).or_die("speak HTTP/2").exchange(call).or_die("ask over HTTP/2")
}

/// The content of a response, without its coding.
#[track_caller]
fn content(response: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    let coded = response.body.as_slice();
    match response.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(coded).read_to_end(&mut out),
        Some("br") => brotli::Decompressor::new(coded, 4096).read_to_end(&mut out),
        Some("zstd") => zstd::stream::read::Decoder::new(coded).or_die("a frame").read_to_end(&mut out),
        None => return response.body.clone(),
        other => panic!("an encoding nobody asked for: {other:?}"),
    }
    .or_die("decode the body to its end");
    out
}

fn encoding(response: &Response) -> &str {
    response.header("content-encoding").unwrap_or_default()
}

/// Whether Vary names Accept-Encoding.
fn varies(response: &Response) -> bool {
    response.headers.all("vary").iter().any(|line| line.to_ascii_lowercase().contains("accept-encoding"))
}

/// Responses that went through an encoder so far.
fn compressions(seawall: &Seawall) -> f64 {
    seawall.metrics().get("seawall_compressions_total", &[])
}

/// Responses that passed for this reason.
fn passed(seawall: &Seawall, reason: &str) -> f64 {
    seawall.metrics().get("seawall_compression_passed_total", &[("reason", reason)])
}
