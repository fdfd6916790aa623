//! Zones of the cache come and go with `reload --upgrade-if-needed`, and no client notices.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use nix::unistd::Pid;
use seawall_test_upgrade::{Client, Judge, Load, content, is_gone, own_program};
use seawall_testkit::{Call, DEADLINE, Origin, Reply, Response, Seawall, eventually, get};
use serde_json::Value;

/// A site with a route of its own for `/shop/`, whose zone is `of_shop`, beside these `zones`.
fn yaml(zones: &str, of_shop: &str) -> String {
    format!(
        "
listeners: [{{ address: '127.0.0.1:%{{port}}' }}]
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
access_log: {{ format: off }}
cache:
  memory: 4MiB
  disk: {{ path: '%{{dir}}/store', size: 64MiB }}
  zones: {zones}
upstreams: {{ app: {{ servers: ['%{{origin}}'], retries: {{ attempts: 0 }} }} }}
sites:
  - default: true
    routes:
      - {{ path: /shop/, upstream: app, cache: {{ zone: {of_shop} }} }}
      - {{ path: /, upstream: app, cache: on }}
server: {{ shutdown_timeout: 20s }}
"
    )
}

fn status(seawall: &Seawall) -> Value {
    let said = seawall.control(&["status", "--json"]);
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("no status: {said:?}"))
}

fn process(seawall: &Seawall) -> Pid {
    let pid = status(seawall)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    Pid::from_raw(pid.expect("a pid"))
}

/// Reloads, by an upgrade if need be, and says which process serves then. The one before has ended.
fn reload(seawall: &Seawall) -> Pid {
    let before = process(seawall);
    let done = seawall.control(&["reload", "--upgrade-if-needed"]);
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    let now = process(seawall);
    if now != before {
        eventually(DEADLINE * 2, "the old process to end", || is_gone(before));
    }
    assert_eq!(status(seawall)["waiting"], Value::Array(Vec::new()));
    now
}

fn is_hit(seawall: &Seawall, path: &str) -> bool {
    let response = get(seawall.addr(0), "example.com", path, &[]);
    assert_eq!((response.status, response.text()), (200, content()), "{path}");
    response.header("cache-status").is_some_and(|status| status.starts_with("seawall; hit"))
}

/// Whether a purge in the zone `shop` is refused because there is none.
fn has_shop(seawall: &Seawall) -> bool {
    let done = seawall.control(&["purge", "--zone", "shop", "--tag", "nothing"]);
    match done.code {
        Some(0) => true,
        _ if done.stderr.contains("shop") => false,
        _ => panic!("{done:?}"),
    }
}

#[test]
fn a_zone_comes_and_goes_and_no_request_is_harmed() {
    const SHOP: &str = "[{ name: shop, memory: 4MiB, disk: { path: '%{dir}/shop', size: 64MiB } }]";
    let origin = Origin::h1(|_| Reply::ok(content()).header("Cache-Control", "max-age=600"));
    let builder = Seawall::with(&yaml("[]", "default")).set("origin", origin.addr());
    let program = own_program(builder.folder());
    let seawall = builder.program(&program).start();
    let judge: Judge = Arc::new(|| {
        Box::new(|response: &Response| {
            if response.status == 200 && response.text() == content() {
                return Ok(());
            }
            Err(format!("status {}, {} bytes", response.status, response.body.len()))
        })
    });
    let clients = [Client::Fresh, Client::Fresh, Client::KeepAlive, Client::KeepAlive];
    let load = Load::start(seawall.addr(0), &Call::get("example.com", "/shop/1"), &clients, 20, judge);
    for path in ["/old", "/shop/old"] {
        assert!(!is_hit(&seawall, path) && is_hit(&seawall, path));
    }
    seawall.wait_metric("seawall_cache_objects", &[("tier", "disk"), ("zone", "default")], 3.0);
    let first = process(&seawall);

    // A reload alone has the routes of the zone where they were.
    seawall.rewrite(&yaml(SHOP, "shop"));
    let done = seawall.control(&["reload"]);
    assert!(done.code == Some(0) && done.stdout.contains("cache.zones: shop (new in the file"), "{done:?}");
    assert!(process(&seawall) == first && !has_shop(&seawall) && is_hit(&seawall, "/shop/old"));

    let second = reload(&seawall);
    assert_ne!(second, first);
    assert!(has_shop(&seawall));
    seawall.wait_metric("seawall_disk_recovered_ratio", &[("zone", "default")], 1.0);
    assert!(is_hit(&seawall, "/old"), "what has not moved is where it was");
    assert!(!is_hit(&seawall, "/shop/old") && is_hit(&seawall, "/shop/old"), "a new zone begins empty");
    let sent = load.sent();
    eventually(DEADLINE, "requests to the new zone", || load.sent() > sent + 20);
    for tier in ["memory", "disk"] {
        seawall.wait_metric("seawall_cache_objects", &[("tier", tier), ("zone", "shop")], 2.0);
    }

    // Gone again: so are its memory and its disk, with the process.
    seawall.rewrite(&yaml("[]", "default"));
    let third = reload(&seawall);
    assert_ne!(third, second);
    assert!(!has_shop(&seawall));
    seawall.wait_metric("seawall_disk_recovered_ratio", &[("zone", "default")], 1.0);
    assert!(is_hit(&seawall, "/old") && is_hit(&seawall, "/shop/old"), "what its route had here before");
    assert!(seawall.folder().join("shop/segments").is_dir(), "the folder is the operator's to remove");
    assert_eq!(reload(&seawall), third, "nothing waits any more");
    load.finish().assert_clean(50);
}
