//! Debian's nginx as an origin, curl as a client: what passes through is what nginx says, and what is kept is
//! what it would say.

use seawall_test_interop::{Answer, Edge, Nginx, fetch};
use seawall_testkit::{OrDie, body, check_body};

/// The same files with different fields.
const LOCATIONS: &str = r#"
location /fresh/ { rewrite ^/fresh(/.*)$ $1 break; add_header Cache-Control "max-age=60"; }
location /stale/ { rewrite ^/stale(/.*)$ $1 break; add_header Cache-Control "max-age=0"; }
location /gzip/ {
  rewrite ^/gzip(/.*)$ $1 break; add_header Cache-Control "max-age=60";
  gzip on; gzip_types text/plain; gzip_proxied any; gzip_vary on; gzip_min_length 1;
}
"#;

fn behind(route: &str) -> (Nginx, Edge) {
    let nginx = Nginx::start(LOCATIONS);
    let edge = Edge::to(nginx.addr()).route(route).start();
    (nginx, edge)
}

#[track_caller]
fn ask(edge: &Edge, path: &str, args: &[&str]) -> Answer {
    fetch(edge.plain(), &format!("http://example.com{path}"), args)
}

/// The statuses nginx answered with, in order.
fn statuses(nginx: &Nginx, count: usize) -> Vec<String> {
    let log = nginx.wait_log(count);
    log.iter().filter_map(|line| line.split(' ').nth(1).map(str::to_owned)).collect()
}

#[test]
fn connections_are_kept() {
    let (nginx, edge) = behind("");
    nginx.put("page.txt", b"hello");
    for _ in 0..10 {
        assert_eq!(ask(&edge, "/page.txt", &[]).text(), "hello");
        assert_eq!(ask(&edge, "/page.txt", &["-I"]).field("content-length"), Some("5"));
        assert_eq!(ask(&edge, "/none.txt", &[]).status, 404);
    }
    let log = nginx.wait_log(30);
    let connection = |line: &String| line.split(' ').next().map(str::to_owned);
    let first = connection(&log[0]);
    assert!(log.iter().all(|line| connection(line) == first), "one connection for all: {log:#?}");
    edge.seawall.wait_metric("seawall_upstream_connections_total", &[("state", "new")], 1.0);
    edge.seawall.wait_metric("seawall_upstream_connections_total", &[("state", "reused")], 29.0);
}

#[test]
fn a_compressed_body_is_a_variant_of_its_own() {
    let (nginx, edge) = behind("cache: on");
    let text = "all work and no play makes jack a dull boy\n".repeat(2000);
    nginx.put("page.txt", text.as_bytes());
    for expected in ["fwd=", "hit"] {
        let packed = ask(&edge, "/gzip/page.txt", &["--compressed"]);
        assert_eq!(packed.field("content-encoding"), Some("gzip"));
        assert_eq!(packed.text(), text);
        assert!(packed.cache().contains(expected), "{}", packed.cache());
        assert!(packed.field("vary").is_some_and(|vary| vary.eq_ignore_ascii_case("accept-encoding")));
        let plain = ask(&edge, "/gzip/page.txt", &[]);
        assert_eq!((plain.field("content-encoding"), plain.text()), (None, text.clone()));
        assert!(plain.cache().contains(expected), "{}", plain.cache());
    }
    assert_eq!(statuses(&nginx, 2), ["200", "200"]);
    // nginx weakens the tag of what it compresses.
    let packed = ask(&edge, "/gzip/page.txt", &["--compressed"]);
    let tag = packed.field("etag").or_die("find the tag");
    assert!(tag.starts_with("W/"), "{tag}");
    let same = format!("If-None-Match: {tag}");
    let unchanged = ask(&edge, "/gzip/page.txt", &["--compressed", "-H", &same]);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(nginx.log().len(), 2, "all of that came from the store");
}

#[test]
fn a_stale_file_is_asked_after_until_it_changes() {
    let (nginx, edge) = behind("cache: on");
    nginx.put("page.txt", b"first");
    assert_eq!(ask(&edge, "/stale/page.txt", &[]).text(), "first");
    for _ in 0..2 {
        let again = ask(&edge, "/stale/page.txt", &[]);
        assert_eq!((again.status, again.text().as_str()), (200, "first"));
        assert!(again.cache().contains("fwd=stale; fwd-status=304"), "{}", again.cache());
    }
    nginx.put("page.txt", b"second one");
    let changed = ask(&edge, "/stale/page.txt", &[]);
    assert_eq!(changed.text(), "second one");
    assert_eq!(ask(&edge, "/stale/page.txt", &[]).text(), "second one");
    assert_eq!(statuses(&nginx, 5), ["200", "304", "304", "200", "304"]);
}

#[test]
fn conditions_and_ranges_pass_through() {
    let (nginx, edge) = behind("");
    nginx.put("page.bin", &body(1, 10_000));
    compare(&nginx, &edge, "/page.bin");
    assert!(nginx.log().iter().any(|line| line.contains(" 206 ")), "nginx itself cut the ranges");
}

#[test]
fn conditions_and_ranges_of_a_stored_file_are_those_of_nginx() {
    let (nginx, edge) = behind("cache: on");
    nginx.put("page.bin", &body(1, 10_000));
    assert!(ask(&edge, "/fresh/page.bin", &[]).cache().contains("stored"));
    compare(&nginx, &edge, "/fresh/page.bin");
    let asked = nginx.log().iter().filter(|line| line.contains("/fresh/page.bin?")).count();
    assert_eq!(asked, 0, "the edge answered from the store");
}

/// Asks nginx (with a query, so that its log tells them apart) and the edge the same and compares.
#[track_caller]
fn compare(nginx: &Nginx, edge: &Edge, path: &str) {
    let whole = fetch(&nginx.addr(), &format!("http://example.com{path}"), &[]);
    let tag = whole.field("etag").or_die("find the tag");
    let date = whole.field("last-modified").or_die("find the date");
    let header = |name: &str, value: &str| format!("{name}: {value}");
    let cases = [
        vec![],
        vec![header("Range", "bytes=0-0")],
        vec![header("Range", "bytes=100-299")],
        vec![header("Range", "bytes=9990-")],
        vec![header("Range", "bytes=-20")],
        vec![header("Range", "bytes=9990-20000")],
        vec![header("Range", "bytes=10000-")],
        vec![header("Range", "bytes=0-9999")],
        vec![header("Range", "lines=1-2")],
        vec![header("Range", "bytes=1-2"), header("If-Range", tag)],
        vec![header("Range", "bytes=1-2"), header("If-Range", date)],
        vec![header("Range", "bytes=1-2"), header("If-Range", "\"other\"")],
        vec![header("If-None-Match", tag)],
        vec![header("If-None-Match", "\"other\"")],
        vec![header("If-None-Match", "*")],
        vec![header("If-Modified-Since", date)],
        vec![header("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT")],
        vec![header("If-Match", tag)],
        vec![header("If-Match", "\"other\"")],
        vec![header("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT")],
    ];
    for case in &cases {
        let args: Vec<&str> = case.iter().flat_map(|field| ["-H", field.as_str()]).collect();
        let direct = fetch(&nginx.addr(), &format!("http://example.com{path}"), &args);
        let through = ask(edge, path, &args);
        assert_eq!(through.status, direct.status, "{case:?}");
        for name in ["content-range", "etag", "last-modified"] {
            if direct.status != 412 && direct.status != 416 {
                assert_eq!(through.field(name), direct.field(name), "{name} of {case:?}");
            }
        }
        if direct.status < 300 {
            assert_eq!(through.field("content-length"), direct.field("content-length"), "{case:?}");
            assert!(through.body == direct.body, "{case:?}: another body");
        }
    }
}

#[test]
fn several_ranges_come_as_parts() {
    let (nginx, edge) = behind("cache: on");
    nginx.put("page.bin", &body(2, 10_000));
    let content = body(2, 10_000);
    for path in ["/page.bin", "/fresh/page.bin", "/fresh/page.bin"] {
        let parts = ask(&edge, path, &["-r", "0-9,5000-5009"]);
        assert_eq!(parts.status, 206, "{path}");
        assert!(parts.field("content-type").is_some_and(|kind| kind.starts_with("multipart/byteranges")));
        for range in [0..10, 5000..5010] {
            assert!(parts.body.windows(10).any(|window| window == &content[range.clone()]), "{path}");
        }
    }
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let (nginx, edge) = behind("cache: on");
    nginx.put("page.txt", b"hello");
    let get = ask(&edge, "/fresh/page.txt", &[]);
    let head = ask(&edge, "/fresh/page.txt", &["-I"]);
    assert!(head.cache().contains("hit"), "{}", head.cache());
    for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
        assert_eq!(head.field(name), get.field(name), "{name}");
    }
    assert_eq!(nginx.wait_log(1).len(), 1);
}

#[test]
fn a_large_file_arrives_whole_and_is_a_hit_afterwards() {
    const SIZE: usize = 64 * 1024 * 1024;
    let (nginx, edge) = behind("cache: on");
    nginx.put("large.bin", &body(3, SIZE));
    let url = "https://example.com/fresh/large.bin";
    let fetches: [(&str, &[&str], &str); 4] = [
        (edge.plain(), &[], "stored"),
        (edge.plain(), &[], "hit"),
        (edge.tls(), &["--http2"], "stored"),
        (edge.tls(), &["--http2"], "hit"),
    ];
    for (address, args, expected) in fetches {
        let mut all = vec!["--cacert", edge.ca()];
        all.extend_from_slice(args);
        let url = if address == edge.plain() { url.replace("https", "http") } else { url.to_owned() };
        let answer = fetch(address, &url, &all);
        assert!(answer.cache().contains(expected), "{expected}: {}", answer.cache());
        check_body(3, SIZE, &answer.body).or_die("compare");
    }
    assert_eq!(nginx.wait_log(2).len(), 2, "once for http, once for https");
}
