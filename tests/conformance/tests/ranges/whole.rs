//! Ranges of responses that are stored whole.

use seawall_testkit::{Call, Origin, Reply, Response, Seawall};

use crate::{both, cached, call, h1, shown};

const DIGITS: &str = "0123456789";
const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn digits() -> Origin {
    Origin::h1(|_| {
        Reply::ok(DIGITS).headers(&[
            ("cache-control", "max-age=60"),
            ("content-type", "text/plain"),
            ("etag", "\"a\""),
            ("last-modified", OLD),
        ])
    })
}

/// Everything is asked once, so that it is stored.
fn stored(origin: &Origin, cache: &str) -> Seawall {
    let seawall = cached(origin, "http1", cache);
    assert_eq!(h1(&seawall, &call("/", &[])).status, 200);
    seawall
}

#[test]
fn single_ranges() {
    let origin = digits();
    let seawall = stored(&origin, "on");
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=0-0", 206, "bytes 0-0/10", "0"),
        ("bytes=7-", 206, "bytes 7-9/10", "789"),
        ("bytes=7-99", 206, "bytes 7-9/10", "789"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=-30", 206, "bytes 0-9/10", DIGITS),
        ("Bytes=1-1", 206, "bytes 1-1/10", "1"),
        ("bytes=10-", 416, "bytes */10", ""),
        ("bytes=-0", 416, "bytes */10", ""),
        // Malformed, of another unit, or none at all: the whole (RFC 9110 §14.2).
        ("bytes=4-2", 200, "-", DIGITS),
        ("bytes=", 200, "-", DIGITS),
        ("bytes=a-b", 200, "-", DIGITS),
        ("lines=1-2", 200, "-", DIGITS),
    ] {
        for response in both(&seawall, &call("/", &[("Range", range)])) {
            assert_eq!(shown(&response), (status, content_range, body.to_owned()), "{range}");
            let length = body.len().to_string();
            assert_eq!(response.header("content-length"), Some(length.as_str()), "{range}");
        }
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_answer_to_a_range_that_does_not_exist_is_kept_by_nobody() {
    let origin = digits();
    let seawall = stored(&origin, "on");
    for response in both(&seawall, &call("/", &[("Range", "bytes=10-")])) {
        assert_eq!(response.header("cache-control"), Some("no-store"));
        for absent in ["etag", "last-modified", "content-type"] {
            assert_eq!(response.header(absent), None, "{absent}");
        }
    }
    for response in both(&seawall, &call("/", &[("Range", "bytes=9-")])) {
        assert_eq!(response.header("cache-control"), Some("max-age=60"));
        assert_eq!(response.header("etag"), Some("\"a\""));
    }
}

/// The parts of a multipart/byteranges body: Content-Range and content of each.
fn parts(response: &Response) -> Vec<(String, String)> {
    let boundary = response
        .header("content-type")
        .and_then(|value| value.strip_prefix("multipart/byteranges; boundary="))
        .expect("a boundary");
    let text = response.text();
    let inner = text.strip_suffix(&format!("\r\n--{boundary}--\r\n")).expect("the last boundary");
    inner
        .split(&format!("\r\n--{boundary}\r\n"))
        .skip(1)
        .map(|part| {
            let (head, content) = part.split_once("\r\n\r\n").expect("a part's head");
            let lines: Vec<&str> = head.split("\r\n").collect();
            assert_eq!(lines[0], "Content-Type: text/plain");
            let range = lines[1].strip_prefix("Content-Range: bytes ").expect("its range");
            (range.to_owned(), content.to_owned())
        })
        .collect()
}

#[test]
fn several_ranges() {
    let origin = digits();
    let seawall = stored(&origin, "on");
    for (range, expected) in [
        ("bytes=0-1,4-5", &[("0-1/10", "01"), ("4-5/10", "45")][..]),
        ("bytes=8-9,0-1,4-4", &[("8-9/10", "89"), ("0-1/10", "01"), ("4-4/10", "4")]),
        ("bytes=0-0, 5-6, -1, 50-60", &[("0-0/10", "0"), ("5-6/10", "56"), ("9-9/10", "9")]),
    ] {
        for response in both(&seawall, &call("/", &[("Range", range)])) {
            assert_eq!(response.status, 206, "{range}");
            assert_eq!(response.header("content-range"), None);
            let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(parts(&response), expected, "{range}");
            let length = response.body.len().to_string();
            assert_eq!(response.header("content-length"), Some(length.as_str()), "{range}");
        }
    }
    for (range, content_range, body) in
        [("bytes=0-4,3-6", "bytes 0-6/10", "0123456"), ("bytes=0-4,20-", "bytes 0-4/10", "01234")]
    {
        for response in both(&seawall, &call("/", &[("Range", range)])) {
            assert_eq!(shown(&response), (206, content_range, body.to_owned()), "{range}");
        }
    }
}

#[test]
fn abuse_gets_the_whole() {
    let origin = digits();
    let seawall = stored(&origin, "on");
    let six = "bytes=0-0,2-2,4-4,6-6,8-8,9-9";
    for range in [six, "bytes=0-,0-,0-", "bytes=0-5,1-6,2-7"] {
        for response in both(&seawall, &call("/", &[("Range", range)])) {
            assert_eq!(shown(&response), (200, "-", DIGITS.to_owned()), "{range}");
        }
    }
    let wider = stored(&origin, "{ max_ranges: 6 }");
    assert_eq!(h1(&wider, &call("/", &[("Range", six)])).status, 206, "control: the route may allow more");
    let none = stored(&origin, "{ max_ranges: 0 }");
    let response = h1(&none, &call("/", &[("Range", "bytes=0-1")]));
    assert_eq!(shown(&response), (200, "-", DIGITS.to_owned()));
    assert_eq!(response.header("accept-ranges"), None, "what is off is not advertised");
}

#[test]
fn if_range_is_a_strong_condition() {
    let origin = digits();
    let seawall = stored(&origin, "on");
    for (validator, status) in
        [("\"a\"", 206), ("\"b\"", 200), ("W/\"a\"", 200), (OLD, 206), ("Sun, 06 Nov 1994 08:49:38 GMT", 200)]
    {
        for response in both(&seawall, &call("/", &[("Range", "bytes=2-4"), ("If-Range", validator)])) {
            assert_eq!(response.status, status, "{validator}");
        }
    }
    // Conditions come first: what the client has already is not sent, in whatever pieces.
    for response in both(&seawall, &call("/", &[("Range", "bytes=2-4"), ("If-None-Match", "\"a\"")])) {
        assert_eq!(response.status, 304);
    }
    for response in both(&seawall, &call("/", &[("Range", "bytes=2-4"), ("If-Match", "\"b\"")])) {
        assert_eq!(shown(&response), (412, "-", String::new()));
    }
}

#[test]
fn only_a_get_has_ranges() {
    let origin = digits();
    let seawall = stored(&origin, "on");
    for response in both(&seawall, &Call::new("HEAD", "example.com", "/").header("Range", "bytes=2-4")) {
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-length"), Some("10"));
        assert_eq!(response.header("accept-ranges"), Some("bytes"));
    }
    assert_eq!(h1(&seawall, &call("/", &[("Range", "bytes=2-4")])).status, 206, "control: a GET has");
}

#[test]
fn an_empty_body_has_no_ranges() {
    let origin = Origin::h1(|_| Reply::ok("").header("cache-control", "max-age=60"));
    let seawall = stored(&origin, "on");
    for (range, status, content_range) in
        [("bytes=0-", 416, "bytes */0"), ("bytes=0-0", 416, "bytes */0"), ("bytes=-5", 200, "-")]
    {
        for response in both(&seawall, &call("/", &[("Range", range)])) {
            assert_eq!(shown(&response), (status, content_range, String::new()), "{range}");
        }
    }
}

#[test]
fn a_stored_body_has_a_length_even_if_its_origin_gave_none() {
    let origin = Origin::h1(|_| {
        Reply::ok("01234")
            .body("56789")
            .chunked()
            .headers(&[("cache-control", "max-age=60"), ("etag", "\"a\"")])
    });
    let seawall = cached(&origin, "http1", "on");
    // On its way nobody knows how long it will be: the whole.
    let miss = h1(&seawall, &call("/", &[("Range", "bytes=2-4")]));
    assert_eq!(shown(&miss), (200, "-", DIGITS.to_owned()));
    assert_eq!(miss.header("accept-ranges"), None);
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=-2", 206, "bytes 8-9/10", "89"),
        ("bytes=50-", 416, "bytes */10", ""),
    ] {
        for response in both(&seawall, &call("/", &[("Range", range)])) {
            assert_eq!(shown(&response), (status, content_range, body.to_owned()), "{range}");
        }
    }
    for whole in both(&seawall, &call("/", &[])) {
        assert_eq!(whole.header("content-length"), Some("10"));
        assert_eq!(whole.header("transfer-encoding"), None);
        assert_eq!(whole.header("accept-ranges"), Some("bytes"));
        assert_eq!(whole.text(), DIGITS);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn ranges_are_advertised_where_there_are_any() {
    let origin = digits();
    let seawall = stored(&origin, "on");
    for response in both(&seawall, &call("/", &[])) {
        assert_eq!(response.header("accept-ranges"), Some("bytes"));
    }
    let error = Origin::h1(|_| Reply::new(404).body("no").header("cache-control", "max-age=60"));
    let seawall = cached(&error, "http1", "on");
    assert_eq!(h1(&seawall, &call("/", &[])).header("accept-ranges"), None);
    let uncached = cached(&origin, "http1", "off");
    assert_eq!(h1(&uncached, &call("/", &[])).header("accept-ranges"), None, "that is the origin's business");
}

#[test]
fn a_stale_response_is_cut_like_a_fresh_one() {
    let origin = Origin::h1(|request| {
        let fields = [("cache-control", "max-age=0"), ("etag", "\"v1\"")];
        match request.header("if-none-match") {
            Some("\"v1\"") => Reply::new(304).headers(&fields),
            _ => Reply::ok(DIGITS).headers(&fields),
        }
    });
    let seawall = stored(&origin, "on");
    for response in both(&seawall, &call("/", &[("Range", "bytes=2-4")])) {
        assert_eq!(shown(&response), (206, "bytes 2-4/10", "234".to_owned()));
        let status = response.header("cache-status").unwrap_or_default();
        assert!(status.contains("fwd=stale; fwd-status=304"), "{status}");
    }
    for response in both(&seawall, &call("/", &[("Range", "bytes=10-")])) {
        assert_eq!(shown(&response), (416, "bytes */10", String::new()));
    }
    assert_eq!(origin.last().header("range"), None, "the whole is validated");

    let origin =
        Origin::h1(|_| Reply::ok(DIGITS).header("cache-control", "max-age=0, stale-while-revalidate=60"));
    let seawall = stored(&origin, "on");
    for response in both(&seawall, &call("/", &[("Range", "bytes=2-4")])) {
        assert_eq!(shown(&response), (206, "bytes 2-4/10", "234".to_owned()));
    }
    origin.wait_requests(2);
    assert!(origin.requests().iter().all(|request| request.header("range").is_none()));
}
