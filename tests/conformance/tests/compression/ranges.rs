//! Ranges: of content as it is, never of what was coded on its way, and never of both.

use super::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn status(seawall: &Seawall, headers: &[(&str, &str)]) -> u16 {
    let got = h1(seawall, &call("/", headers));
    match got.status {
        206 => {
            assert_eq!((encoding(&got), got.body.as_slice()), ("", &text(20_000)[100..200]));
            assert_eq!(got.header("content-range"), Some("bytes 100-199/20000"));
        }
        _ => assert_eq!(content(&got), text(20_000)),
    }
    got.status
}

const RANGE: (&str, &str) = ("range", "bytes=100-199");
const BR: (&str, &str) = ("accept-encoding", "br");
const PLAIN: (&str, &str) = ("accept-encoding", "identity");

#[test]
fn only_content_as_it_is_has_ranges() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    for _ in 0..2 {
        assert_eq!(status(&seawall, &[BR, RANGE]), 200, "fetched, then stored");
        assert_eq!(status(&seawall, &[PLAIN, RANGE]), 206);
        assert_eq!(status(&seawall, &[RANGE]), 206);
    }
    let coded = h1(&seawall, &call("/", &[BR]));
    assert_eq!(coded.header("accept-ranges"), None, "none are promised");
    assert_eq!(h1(&seawall, &call("/", &[PLAIN])).header("accept-ranges"), Some("bytes"));
    let beyond = h1(&seawall, &call("/", &[BR, ("range", "bytes=90000-")]));
    assert_eq!(beyond.status, 200, "not beyond anything");
    assert_eq!(h1(&seawall, &call("/", &[PLAIN, ("range", "bytes=90000-")])).status, 416);
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_weak_tag_never_lets_a_range_go_on() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    for accept in [BR, PLAIN, BR, PLAIN] {
        assert_eq!(status(&seawall, &[accept, RANGE, ("if-range", "W/\"v1\"")]), 200);
    }
    // The strong tag was given with the content as it is, and goes on with that only.
    assert_eq!(status(&seawall, &[PLAIN, RANGE, ("if-range", "\"v1\"")]), 206);
    assert_eq!(status(&seawall, &[BR, RANGE, ("if-range", "\"v1\"")]), 200);
}

/// A date is the same for every coding: it says nothing about the bytes that the client has (RFC 9110 §8.8.1).
#[test]
fn a_date_never_lets_a_range_go_on() {
    let origin = Origin::h1(|_: &Request| {
        Reply::ok(text(20_000)).headers(&[
            ("content-type", "text/html"),
            ("cache-control", "max-age=600"),
            ("last-modified", DATE),
        ])
    });
    let asked = [RANGE, ("if-range", DATE)];
    let seawall = node(&origin, "cache: on, compress: on");
    for accept in [BR, PLAIN, BR, PLAIN] {
        assert_eq!(status(&seawall, &[accept, asked[0], asked[1]]), 200);
    }
    // The control: where nothing is compressed, it does.
    let seawall = node(&origin, "cache: on");
    for _ in 0..2 {
        assert_eq!(status(&seawall, &asked), 206);
    }
    // And of what would not be compressed.
    let picture = Origin::h1(|_: &Request| {
        Reply::ok(text(20_000)).headers(&[
            ("content-type", "image/png"),
            ("cache-control", "max-age=600"),
            ("last-modified", DATE),
        ])
    });
    let seawall = node(&picture, "cache: on, compress: on");
    for accept in [BR, PLAIN] {
        assert_eq!(status(&seawall, &[accept, asked[0], asked[1]]), 206);
    }
}

/// Without a cache the origin cuts ranges. What is asked with a date is asked whole.
#[test]
fn without_a_cache_ranges_are_the_origins() {
    let origin = Origin::h1(|request: &Request| match request.header("range") {
        Some(_) => Reply::new(206).body(text(20_000)[100..200].to_vec()).headers(&[
            ("content-type", "text/html"),
            ("content-range", "bytes 100-199/20000"),
            ("last-modified", DATE),
        ]),
        None => page(request),
    });
    let seawall = node(&origin, "compress: on");
    assert_eq!(status(&seawall, &[BR, RANGE, ("if-range", DATE)]), 200);
    assert_eq!((origin.last().header("range"), origin.last().header("if-range")), (None, None));
    assert_eq!(status(&seawall, &[BR, RANGE]), 206, "a part of the content as it is, and it says so");
    assert!(varies(&h1(&seawall, &call("/", &[BR, RANGE]))));
}

/// Deep ranges are fetched as parts, where the whole would not be coded.
#[test]
fn parts_are_never_coded() {
    let whole = text(3 << 20);
    let answer = move |request: &Request| {
        let kind = if request.path() == "/video" { "video/mp4" } else { "text/plain" };
        let fields = [
            ("content-type", kind),
            ("cache-control", "max-age=600"),
            ("etag", "\"v1\""),
            ("accept-ranges", "bytes"),
        ];
        match request.header("range") {
            Some("bytes=2097152-2097251") => Reply::new(206)
                .body(whole[2_097_152..2_097_252].to_vec())
                .headers(&fields)
                .header("content-range", "bytes 2097152-2097251/3145728"),
            _ => Reply::ok(whole.clone()).headers(&fields),
        }
    };
    let origin = Origin::h1(answer);
    let seawall = node(&origin, "cache: on, compress: on");
    let deep = [BR, ("range", "bytes=2097152-2097251")];
    let expected = text(3 << 20)[2_097_152..2_097_252].to_vec();
    for _ in 0..2 {
        let part = h1(&seawall, &call("/video", &deep));
        assert_eq!((part.status, encoding(&part), &part.body), (206, "", &expected));
    }
    assert_eq!(origin.count(), 1, "stored as a part");
    // Of text the part is not stored: it would be given to all. From then on the whole is fetched, and coded.
    assert_eq!(h1(&seawall, &call("/text", &deep)).status, 206);
    let whole = h1(&seawall, &call("/text", &deep));
    assert_eq!((whole.status, encoding(&whole)), (200, "br"));
    assert_eq!(content(&whole), text(3 << 20));
}
