//! Requests that ask for more than the whole, or ask for it in other words.

use crate::pair::Pair;
use crate::{call, get};

/// Fields of requests that both versions of HTTP have.
pub(crate) const FIELDS: [(&str, &str); 62] = [
    ("Range", "bytes=0-3"),
    ("Range", "bytes=-2"),
    ("Range", "bytes=0-1,3-4"),
    ("Range", "bytes=5000000-"),
    ("Range", "lines=1-2"),
    ("Range", ""),
    ("If-Range", "\"v1\""),
    ("If-None-Match", "\"v1\""),
    ("If-None-Match", "W/\"v1\""),
    ("If-None-Match", "\"other\""),
    ("If-None-Match", "*"),
    ("If-Match", "\"v1\""),
    ("If-Match", "\"other\""),
    ("If-Match", "*"),
    ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("If-Modified-Since", "Sun, 06 Nov 1990 08:49:37 GMT"),
    ("If-Modified-Since", "nonsense"),
    ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("If-Unmodified-Since", "Sun, 06 Nov 1990 08:49:37 GMT"),
    ("Cache-Control", "only-if-cached"),
    ("Cache-Control", "no-cache"),
    ("Cache-Control", "no-store"),
    ("Cache-Control", "max-age=0"),
    ("Cache-Control", "max-age=0, only-if-cached"),
    ("Cache-Control", "max-age=3600"),
    ("Cache-Control", "max-stale"),
    ("Cache-Control", "max-stale=10, max-age=0"),
    ("Cache-Control", "min-fresh=10"),
    ("Cache-Control", "min-fresh=100000"),
    ("Cache-Control", "no-transform"),
    ("Cache-Control", "stale-if-error=10"),
    ("Cache-Control", "max-age=x"),
    ("Pragma", "no-cache"),
    ("Authorization", "Basic YTpi"),
    ("Cookie", "a=1"),
    ("Cookie", "session=1"),
    ("TE", "trailers"),
    ("Accept-Encoding", "gzip"),
    ("Accept-Encoding", "br, gzip;q=0.5"),
    ("Accept-Encoding", "identity;q=0, *;q=0"),
    ("Accept-Language", "de"),
    ("Accept-Language", "de, en;q=0.1"),
    ("Accept", "text/html"),
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Forwarded-Proto", "https"),
    ("Forwarded", "for=192.0.2.1"),
    ("Via", "1.1 client"),
    ("X-Request-Id", "given-by-the-client"),
    ("CDN-Loop", "other"),
    ("Max-Forwards", "0"),
    ("Origin", "http://example.com"),
    ("Referer", "http://example.com/from"),
    ("User-Agent", "test/1 \"quoted\""),
    ("Cache-Status", "client; hit"),
    ("Surrogate-Capability", "x=\"Surrogate/1.0\""),
    ("X-Country", "fr"),
    ("Age", "5"),
    ("Priority", "u=1"),
    ("Prefer", "respond-async"),
    ("Early-Data", "1"),
    ("Vary", "X"),
    ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
];

/// Requests with these fields for what is stored at `paths`.
fn with_fields(pair: &mut Pair, paths: &[&str]) {
    for path in paths {
        pair.h1(&format!("{path}, first"), &get(path, &[]));
        for field in FIELDS {
            pair.all_ways(&format!("{path} with {field:?}"), path, &[field]);
        }
        pair.both(&format!("{path}, last"), &get(path, &[]));
    }
}

#[test]
fn fields_of_requests() {
    let mut pair = Pair::new();
    with_fields(&mut pair, &["/length", "/etag", "/dated"]);
    pair.finish(522.0);
}

#[test]
fn fields_of_requests_for_variants_and_codings() {
    let mut pair = Pair::new();
    with_fields(&mut pair, &["/language", "/pressed/page", "/keyed/language", "/auth"]);
    pair.finish(690.0);
}

#[test]
fn fields_of_requests_where_they_count() {
    let mut pair = Pair::new();
    with_fields(&mut pair, &["/demands/etag", "/demands/aged", "/avoid/length", "/demands/revalidated"]);
    pair.finish(446.0);
}

#[test]
fn fields_of_requests_for_what_is_large() {
    let mut pair = Pair::new();
    with_fields(&mut pair, &["/large"]);
    pair.finish(174.0);
}

/// Heads of HTTP/1 that are asked with for a stored response; the line end that ends them is added.
const HEADS: [&str; 30] = [
    "GET /length HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nConnection: X-Own\r\nX-Own: 1\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nConnection: close, X-Own\r\nX-Own: 1\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nKeep-Alive: timeout=1\r\n",
    "GET /length HTTP/1.1\r\nHost: EXAMPLE.com\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com:80\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com:8080\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com.\r\n",
    "GET http://example.com/length HTTP/1.1\r\nHost: example.com\r\n",
    "GET http://example.com/length HTTP/1.1\r\nHost: other.example\r\n",
    "GET /%6cength HTTP/1.1\r\nHost: example.com\r\n",
    "GET /./length HTTP/1.1\r\nHost: example.com\r\n",
    "GET //length HTTP/1.1\r\nHost: example.com\r\n",
    "GET /length? HTTP/1.1\r\nHost: example.com\r\n",
    "GET /length HTTP/1.1\r\nHost: unknown.example\r\n",
    "GET /length HTTP/1.1\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nHost: example.com\r\n",
    "GET /length HTTP/1.0\r\nHost: example.com\r\n",
    "GET /length HTTP/1.0\r\nHost: example.com\r\nConnection: keep-alive\r\n",
    "GET /length HTTP/1.0\r\n",
    "HEAD /length HTTP/1.0\r\nHost: example.com\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nExpect: more\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nTE: trailers, deflate\r\nConnection: TE\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nTrailer: X-Sum\r\n",
    "GET /length HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n",
];

#[test]
fn heads_that_only_the_first_version_has() {
    let mut pair = Pair::new();
    pair.h1("first", &get("/length", &[]));
    for head in HEADS {
        let method = if head.starts_with("HEAD") { "HEAD" } else { "GET" };
        pair.raw(head, format!("{head}\r\n").as_bytes(), &[method]);
    }
    pair.finish(14.0);
}

#[test]
fn requests_with_bodies_and_other_methods() {
    let mut pair = Pair::new();
    let all = |pair: &mut Pair| {
        for path in ["/length", "/etag", "/fields/length"] {
            pair.both(&format!("{path} as it is now"), &get(path, &[]));
        }
    };
    all(&mut pair);
    let path = "/length";
    for method in ["GET", "HEAD"] {
        pair.both(&format!("{method} with a body"), &call(method, path, &[]).body("some"));
        pair.both(
            &format!("{method} with trailers"),
            &call(method, path, &[]).body("some").trailer("x-sum", "1"),
        );
        pair.both(&format!("{method} with no length"), &call(method, path, &[("Content-Length", "0")]));
        let expects = call(method, path, &[("Expect", "100-continue")]).body("some");
        pair.both(&format!("{method} with a body that waits"), &expects);
        all(&mut pair);
    }
    for method in ["OPTIONS", "TRACE", "POST", "PUT", "DELETE", "PATCH", "PURGE", "X-OWN", "get"] {
        pair.both(method, &call(method, path, &[]));
        pair.both(&format!("{method} with a body"), &call(method, path, &[]).body("some"));
        all(&mut pair);
    }
    pair.finish(66.0);
}

#[test]
fn requests_one_after_another_on_a_connection() {
    let mut pair = Pair::new();
    let line = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\n{more}\r\n")
    };
    let close = "Connection: close\r\n";
    type Asked = (&'static str, &'static str, &'static str);
    let several: [(&str, Vec<Asked>); 6] = [
        ("misses", vec![("GET", "/length", ""), ("GET", "/large", ""), ("GET", "/chunked", "")]),
        (
            "hits",
            vec![
                ("GET", "/length", ""),
                ("HEAD", "/large", ""),
                ("GET", "/large", ""),
                ("GET", "/empty", ""),
            ],
        ),
        (
            "hits and others",
            vec![
                ("GET", "/length", ""),
                ("GET", "/length", "Range: bytes=0-2\r\n"),
                ("GET", "/large", ""),
                ("GET", "/nostore", ""),
                ("HEAD", "/length", ""),
                ("GET", "/204", ""),
                ("GET", "/length", ""),
                ("GET", "/204", ""),
                ("GET", "/new", ""),
                ("GET", "/new", ""),
            ],
        ),
        (
            "one says that it is the last",
            vec![("GET", "/length", ""), ("GET", "/large", close), ("GET", "/length", "")],
        ),
        ("a HEAD says so", vec![("HEAD", "/large", close), ("GET", "/length", "")]),
        ("many hits", vec![("GET", "/length", ""); 200]),
    ];
    for (name, requests) in several {
        let bytes: String = requests.iter().map(|(method, path, more)| line(method, path, more)).collect();
        let methods: Vec<&str> = requests.iter().map(|(method, _, _)| *method).collect();
        pair.raw(name, bytes.as_bytes(), &methods);
        let calls: Vec<_> = requests.iter().map(|(method, path, _)| call(method, path, &[])).collect();
        pair.h2(&format!("{name}, over HTTP/2"), &calls);
    }
    let after_a_hit = line("GET", "/length", "");
    for rest in ["nonsense\r\n\r\n", "GET /length HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        pair.raw(
            &format!("{rest:?} after a hit"),
            format!("{after_a_hit}{rest}").as_bytes(),
            &["GET", "GET"],
        );
    }
    pair.finish(433.0);
}
