use std::time::Duration;

use pingora_core::protocols::tls::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, Peer as _};

use super::{pool, select};

fn peer(yaml: &str) -> Box<HttpPeer> {
    select(&pool(yaml)).unwrap().peer()
}

#[test]
fn every_wait_has_an_end() {
    let peer = peer(
        "{ servers: [10.0.0.1:80], timeouts: { connect: 1s, first_byte: 2s, read: 3s, write: 4s, idle: 5s } }",
    );
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!(peer.options.connection_timeout, seconds(1));
    assert_eq!(peer.options.total_connection_timeout, seconds(1));
    assert_eq!(peer.options.read_timeout, seconds(3), "the longer of the two");
    assert_eq!(peer.options.write_timeout, seconds(4));
    assert_eq!(peer.options.idle_timeout, seconds(5));
    assert_eq!(peer.options.tcp_keepalive.as_ref().unwrap().idle, Duration::from_secs(60));
}

#[test]
fn the_defaults_have_ends_too() {
    let peer = peer("{ servers: ['unix:/run/app.sock'], timeouts: { tcp_keepalive: 0 } }");
    let options = &peer.options;
    for wait in
        [options.connection_timeout, options.read_timeout, options.write_timeout, options.idle_timeout]
    {
        assert!(wait.is_some());
    }
    assert!(options.tcp_keepalive.is_none());
    assert_eq!(peer.address().to_string(), "/run/app.sock");
    assert!(!peer.is_tls());
}

#[test]
fn the_protocol_is_as_it_is_set() {
    for (yaml, alpn) in [
        ("{ servers: [10.0.0.1:80] }", ALPN::H1),
        ("{ servers: [10.0.0.1:80], protocol: http2 }", ALPN::H2),
        ("{ servers: [10.0.0.1:80], protocol: auto }", ALPN::H1),
        ("{ servers: [10.0.0.1:80], protocol: auto, tls: { sni: a.example } }", ALPN::H2H1),
    ] {
        assert_eq!(peer(yaml).options.alpn, alpn, "{yaml}");
    }
    assert_eq!(peer("{ servers: [10.0.0.1:80], max_h2_streams: 7 }").options.max_h2_streams, 7);
}

#[test]
fn an_upgrade_goes_over_http1_where_there_is_a_choice() {
    let auto = pool("{ servers: [10.0.0.1:80], protocol: auto, tls: { sni: a.example } }");
    let peer = select(&auto).unwrap().peer_for_upgrade();
    assert_eq!((peer.options.alpn, peer.options.read_timeout), (ALPN::H1, None));
    let fixed = pool("{ servers: [10.0.0.1:80], protocol: http2 }");
    assert_eq!(select(&fixed).unwrap().peer_for_upgrade().options.alpn, ALPN::H2);
}

#[test]
fn certificates_are_verified_unless_said_otherwise() {
    let strict = peer("{ servers: [10.0.0.1:443], tls: { sni: a.example } }");
    assert!(strict.is_tls() && strict.verify_cert() && strict.verify_hostname());
    assert_eq!(strict.sni, "a.example");
    let lax = peer("{ servers: [10.0.0.1:443], tls: { verify: false } }");
    assert!(lax.is_tls() && !lax.verify_cert());
}

#[test]
fn pools_share_connections_only_when_all_is_the_same() {
    let tls = "servers: [10.0.0.1:443], tls: { sni: a.example";
    let base = peer(&format!("{{ {tls} }} }}")).reuse_hash();
    assert_eq!(peer(&format!("{{ {tls} }} }}")).reuse_hash(), base, "a reload keeps its connections");
    for other in ["}, protocol: http2", ", min_version: 1.3 }", ", verify: false }"] {
        assert_ne!(peer(&format!("{{ {tls}{other} }}")).reuse_hash(), base, "{other}");
    }
    let settings = super::settings(&format!("{{ {tls} }} }}"));
    let named = crate::Pool::new("another", &settings, std::sync::Arc::new(super::NoNames)).unwrap();
    assert_ne!(select(&named).unwrap().peer().reuse_hash(), base);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let mut seen = std::collections::BTreeSet::from([base]);
    for name in ["one", "two"] {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let hash = peer(&format!("{{ {tls}, ca: {} }} }}", ca.display())).reuse_hash();
        assert!(seen.insert(hash), "another authority in the same file");
    }
}

#[tokio::test]
async fn silence_is_watched_only_on_connections_of_one_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = std::os::fd::AsRawFd::as_raw_fd(&listener);
    let timeouts = "timeouts: { first_byte: 1m, read: 2m }";
    for (yaml, watched, tunnel_watched) in [
        (format!("{{ servers: [10.0.0.1:80], {timeouts} }}"), true, true),
        (format!("{{ servers: [10.0.0.1:80], {timeouts}, protocol: auto }}"), true, true),
        (format!("{{ servers: [10.0.0.1:80], {timeouts}, protocol: http2 }}"), false, false),
        (format!("{{ servers: [a.example:80], {timeouts}, protocol: auto, tls: true }}"), false, true),
        ("{ servers: [10.0.0.1:80] }".to_owned(), false, true),
    ] {
        let pool = pool(&yaml);
        assert_eq!(pool.watch_silence(socket, false).unwrap().is_some(), watched, "{yaml}");
        assert_eq!(pool.watch_silence(socket, true).unwrap().is_some(), tunnel_watched, "{yaml}");
    }
}
