//! Bodies on their way: nothing is held back, nothing broken passes for whole.

use super::*;
use seawall_testkit::Gate;
use std::io::Write as _;

/// What a client can decode of the beginning of a body.
fn so_far(encoding: &str, coded: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => {
            let mut decoder = flate2::write::GzDecoder::new(&mut out);
            decoder.write_all(coded).and_then(|()| decoder.flush()).or_die("decode a beginning");
            // Its destructor would complain about the missing end.
            std::mem::forget(decoder);
        }
        "br" => {
            let (mut decoder, mut piece) = (brotli::Decompressor::new(coded, 4096), [0; 4096]);
            while let Ok(count @ 1..) = decoder.read(&mut piece) {
                out.extend_from_slice(&piece[..count]);
            }
        }
        _ => {
            let mut decoder = zstd::stream::write::Decoder::new(&mut out).or_die("a decoder");
            decoder.write_all(coded).and_then(|()| decoder.flush()).or_die("decode a beginning");
        }
    }
    out
}

#[test]
fn events_arrive_one_by_one() {
    for protocol in ["http1", "http2"] {
        for (coding, cache) in [("gzip", "off"), ("br", "off"), ("zstd", "off"), ("br", "on")] {
            let gate = Gate::new();
            let held = gate.clone();
            let answer = move |_: &Request| {
                Reply::new(200)
                    .header("content-type", "text/event-stream")
                    .header("cache-control", "max-age=60")
                    .chunked()
                    .body("data: first\n\n")
                    .gate(&held)
                    .body("data: second\n\n")
            };
            let origin = if protocol == "http1" { Origin::h1(answer) } else { Origin::h2(answer) };
            let route = format!("cache: {cache}, compress: {{ types: [text/event-stream], min_size: 1 }}");
            let seawall = node_with(&origin, protocol, "", &route);
            let client = H2Client::tcp(seawall.addr(0)).or_die("speak HTTP/2");
            let mut stream = client.start(&accepting("/", coding)).or_die("start");
            assert_eq!(encoding(stream.head().or_die("a head")), coding);
            let mut coded = Vec::new();
            while so_far(coding, &coded) != b"data: first\n\n" {
                let more = stream.data().or_die("more while the origin is silent");
                coded.extend_from_slice(&more.or_die("no end yet"));
            }
            gate.open();
            let all = stream.finish().or_die("the end");
            assert_eq!(content(&all), b"data: first\n\ndata: second\n\n", "{protocol} {coding} {cache}");
        }
    }
}

#[test]
fn a_body_that_breaks_off_never_passes_for_a_whole_one() {
    let (cut, reset) = (text(50_000), text(50_000));
    let h1_origin = Origin::h1(move |_: &Request| {
        Reply::ok(cut.clone())
            .headers(&[("content-type", "text/html"), ("cache-control", "max-age=60")])
            .cut(40_000)
    });
    let chunked = Origin::h1(|_: &Request| {
        Reply::ok(text(50_000))
            .headers(&[("content-type", "text/html"), ("cache-control", "max-age=60")])
            .chunked()
            .cut(40_000)
    });
    let h2_origin = Origin::h2(move |_: &Request| {
        Reply::ok(reset.clone())
            .headers(&[("content-type", "text/html"), ("cache-control", "max-age=60")])
            .stream_reset(2)
    });
    for (origin, protocol) in [(&h1_origin, "http1"), (&chunked, "http1"), (&h2_origin, "http2")] {
        for cache in ["on", "off"] {
            let seawall = node_with(origin, protocol, "", &format!("cache: {cache}, compress: on"));
            for accept in ["br", "gzip", "zstd", "br"] {
                let got = request(seawall.addr(0), &accepting("/", accept));
                let whole = got.as_ref().is_ok_and(|got| got.status == 200);
                assert!(!whole, "{protocol} {cache} {accept}: {got:?}");
                let got = H2Client::tcp(seawall.addr(0)).or_die("speak").exchange(&accepting("/", accept));
                assert!(!got.as_ref().is_ok_and(|got| got.status == 200), "{protocol} {cache}: {got:?}");
            }
            seawall.wait_metric("seawall_compressions_in_flight", &[], 0.0);
            let metrics = seawall.metrics();
            assert_eq!(metrics.get("seawall_compressions_total", &[("result", "complete")]), 0.0);
            let aborted = metrics.get("seawall_compressions_total", &[("result", "aborted")]);
            // A stream that is reset may be so before its head has arrived.
            let expected = if protocol == "http1" { 8.0 } else { 0.0 };
            assert!(
                aborted >= expected,
                "{protocol} {cache}: {}",
                metrics.show("seawall_compressions_total")
            );
        }
    }
}

/// HTTP/2 may end a body with trailers; what the encoder still holds comes before them.
#[test]
fn trailers_do_not_cost_the_end_of_the_body() {
    let origin = Origin::h2(|_: &Request| {
        Reply::ok(text(20_000))
            .headers(&[("content-type", "text/html"), ("cache-control", "max-age=60")])
            .trailer("server-timing", "db;dur=5")
    });
    for cache in ["on", "off"] {
        let seawall = node_with(&origin, "http2", "", &format!("cache: {cache}, compress: on"));
        for accept in ["gzip", "br", "zstd"] {
            for ask in [h1, h2, h1, h2] {
                let got = ask(&seawall, &accepting("/", accept));
                assert_eq!((encoding(&got), content(&got)), (accept, text(20_000)), "{cache}");
            }
        }
        assert_eq!(compressions(&seawall), if cache == "on" { 3.0 } else { 12.0 });
    }
    // The control: what is not coded keeps its trailers.
    let seawall = node_with(&origin, "http2", "", "compress: on");
    assert_eq!(h2(&seawall, &accepting("/", "identity")).trailers.get("server-timing"), Some("db;dur=5"));
}

#[test]
fn every_framing_of_the_origin() {
    let fields = [("content-type", "text/html"), ("cache-control", "max-age=60")];
    let whole = move |_: &Request| Reply::ok(text(200_000)).headers(&fields);
    let origins = [
        ("http1", Origin::h1(whole)),
        ("http2", Origin::h2(whole)),
        ("http1", Origin::h1(move |request: &Request| whole(request).chunked())),
        ("http1", Origin::h1(move |request: &Request| whole(request).until_close())),
        ("http1", Origin::h1(move |request: &Request| whole(request).http10().until_close())),
        (
            "http1",
            Origin::h1(move |_: &Request| {
                let pieces = text(200_000);
                let reply = Reply::new(200).headers(&fields).chunked();
                pieces.chunks(777).fold(reply, |reply, piece| reply.body(piece))
            }),
        ),
    ];
    for (protocol, origin) in &origins {
        let seawall = node_with(origin, protocol, "", "cache: on, compress: on");
        for (expected, accept) in WANTED {
            for ask in [h1, h2, h1] {
                let got = ask(&seawall, &accepting("/", accept));
                assert_eq!((encoding(&got), content(&got)), (expected, text(200_000)), "{protocol}");
            }
        }
        assert_eq!(compressions(&seawall), 3.0);
    }
}

#[test]
fn nothing_is_coded_as_nothing() {
    let fields = [("content-type", "text/html"), ("cache-control", "max-age=60")];
    let origins = [
        ("http1", Origin::h1(move |_: &Request| Reply::new(200).headers(&fields).chunked())),
        ("http2", Origin::h2(move |_: &Request| Reply::new(200).headers(&fields))),
        ("http1", Origin::h1(move |_: &Request| Reply::new(200).headers(&fields))),
    ];
    for (protocol, origin) in &origins {
        let seawall = node_with(origin, protocol, "", "cache: on, compress: on");
        for ask in [h1, h2, h1] {
            let got = ask(&seawall, &accepting("/", "gzip"));
            assert_eq!((got.status, content(&got)), (200, Vec::new()), "{protocol}");
        }
    }
}

#[test]
fn old_clients_get_it_too() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    for _ in 0..2 {
        let mut client = seawall_testkit::RawClient::tcp(seawall.addr(0));
        client.send("GET / HTTP/1.0\r\nHost: example.com\r\nAccept-Encoding: gzip\r\n\r\n");
        let got = client.response();
        assert_eq!((encoding(&got), content(&got)), ("gzip", text(20_000)));
        assert!(got.chunks.is_empty());
    }
}

/// The slowest levels, whose pieces go to other threads.
#[test]
fn slow_levels_work_too() {
    let origin = Origin::h1(|request: &Request| page(request).chunked());
    let route = "compress: { levels: { br: 11, zstd: 19, gzip: 9 } }";
    let seawall = node(&origin, route);
    for accept in ["br", "zstd", "gzip"] {
        assert_eq!(content(&h1(&seawall, &accepting("/", accept))), text(20_000), "{accept}");
    }
}
