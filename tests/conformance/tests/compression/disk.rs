//! Variants on a disk.

use super::*;
use nix::sys::signal::Signal;

#[test]
fn variants_survive_a_restart_and_none_is_coded_again() {
    let origin = Origin::h1(|request: &Request| match request.header("if-none-match") {
        Some("\"v1\"") => Reply::new(304).header("etag", "\"v1\"").header("cache-control", "max-age=600"),
        _ => page(request),
    });
    let seawall = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: 'unix:%{dir}/admin.sock' }
cache: { memory: 8MiB, disk: { path: '%{dir}/store', size: 64MiB }, purge: { allow: [127.0.0.1] } }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on, compress: on }] }]
",
    )
    .set("origin", origin.addr())
    .start();
    for (_, accept) in WANTED {
        let _ = h1(&seawall, &accepting("/", accept));
    }
    seawall.wait_metric("seawall_cache_objects", &[("tier", "disk")], 4.0);
    let seawall = seawall.restart(Signal::SIGTERM);
    seawall.wait_metric("seawall_disk_recovered_ratio", &[], 1.0);
    let check = |tries: usize| {
        for (expected, accept) in WANTED {
            let got = h1(&seawall, &accepting("/", accept));
            assert_eq!((encoding(&got), content(&got)), (expected, text(20_000)));
            let tag = if accept == "identity" { "\"v1\"" } else { "W/\"v1\"" };
            assert_eq!((got.header("etag"), varies(&got)), (Some(tag), true));
            assert_eq!(got.header("seawall-uncoded-etag"), None);
            let ranged = h1(&seawall, &call("/", &[("accept-encoding", accept), ("range", "bytes=0-9")]));
            assert_eq!(ranged.status, if accept == "identity" { 206 } else { 200 }, "{accept}");
        }
        assert_eq!(origin.count(), tries);
    };
    check(4);
    // What the origin knows them by has survived, too: its 304 renews each of them.
    let done = seawall.control(&["purge", "--soft", "http://example.com/"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    check(8);
    assert_eq!(origin.requests().iter().filter(|asked| asked.header("if-none-match").is_some()).count(), 4);
    assert_eq!(compressions(&seawall), 0.0);
    assert_eq!(h1(&seawall, &Call::new("PURGE", "example.com", "/")).status, 200);
    check(12);
    assert_eq!(compressions(&seawall), 3.0);
}
