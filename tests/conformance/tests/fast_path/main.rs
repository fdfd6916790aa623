//! The fast path for hits (`cache.fast_path`) is not seen from outside: two nodes, one with it and one without, are given the
//! same requests, and answer, count and log the same.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod asked;
mod below;
mod changed;
mod leavers;
mod origin;
mod pair;
mod shown;
mod stored;
mod taken;

use seawall_testkit::{Call, Origin, Seawall};

/// A route for each kind of rule. The last part of a path says what the origin answers; see [`origin::answer`].
const YAML: &str = "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
admin: { listen: 'unix:%{dir}/admin.sock' }
limits: { %{limits} }
cache:
  fast_path: %{fast}
  memory: 32MiB
  %{disk}
  purge: { allow: [127.0.0.1], show_key: %{key} }
  zones: [{ name: second, memory: 8MiB%{second} }]
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - name: shop
    hosts: [example.com]
    routes:
      - { exact: /probe, respond: { status: 200, body: here } }
      - { path: /old/, redirect: { to: /new } }
      - { path: /moved/, rewrite: { strip_prefix: /moved, add_prefix: /to }, upstream: app, cache: on }
      - path: /fields/
        upstream: app
        response_headers: { remove: [X-Secret], set: { X-Frame-Options: DENY }, add: { X-Served-By: edge } }
        cache: on
      - path: /keyed/
        upstream: app
        cache:
          key:
            query: { exclude: [utm_*], sort: true }
            headers: [X-Country]
            cookies: [currency]
            accept_language: [en, de]
      - { path: /pressed/, upstream: app, compress: on, cache: on }
      - { path: /zone/, upstream: app, cache: { zone: second } }
      - { path: /demands/, upstream: app, cache: { profile: standard } }
      - { path: /avoid/, upstream: app, cache: { bypass_when: [{ cookie: session }, { query: draft }] } }
      - { path: /late/, upstream: app, cache: { stale_while_revalidate: 1h, stale_if_error: 1h } }
      - { path: /plain/, upstream: app }
      - { path: /, upstream: app, cache: on }
";

/// Where a node keeps what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tiers {
    Memory,
    /// Memory, and a disk.
    Both,
}

/// A node with the fast path or without.
fn node(origin: &Origin, fast: bool, key: bool, limits: &str) -> Seawall {
    node_on(Tiers::Memory, origin, fast, key, limits)
}

fn node_on(tiers: Tiers, origin: &Origin, fast: bool, key: bool, limits: &str) -> Seawall {
    let (disk, second) = match tiers {
        Tiers::Memory => ("", ""),
        Tiers::Both => (
            "disk: { path: '%{dir}/cache', size: 256MiB }",
            ", disk: { path: '%{dir}/second', size: 128MiB }",
        ),
    };
    Seawall::with(&YAML.replace("%{disk}", disk).replace("%{second}", second))
        .set("origin", origin.addr())
        .set("fast", fast)
        .set("key", key)
        .set("limits", limits)
        .start()
}

fn call(method: &str, path: &str, fields: &[(&str, &str)]) -> Call {
    fields.iter().fold(Call::new(method, "example.com", path), |call, (name, value)| call.header(name, value))
}

fn get(path: &str, fields: &[(&str, &str)]) -> Call {
    call("GET", path, fields)
}

/// Hits that the fast path answered so far.
fn fast_hits(seawall: &Seawall) -> f64 {
    seawall.metrics().get("seawall_cache_fast_hits_total", &[])
}
