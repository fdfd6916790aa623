//! A variant is coded once and stored, for each encoding.

use super::*;
use seawall_testkit::Gate;

#[test]
fn each_encoding_is_fetched_and_coded_once() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    for (fetches, (expected, accept)) in WANTED.iter().enumerate() {
        let first = h1(&seawall, &accepting("/", accept));
        assert_eq!((encoding(&first), first.status), (*expected, 200));
        assert!(first.header("cache-status").is_some_and(|status| status.contains("stored")), "{first:?}");
        assert!(varies(&first), "also what is not coded: {first:?}");
        for ask in [h1, h2] {
            for _ in 0..5 {
                let hit = ask(&seawall, &accepting("/", accept));
                assert!(hit.header("cache-status").is_some_and(|status| status.contains("hit")), "{hit:?}");
                assert_eq!(encoding(&hit), *expected);
                assert_eq!(hit.body, first.body, "the stored bytes");
                assert_eq!(content(&hit), text(20_000));
                assert_eq!(hit.header("content-length"), Some(hit.body.len().to_string().as_str()));
                assert!(varies(&hit) && hit.header("seawall-uncoded-etag").is_none());
            }
        }
        assert_eq!(origin.count(), fetches + 1);
    }
    let metrics = seawall.metrics();
    for coding in ["zstd", "br", "gzip"] {
        let labels = [("encoding", coding), ("result", "complete")];
        assert_eq!(metrics.get("seawall_compressions_total", &labels), 1.0, "{coding}");
        let bytes =
            |way| metrics.get("seawall_compression_bytes_total", &[("encoding", coding), ("direction", way)]);
        assert_eq!(bytes("in"), 20_000.0);
        assert!(bytes("out") > 0.0 && bytes("out") < 10_000.0);
        assert!(metrics.get("seawall_compression_seconds_total", &[("encoding", coding)]) > 0.0);
    }
    assert_eq!(compressions(&seawall), 3.0);
    assert_eq!(metrics.get("seawall_compressions_in_flight", &[]), 0.0);
    let line = seawall.wait_log(|line| line["encoding"] == "br");
    assert!(line["bytes_sent"].as_u64().is_some_and(|bytes| bytes < 10_000), "{line}");
}

/// The control: without `compress` nothing of the kind happens.
#[test]
fn without_it_nothing_is_coded() {
    let origin = Origin::h1(page);
    for route in ["cache: on", "cache: on, compress: off"] {
        let seawall = node(&origin, route);
        let plain = h1(&seawall, &accepting("/", "br, gzip"));
        assert_eq!((encoding(&plain), plain.header("etag"), varies(&plain)), ("", Some("\"v1\""), false));
        assert_eq!(origin.last().header("accept-encoding"), Some("br, gzip"));
        assert_eq!(compressions(&seawall), 0.0);
    }
}

#[test]
fn however_it_is_written_there_is_one_variant() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    let mut client = seawall_testkit::RawClient::tcp(seawall.addr(0));
    for i in 0..100 {
        let weight = format!("0.{:03}", 100 + i * 7);
        for accept in [
            format!("br;q={weight}, x-{i}"),
            format!("x-{i}, deflate, br ; q={weight}"),
            format!("gzip;q={weight}"),
            format!("zstd, x-{i};q={weight}"),
            format!("x-{i};q={weight}"),
        ] {
            let got = client.exchange(&accepting("/", &accept)).or_die("ask");
            assert_eq!(content(&got), text(20_000), "{accept}");
        }
    }
    assert!(client.exchange(&call("/", &[])).or_die("ask").header("content-encoding").is_none());
    assert_eq!((origin.count(), compressions(&seawall)), (4, 3.0));
    let mut asked: Vec<_> = origin
        .requests()
        .iter()
        .map(|request| request.header("accept-encoding").map(str::to_owned))
        .collect();
    asked.sort();
    let expected = ["br", "gzip", "identity", "zstd"].map(|name| Some(name.to_owned()));
    assert_eq!(asked, expected);
}

/// A client that offers HTTP/2 asks for an ordinary response (curl does, each time it is told `--http2`).
#[test]
fn an_offer_of_http2_changes_nothing() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    let offer = [("accept-encoding", "br"), ("connection", "upgrade"), ("upgrade", "h2c")];
    for headers in [&offer[..], &offer[..1], &offer[..]] {
        assert_eq!(encoding(&h1(&seawall, &call("/", headers))), "br");
    }
    assert_eq!(origin.count(), 1);
}

/// Two settings want to write Accept-Encoding: were the other one to win, one variant would be stored as another.
#[test]
fn what_was_agreed_is_not_normalised_again() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: { key: { accept_encoding: [gzip] } }, compress: on");
    for _ in 0..2 {
        for (expected, accept) in WANTED {
            let got = h1(&seawall, &accepting("/", accept));
            assert_eq!((encoding(&got), content(&got)), (expected, text(20_000)));
        }
    }
    assert_eq!(origin.count(), 4);
}

#[test]
fn many_that_wait_are_one_compression() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |request| page(request).hold(&held));
    let seawall = node(&origin, "cache: on, compress: on");
    let client = H2Client::tcp(seawall.addr(0)).or_die("speak HTTP/2");
    let streams: Vec<_> =
        (0..20).map(|_| client.start(&accepting("/", "br")).or_die("start a request")).collect();
    gate.wait_waiting(1);
    gate.open();
    for stream in streams {
        assert_eq!(content(&stream.finish().or_die("a response")), text(20_000));
    }
    assert_eq!((origin.count(), compressions(&seawall)), (1, 1.0));
}

#[test]
fn head_says_what_get_says() {
    let origin = Origin::h1(page);
    for (route, fetched) in [("cache: on, compress: on", true), ("compress: on", false)] {
        let seawall = node(&origin, route);
        for accept in ["br", "identity"] {
            let get = h1(&seawall, &accepting("/", accept));
            let get = if fetched { h1(&seawall, &accepting("/", accept)) } else { get };
            let head = Call::new("HEAD", "example.com", "/").header("accept-encoding", accept);
            let head = h1(&seawall, &head);
            for name in
                ["content-encoding", "etag", "vary", "content-type", "accept-ranges", "content-length"]
            {
                assert_eq!(head.header(name), get.header(name), "{name} of {accept} with {route}");
            }
            assert!(head.body.is_empty());
        }
    }
}

#[test]
fn what_the_origin_coded_stays_and_is_stored_as_such() {
    let coded = b"not really gzip, and nobody looks".repeat(100);
    let body = coded.clone();
    let origin = Origin::h1(move |request: &Request| {
        let reply = page(request).header("vary", "Accept-Encoding");
        match request.header("accept-encoding") {
            Some("gzip") => Reply::ok(body.clone()).header("content-encoding", "gzip").headers(&[
                ("content-type", "text/html"),
                ("cache-control", "max-age=600"),
                ("etag", "\"v1-gzip\""),
                ("vary", "Accept-Encoding"),
            ]),
            _ => reply,
        }
    });
    let seawall = node(&origin, "cache: on, compress: on");
    for _ in 0..2 {
        let got = h1(&seawall, &accepting("/", "gzip"));
        assert_eq!((encoding(&got), got.header("etag")), ("gzip", Some("\"v1-gzip\"")));
        assert_eq!(got.body, coded);
        assert_eq!(content(&h1(&seawall, &accepting("/", "gzip, br"))), text(20_000));
    }
    assert_eq!((origin.count(), compressions(&seawall), passed(&seawall, "encoded")), (2, 1.0, 1.0));
    // Ranges of what the origin coded are the origin's business: its tag is strong.
    let part = h1(&seawall, &call("/", &[("accept-encoding", "gzip"), ("range", "bytes=5-9")]));
    assert_eq!((part.status, part.body), (206, coded[5..10].to_vec()));
}

#[test]
fn an_origin_may_be_spared_the_work() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: { ask_origin: identity, encodings: [gzip, br] }");
    for (accept, expected) in [("br, gzip, zstd", "gzip"), ("br", "br"), ("zstd", "")] {
        assert_eq!(encoding(&h1(&seawall, &accepting("/", accept))), expected);
        assert_eq!(origin.last().header("accept-encoding"), Some("identity"));
    }
    assert_eq!((origin.count(), compressions(&seawall)), (3, 2.0));
}

#[test]
fn a_default_for_all_routes() {
    let origin = Origin::h1(page);
    let seawall = node_with(&origin, "http1", "compress: { encodings: [gzip] }", "cache: on");
    assert_eq!(encoding(&h1(&seawall, &accepting("/", "br, gzip"))), "gzip");
    let seawall = node_with(&origin, "http1", "compress: { encodings: [gzip] }", "compress: off");
    assert_eq!(encoding(&h1(&seawall, &accepting("/", "br, gzip"))), "");
}

#[test]
fn files_are_coded_once_too() {
    let seawall = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { site: { files: '%{dir}/site' } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: site, cache: 1h, compress: on }] }]
",
    );
    std::fs::create_dir(seawall.folder().join("site")).or_die("make a folder");
    std::fs::write(seawall.folder().join("site/a.css"), text(20_000)).or_die("write a file");
    let seawall = seawall.start();
    for _ in 0..3 {
        for (expected, accept) in WANTED {
            let got = h1(&seawall, &accepting("/a.css", accept));
            assert_eq!((encoding(&got), content(&got)), (expected, text(20_000)));
        }
    }
    assert_eq!(compressions(&seawall), 3.0);
}
