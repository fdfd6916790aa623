use super::{Framing, HeadFault, HeadLimits, check_h1, check_h2};
use http::{Uri, header::HeaderValue};
use pingora_http::RequestHeader;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { max_head: 4096, max_fields: 10, max_target: 64 };

fn reason(raw: &[u8]) -> &'static str {
    check_h1(raw, &LIMITS).map_or_else(|fault| fault.reason, |_| "passed")
}

/// A head with `fields` after a lawful request line and Host.
fn with(fields: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n").into_bytes()
}

#[test]
fn lawful_heads_pass() {
    for raw in [
        "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost:a.example:8080\r\n\r\n",
        "GET /a?b=c|d\"{}%00 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET http://a.example/x HTTP/1.1\r\nHost: A.example\r\n\r\n",
        "GET https://a.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        "PURGE / HTTP/1.1\r\nHost: 192.0.2.1\r\nX-Empty:\r\nX-Latin: caf\u{e9}\r\nX-Tab:\ta\tb\r\n\r\n",
    ] {
        assert_eq!(reason(raw.as_bytes()), "passed", "{raw:?}");
    }
}

#[test]
fn framing_is_found() {
    let framing = |fields: &str| check_h1(&with(fields), &LIMITS).unwrap();
    assert_eq!(framing(""), Framing::None);
    assert_eq!(framing("Content-Length: 0\r\n"), Framing::Length(0));
    assert_eq!(framing("CONTENT-LENGTH:\t12 \r\n"), Framing::Length(12));
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
    assert!(framing("Content-Length: 1\r\n").has_body());
    assert!(!framing("Content-Length: 0\r\n").has_body());
}

#[test]
fn broken_lines_are_refused() {
    for (raw, expected) in [
        (&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], "bare_lf"),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", "bare_lf"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", "bare_lf"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", "incomplete_head"),
        (b"", "incomplete_head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", "bytes_after_head"),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line"),
        (b"GET /\r\n\r\n", "bad_request_line"),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_version"),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "bad_version"),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", "bad_version"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "unknown_version"),
        (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    ] {
        assert_eq!(reason(raw), expected, "{}", raw.escape_ascii());
    }
}

#[test]
fn hosts_are_one_and_whole() {
    for (raw, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", "missing_host"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "duplicate_host"),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: [zz]\r\n\r\n", "bad_host"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "host_differs_from_target"),
    ] {
        assert_eq!(reason(raw.as_bytes()), expected, "{raw:?}");
    }
}

#[test]
fn fields_that_hide_something_are_refused() {
    for (fields, expected) in [
        ("X: a\r\n folded: b\r\n", "folded_field"),
        (" X: a\r\n", "folded_field"),
        ("X : a\r\n", "space_before_colon"),
        ("Content-Length\t: 3\r\n", "space_before_colon"),
        ("no colon\r\n", "field_without_colon"),
        (": a\r\n", "bad_field_name"),
        ("X\u{1}: a\r\n", "bad_field_name"),
        ("X(y: a\r\n", "bad_field_name"),
        ("X: a\0b\r\n", "bad_field_value"),
        ("X: a\rb\r\n", "bad_field_value"),
        ("X: a\u{7f}b\r\n", "bad_field_value"),
        ("X: a\u{1b}b\r\n", "bad_field_value"),
    ] {
        assert_eq!(reason(&with(fields)), expected, "{fields:?}");
    }
}

#[test]
fn framing_that_can_be_read_twice_is_refused() {
    for (fields, expected) in [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "length_and_transfer_encoding"),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "duplicate_content_length"),
        ("Content-Length: 3, 3\r\n", "bad_content_length"),
        ("Content-Length: +3\r\n", "bad_content_length"),
        ("Content-Length: -3\r\n", "bad_content_length"),
        ("Content-Length: 0x3\r\n", "bad_content_length"),
        ("Content-Length: 3 3\r\n", "bad_content_length"),
        ("Content-Length:\r\n", "bad_content_length"),
        ("Content-Length: 99999999999999999999\r\n", "bad_content_length"),
        ("Transfer-Encoding: gzip\r\n", "unknown_transfer_coding"),
        ("Transfer-Encoding: identity\r\n", "unknown_transfer_coding"),
        ("Transfer-Encoding: xchunked\r\n", "bad_transfer_encoding"),
        ("Transfer-Encoding: gzip, chunked\r\n", "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked, identity\r\n", "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked;a=b\r\n", "bad_transfer_encoding"),
        ("Transfer-Encoding: \"chunked\"\r\n", "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "duplicate_transfer_encoding"),
        ("Transfer-Encoding:\r\n", "bad_transfer_encoding"),
    ] {
        assert_eq!(reason(&with(fields)), expected, "{fields:?}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(reason(old), "transfer_encoding_in_http10");
}

#[test]
fn sizes_have_their_own_statuses() {
    let status = |raw: &[u8]| check_h1(raw, &LIMITS).map_or_else(|fault| fault.status, |_| 200);
    let target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n - 1)).into_bytes();
    assert_eq!(status(&target(64)), 200);
    assert_eq!(status(&target(65)), 414);
    let fields = |n: usize| with(&"X: y\r\n".repeat(n - 1));
    assert_eq!(status(&fields(10)), 200);
    assert_eq!(status(&fields(11)), 431);
    assert_eq!(status(&with(&format!("X: {}\r\n", "y".repeat(4000)))), 200);
    assert_eq!(status(&with(&format!("X: {}\r\n", "y".repeat(4096)))), 431);
    assert_eq!(status(b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"), 505);
    assert_eq!(status(&with("Transfer-Encoding: br\r\n")), 501);
}

fn h2(path: &[u8], authority: Option<&str>, fields: &[(&'static str, &[u8])]) -> RequestHeader {
    let mut request = RequestHeader::build_no_case("GET", path, None).unwrap();
    if let Some(authority) = authority {
        request.set_uri(
            Uri::builder()
                .scheme("https")
                .authority(authority)
                .path_and_query(std::str::from_utf8(path).unwrap_or("/"))
                .build()
                .unwrap(),
        );
    }
    for (name, value) in fields {
        request.append_header(*name, HeaderValue::from_bytes(value).unwrap()).unwrap();
    }
    request
}

fn h2_reason(request: &RequestHeader) -> &'static str {
    check_h2(request, &LIMITS).map_or_else(|fault| fault.reason, |()| "passed")
}

#[test]
fn lawful_h2_heads_pass() {
    assert_eq!(h2_reason(&h2(b"/a?b", Some("a.example"), &[])), "passed");
    assert_eq!(h2_reason(&h2(b"/", Some("a.example"), &[("host", b"A.example")])), "passed");
    assert_eq!(h2_reason(&h2(b"/", None, &[("host", b"a.example"), ("te", b"trailers")])), "passed");
    assert_eq!(h2_reason(&h2(b"/", Some("a.example"), &[("content-length", b"3")])), "passed");
}

#[test]
fn h2_heads_that_would_change_on_the_way_are_refused() {
    for (fields, expected) in [
        (&[("connection", &b"close"[..])][..], "connection_field_in_h2"),
        (&[("keep-alive", b"1")], "connection_field_in_h2"),
        (&[("proxy-connection", b"x")], "connection_field_in_h2"),
        (&[("transfer-encoding", b"chunked")], "connection_field_in_h2"),
        (&[("upgrade", b"h2c")], "connection_field_in_h2"),
        (&[("te", b"gzip")], "te_in_h2"),
        (&[("host", b"b.example")], "host_differs_from_target"),
        (&[("host", b"a.example"), ("host", b"a.example")], "duplicate_host"),
        (&[("content-length", b"1"), ("content-length", b"1")], "duplicate_content_length"),
        (&[("content-length", b"+1")], "bad_content_length"),
    ] {
        assert_eq!(h2_reason(&h2(b"/", Some("a.example"), fields)), expected, "{fields:?}");
    }
    assert_eq!(h2_reason(&h2(b"/", None, &[])), "missing_host");
    assert_eq!(h2_reason(&h2(b"/", None, &[("host", b"a b")])), "bad_host");
    assert_eq!(h2_reason(&h2(b"*", Some("a.example"), &[])), "bad_target");
    let long = format!("/{}", "x".repeat(64));
    assert_eq!(h2_reason(&h2(long.as_bytes(), Some("a.example"), &[])), "target_too_long");
    let many: Vec<(&'static str, &[u8])> = vec![("x", &b"y"[..]); 11];
    assert_eq!(h2_reason(&h2(b"/", Some("a.example"), &many)), "too_many_fields");
    let large = vec![b'y'; 4096];
    assert_eq!(h2_reason(&h2(b"/", Some("a.example"), &[("x", &large)])), "head_too_large");
}

#[test]
fn every_fault_names_a_status_a_client_can_be_told() {
    let fault = HeadFault::from(crate::LineFault::IllegalByte);
    assert_eq!((fault.status, fault.to_string().contains("illegal_byte_in_line")), (400, true));
}

proptest! {
    #[test]
    fn never_panics(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = check_h1(&raw, &LIMITS);
    }

    /// Whatever passes is read in the same way by a parser that knows nothing of these rules.
    #[test]
    fn what_passes_has_no_bare_line_ends(
        fields in proptest::collection::vec("[A-Za-z -]{1,12}:[ -~\t\r\n\0]{0,20}", 0..5),
    ) {
        let raw = with(&fields.iter().map(|f| format!("{f}\r\n")).collect::<String>());
        if check_h1(&raw, &LIMITS).is_ok() {
            let text = String::from_utf8(raw).unwrap();
            prop_assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
            prop_assert_eq!(text.matches('\r').count(), text.matches("\r\n").count());
            prop_assert!(text.find("\r\n\r\n").is_some_and(|at| at + 4 == text.len()));
        }
    }
}
