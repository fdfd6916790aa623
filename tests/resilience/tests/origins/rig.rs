//! One site in front of one pool.

use seawall_testkit::{DEADLINE, Seawall, SeawallBuilder, eventually};

/// A pool of these servers (YAML items) with `more` of its settings, and a route with `more_of_route`.
pub(crate) fn site(servers: &str, more: &str, more_of_route: &str) -> SeawallBuilder {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: [%{servers}], %{more} } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, %{route} }] }]
",
    )
    .set("servers", servers)
    .set("more", more)
    .set("route", more_of_route)
}

/// The same without a cache, running.
pub(crate) fn pool(servers: &str, more: &str) -> Seawall {
    site(servers, more, "").start()
}

/// Waits until the metrics show this server, and as up or not.
#[track_caller]
pub(crate) fn wait_up(seawall: &Seawall, server: &str, up: bool) {
    eventually(DEADLINE, &format!("{server} to be {}", if up { "up" } else { "down" }), || {
        let metrics = seawall.metrics();
        let shown = metrics.find("seawall_upstream_server_up", &[("upstream", "app"), ("server", server)]);
        if shown == Some(f64::from(u8::from(up))) {
            Ok(())
        } else {
            Err(metrics.show("seawall_upstream_server_up"))
        }
    });
}

/// Addresses as YAML items.
pub(crate) fn list(addresses: &[&str]) -> String {
    addresses.iter().map(|address| format!("'{address}'")).collect::<Vec<_>>().join(", ")
}

/// A first server, and one that takes over when the first cannot.
pub(crate) fn with_backup(first: &str, backup: &str) -> String {
    format!("'{first}', {{ address: '{backup}', backup: true }}")
}
