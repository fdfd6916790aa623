//! Entity tags, conditions and renewal of what was coded.

use super::*;

#[test]
fn a_coded_response_has_a_weak_tag_and_no_digest_of_other_bytes() {
    let origin = Origin::h1(|request: &Request| {
        page(request).headers(&[
            ("content-digest", "sha-256=:AAAA:"),
            ("repr-digest", "sha-256=:AAAA:"),
            ("content-md5", "AAAA"),
            ("accept-ranges", "bytes"),
        ])
    });
    let seawall = node(&origin, "cache: on, compress: on");
    let gone = ["content-digest", "repr-digest", "content-md5", "accept-ranges"];
    for _ in 0..2 {
        let coded = h1(&seawall, &accepting("/", "gzip"));
        assert_eq!(coded.header("etag"), Some("W/\"v1\""));
        gone.iter().for_each(|name| assert_eq!(coded.header(name), None, "{name}"));
        let plain = h1(&seawall, &accepting("/", "identity"));
        assert_eq!(plain.header("etag"), Some("\"v1\""));
        gone.iter().for_each(|name| assert!(plain.header(name).is_some(), "{name}"));
    }
}

#[test]
fn the_clients_conditions_count() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    let ask =
        |accept, name, value| h1(&seawall, &call("/", &[("accept-encoding", accept), (name, value)])).status;
    for accept in ["br", "identity", "br", "identity"] {
        for tag in ["W/\"v1\"", "\"v1\"", "\"v0\", W/\"v1\"", "*"] {
            assert_eq!(ask(accept, "if-none-match", tag), 304, "{accept} {tag}");
        }
        assert_eq!(ask(accept, "if-none-match", "\"v0\""), 200);
    }
    // A weak tag identifies no bytes: If-Match wants a strong one (RFC 9110 §13.1.1).
    assert_eq!(ask("br", "if-match", "W/\"v1\""), 412);
    assert_eq!(ask("br", "if-match", "\"v1\""), 412);
    assert_eq!(ask("identity", "if-match", "\"v1\""), 200);
    let fresh = h1(&seawall, &call("/", &[("accept-encoding", "br"), ("if-none-match", "W/\"v1\"")]));
    assert_eq!((fresh.status, fresh.header("etag"), varies(&fresh)), (304, Some("W/\"v1\""), true));
    assert_eq!(origin.count(), 2);
}

/// An origin that wants to be asked each time, and compares tags byte by byte as many do.
fn strict(tag: &'static str, update: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::h1(move |request: &Request| {
        if request.header("if-none-match") == Some(tag) {
            return Reply::new(304).header("etag", tag).headers(update);
        }
        Reply::ok(text(20_000)).headers(&[
            ("content-type", "text/html"),
            ("cache-control", "no-cache"),
            ("etag", tag),
            ("vary", "Origin"),
        ])
    })
}

#[test]
fn a_304_of_the_origin_renews_what_was_coded() {
    for tag in ["\"v1\"", "W/\"v1\""] {
        let origin = strict(tag, &[("x-round", "2"), ("vary", "Origin"), ("content-length", "20000")]);
        let seawall = node(&origin, "cache: on, compress: on");
        for round in 0..3 {
            let got = h1(&seawall, &accepting("/", "br"));
            assert_eq!((encoding(&got), got.header("etag")), ("br", Some("W/\"v1\"")), "round {round}");
            assert_eq!(content(&got), text(20_000));
            assert_eq!(got.header("x-round"), (round > 0).then_some("2"));
            assert!(varies(&got), "although the 304 says nothing of it");
            assert_eq!(got.header("seawall-uncoded-etag"), None);
        }
        assert_eq!((origin.count(), compressions(&seawall)), (3, 1.0), "coded once, renewed twice");
        assert_eq!(origin.last().header("if-none-match"), Some(tag), "its own tag");
    }
}

/// The control: a 304 that speaks of something else renews nothing.
#[test]
fn a_304_about_another_response_renews_nothing() {
    let origin = Origin::h1(|request: &Request| match request.header("if-none-match") {
        Some(_) => Reply::new(304).header("etag", "\"v2\""),
        None => page(request).header("cache-control", "no-cache"),
    });
    let seawall = node(&origin, "cache: on, compress: on");
    for _ in 0..4 {
        assert_eq!(content(&h1(&seawall, &accepting("/", "br"))), text(20_000));
    }
    let conditions: Vec<bool> =
        origin.requests().iter().map(|request| request.header("if-none-match").is_some()).collect();
    assert_eq!(conditions, [false, true, false, true], "dropped, and fetched anew");
}

#[test]
fn a_304_that_forbids_the_coding_ends_it() {
    let origin = strict("\"v1\"", &[("cache-control", "no-cache, no-transform")]);
    let seawall = node(&origin, "cache: on, compress: on");
    for _ in 0..3 {
        let _ = h1(&seawall, &accepting("/", "br"));
    }
    let conditions: Vec<bool> =
        origin.requests().iter().map(|request| request.header("if-none-match").is_some()).collect();
    assert_eq!(conditions, [false, true, false]);
}

/// Without a cache the origin answers the client's own condition, about the tag that it gave.
#[test]
fn a_304_speaks_of_the_tag_that_the_client_has() {
    let origin = Origin::h1(|request: &Request| match request.header("if-none-match") {
        Some(_) => Reply::new(304).header("etag", "\"v1\""),
        None => page(request),
    });
    let seawall = node(&origin, "compress: on");
    let ask = |known| {
        let got = h1(&seawall, &call("/", &[("accept-encoding", "br"), ("if-none-match", known)]));
        (got.status, got.header("etag").map(str::to_owned))
    };
    assert_eq!(ask("W/\"v1\""), (304, Some("W/\"v1\"".into())));
    assert_eq!(ask("\"v1\""), (304, Some("\"v1\"".into())));
}

#[test]
fn an_origin_cannot_pass_for_the_store() {
    let origin = Origin::h1(|request: &Request| page(request).header("seawall-uncoded-etag", "\"forged\""));
    let seawall = node(&origin, "cache: on, compress: on");
    for accept in ["identity", "br"] {
        for _ in 0..2 {
            let got = h1(&seawall, &call("/", &[("accept-encoding", accept), ("range", "bytes=0-9")]));
            assert_eq!(got.header("seawall-uncoded-etag"), None);
            assert_eq!(got.status, if accept == "br" { 200 } else { 206 });
        }
    }
}
