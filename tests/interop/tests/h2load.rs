//! h2load as a client: many requests at once over every protocol, none of which may fail.

use seawall_test_interop::{Edge, Load, Nginx, fetch};
use seawall_testkit::body;

const REQUESTS: u32 = 4000;

/// Loads one path over every protocol.
fn load(edge: &Edge, path: &str) {
    for (args, scheme, address) in [
        (&["--h1"][..], "http", edge.http1()),
        (&["--h1"], "https", edge.tls()),
        (&["-m", "20"], "https", edge.tls()),
        (&["-m", "20"], "http", edge.plain()),
    ] {
        let (connect, url) = (format!("--connect-to={address}"), format!("{scheme}://example.com{path}"));
        let mut all = args.to_vec();
        all.extend_from_slice(&[&connect, &url]);
        Load::run(REQUESTS, 20, &all).check(u64::from(REQUESTS));
    }
}

fn behind(route: &str) -> (Nginx, Edge) {
    let nginx = Nginx::start(
        "location /fresh/ { rewrite ^/fresh(/.*)$ $1 break; add_header Cache-Control \"max-age=3600\"; }",
    );
    nginx.put("page.bin", &body(1, 2000));
    let edge = Edge::to(nginx.addr()).route(route).start();
    (nginx, edge)
}

#[test]
fn hits() {
    let (nginx, edge) = behind("cache: on");
    for (address, scheme) in [(edge.plain(), "http"), (edge.tls(), "https")] {
        let answer =
            fetch(address, &format!("{scheme}://example.com/fresh/page.bin"), &["--cacert", edge.ca()]);
        assert!(answer.cache().contains("stored"));
    }
    load(&edge, "/fresh/page.bin");
    assert_eq!(nginx.wait_log(2).len(), 2, "all others were hits");
    edge.seawall.wait_metric("seawall_cache_hits_total", &[], f64::from(4 * REQUESTS));
}

#[test]
fn passed_through() {
    let (nginx, edge) = behind("");
    load(&edge, "/page.bin");
    let expected = 4 * REQUESTS as usize;
    assert_eq!(nginx.wait_log(expected).len(), expected, "each reached the origin once");
}
