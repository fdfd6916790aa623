//! Range requests (RFC 9110 §14), over both versions of HTTP on both sides.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod object;
mod parts;
mod refused;
mod renewed;
mod streaming;
mod whole;

use seawall_testkit::{Call, H2Client, OrDie, Origin, Response, Seawall, request};

/// A node whose one listener takes HTTP/1.1 and HTTP/2, with `cache` on its route.
fn cached(origin: &Origin, protocol: &str, cache: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
cache: { purge: { allow: [127.0.0.1] } }
upstreams: { app: { servers: ['%{origin}'], protocol: %{protocol} } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: %{cache} }] }]
",
    )
    .set("origin", origin.addr())
    .set("protocol", protocol)
    .set("cache", cache)
    .start()
}

fn call(path: &str, headers: &[(&str, &str)]) -> Call {
    headers.iter().fold(Call::get("example.com", path), |call, (name, value)| call.header(name, value))
}

/// The same request over HTTP/1.1.
#[track_caller]
fn h1(seawall: &Seawall, call: &Call) -> Response {
    request(seawall.addr(0), call).or_die("ask over HTTP/1.1")
}

/// The same request over HTTP/2.
#[track_caller]
fn h2(seawall: &Seawall, call: &Call) -> Response {
    H2Client::tcp(seawall.addr(0)).or_die("speak HTTP/2").exchange(call).or_die("ask over HTTP/2")
}

/// What the client gets over each version of HTTP.
#[track_caller]
fn both(seawall: &Seawall, call: &Call) -> [Response; 2] {
    [h1(seawall, call), h2(seawall, call)]
}

/// The status, the Content-Range and the body.
fn shown(response: &Response) -> (u16, &str, String) {
    (response.status, response.header("content-range").unwrap_or("-"), response.text())
}
