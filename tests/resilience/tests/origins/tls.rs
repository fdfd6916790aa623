//! TLS to origins: verified unless said otherwise, with the right name, version and certificates.

use seawall_testkit::{Identity, Origin, Pki, Reply, Seawall, TlsClient, get};

use crate::rig::pool;

fn origin(identity: &Identity) -> Origin {
    Origin::builder(|request| Reply::ok(request.version.clone())).tls(identity).start()
}

fn over(origin: &Origin, tls: &str, more: &str) -> Seawall {
    pool(&format!("'{}'", origin.addr()), &format!("tls: {{ {tls} }}, retries: {{ attempts: 0 }}{more}"))
}

/// The status a client gets, and the word in the access log.
fn outcome(seawall: &Seawall) -> (u16, String) {
    let response = get(seawall.addr(0), "example.com", "/", &[]);
    if response.status != 200 {
        assert!(!response.text().contains("127.0.0.1"), "no origin in the error: {}", response.text());
    }
    let line = seawall.wait_log(|line| line["status"] == response.status);
    (response.status, line["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn only_the_right_certificate_is_trusted() {
    let (pki, other) = (Pki::new(), Pki::new());
    let good = origin(&pki.server(&["app.example"]));
    let expired = origin(&pki.expired(&["app.example"]));
    let unsigned = origin(&pki.self_signed(&["app.example"]));
    let ca = pki.ca().display();
    for (origin, tls, status) in [
        (&good, format!("sni: app.example, ca: {ca}"), 200),
        (&good, "sni: app.example".to_owned(), 502),
        (&good, format!("sni: app.example, ca: {}", other.ca().display()), 502),
        (&good, format!("sni: other.example, ca: {ca}"), 502),
        (&expired, format!("sni: app.example, ca: {ca}"), 502),
        (&unsigned, format!("sni: app.example, ca: {ca}"), 502),
        // The controls: it is the checks that refuse.
        (&expired, "verify: false".to_owned(), 200),
        (&unsigned, "verify: false".to_owned(), 200),
        (&good, "sni: other.example, verify: false".to_owned(), 200),
    ] {
        origin.forget();
        let seawall = over(origin, &tls, "");
        let (got, error) = outcome(&seawall);
        assert_eq!(got, status, "{tls}: {error}");
        assert_eq!(origin.count(), usize::from(status == 200), "{tls}: no request on a bad connection");
        if status == 502 {
            assert!(["invalid_certificate", "tls_handshake"].contains(&error.as_str()), "{tls}: {error}");
        }
    }
    assert_eq!(good.last().tls.and_then(|tls| tls.server_name).as_deref(), Some("other.example"));
}

#[test]
fn old_versions_are_refused_before_a_request_is_sent() {
    let pki = Pki::new();
    let identity = pki.server(&["app.example"]);
    let trusted = format!("sni: app.example, ca: {}", pki.ca().display());
    let start = |lowest: &str, highest: &str| {
        Origin::builder(|_| Reply::ok("x")).tls(&identity).tls_versions(lowest, highest).start()
    };
    let old = start("1.0", "1.1");
    // The control: it is a working server, for clients that take TLS 1.1.
    let mut client = TlsClient::builder("app.example").ca(pki.ca()).versions("1.1", "1.1").build();
    client.connect(old.addr()).expect("TLS 1.1 works here");
    client = TlsClient::new("app.example", pki.ca());
    assert!(client.connect(old.addr()).is_err());
    let (status, error) = outcome(&over(&old, &trusted, ""));
    assert_eq!((status, error.as_str(), old.count()), (502, "tls_handshake", 0));

    let newer = start("1.2", "1.2");
    assert_eq!(outcome(&over(&newer, &trusted, "")).0, 200);
    newer.forget();
    let (status, error) = outcome(&over(&newer, &format!("{trusted}, min_version: 1.3"), ""));
    assert_eq!((status, error.as_str(), newer.count()), (502, "tls_handshake", 0));
}

#[test]
fn our_certificate_is_shown_to_those_who_ask() {
    let (pki, clients) = (Pki::new(), Pki::new());
    let asks = Origin::builder(|_| Reply::ok("x"))
        .tls(&pki.server(&["app.example"]))
        .client_ca(clients.ca())
        .start();
    let trusted = format!("sni: app.example, ca: {}", pki.ca().display());
    let shown = |identity: &Identity| {
        format!("{trusted}, certificate: {}, key: {}", identity.cert.display(), identity.key.display())
    };
    let ours = clients.client("seawall");
    assert_eq!(outcome(&over(&asks, &shown(&ours), "")).0, 200);
    assert_eq!(asks.last().tls.expect("a handshake").peer_names, ["seawall"]);
    asks.forget();
    for tls in [trusted.clone(), shown(&pki.client("seawall"))] {
        assert_eq!(outcome(&over(&asks, &tls, "")).0, 502, "{tls}");
    }
    assert_eq!(asks.count(), 0);
    // One that does not ask is not troubled by it.
    let open = origin(&pki.server(&["app.example"]));
    assert_eq!(outcome(&over(&open, &shown(&ours), "")).0, 200);
    assert!(open.last().tls.expect("a handshake").peer_names.is_empty());
}

#[test]
fn http2_is_spoken_where_both_want_it() {
    let pki = Pki::new();
    let identity = pki.server(&["app.example"]);
    let both = Origin::builder(|request| Reply::ok(request.version.clone())).tls_with_both(&identity).start();
    let old = origin(&identity);
    let tls = format!("sni: app.example, ca: {}", pki.ca().display());
    for (origin, protocol, version) in [
        (&both, "auto", "HTTP/2"),
        (&both, "http1", "HTTP/1.1"),
        (&both, "http2", "HTTP/2"),
        (&old, "auto", "HTTP/1.1"),
    ] {
        let seawall = over(origin, &tls, &format!(", protocol: {protocol}"));
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), version, "{protocol}");
    }
    let seawall = over(&old, &tls, ", protocol: http2");
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 502, "it does not speak HTTP/2");
}
