//! Origins of Python's standard library: `http.server` as it comes, and lawful oddities written by hand.

use seawall_test_interop::{Answer, Edge, Script, fetch, try_fetch};
use seawall_testkit::OrDie;
use serde_json::Value;

#[track_caller]
fn ask(edge: &Edge, path: &str, args: &[&str]) -> Answer {
    fetch(edge.plain(), &format!("http://example.com{path}"), args)
}

fn behind(name: &str, args: &[&str], route: &str) -> (Script, Edge) {
    let origin = Script::start(name, args);
    let edge = Edge::to(origin.addr()).route(route).start();
    (origin, edge)
}

/// The bytes the origin counts out.
fn counted(length: usize) -> Vec<u8> {
    (0..=250u8).cycle().take(length).collect()
}

/// The ports from which the origin was asked, in order.
fn connections(origin: &Script) -> Vec<Value> {
    origin.said().iter().filter_map(|said| said.get("connection").cloned()).collect()
}

#[test]
fn a_body_of_http_1_0_ends_with_its_connection() {
    let (origin, edge) = behind("http_origin.py", &["1.0"], "");
    for length in [0, 1, 100_000, 3_000_000] {
        for (address, args) in [(edge.http1(), &[][..]), (edge.plain(), &["--http2-prior-knowledge"])] {
            let path = format!("/closed/{length}");
            let answer = fetch(address, &format!("http://example.com{path}"), args);
            assert_eq!((answer.status, answer.field("content-length")), (200, None));
            assert!(answer.body == counted(length), "{length}: {} bytes", answer.body.len());
        }
    }
    // A client of HTTP/1.0 knows no chunks, and one that would keep its connection is told of its end.
    for args in [&["--http1.0"][..], &["--http1.0", "-H", "Connection: keep-alive"]] {
        let old = ask(&edge, "/closed/5000", args);
        assert_eq!((old.field("transfer-encoding"), old.field("connection")), (None, Some("close")));
        assert!(old.body == counted(5000), "{} bytes", old.body.len());
    }
    let ports = connections(&origin);
    assert_eq!(ports.len(), 10);
    assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "a new connection each: {ports:?}");
}

#[test]
fn a_client_of_http_1_0_keeps_its_connection_only_if_it_asks_to() {
    let origin = Script::start("http_origin.py", &["1.1"]);
    let edge = Edge::to(origin.addr()).start();
    for (args, kept) in [
        (&["--http1.0"][..], false),
        (&["--http1.0", "-H", "Connection: keep-alive"], true),
        (&["--http1.1"], true),
        (&["--http1.1", "-H", "Connection: close"], false),
    ] {
        let answer = ask(&edge, "/length/10", args);
        assert_eq!(answer.field("connection"), Some(if kept { "keep-alive" } else { "close" }), "{args:?}");
    }
}

#[test]
fn every_framing_is_stored_and_served_whole() {
    let origin = Script::start("http_origin.py", &["1.1"]);
    let edge = Edge::to(origin.addr()).route("cache: on").start();
    for kind in ["length", "chunked", "closed"] {
        let path = format!("/{kind}/200000");
        for expected in ["stored", "hit"] {
            let answer = ask(&edge, &path, &[]);
            assert!(answer.cache().contains(expected), "{kind}: {}", answer.cache());
            assert!(answer.body == counted(200_000), "{kind}: {} bytes", answer.body.len());
        }
        let part = ask(&edge, &path, &["-r", "100000-100009"]);
        assert_eq!((part.status, part.body.as_slice()), (206, &counted(100_010)[100_000..]), "{kind}");
    }
    assert_eq!(connections(&origin).len(), 3, "one request each");
}

#[test]
fn a_body_that_breaks_off_is_an_error_and_never_stored() {
    let origin = Script::start("http_origin.py", &["1.1"]);
    let edge = Edge::to(origin.addr()).upstream("retries: { attempts: 0 }").route("cache: on").start();
    let ways = [
        (edge.http1(), "http://example.com/cut/100000", "--http1.1", 18),
        (edge.tls(), "https://example.com/cut/100000", "--http2", 92),
    ];
    for (address, url, version, broken) in ways {
        for _ in 0..2 {
            match try_fetch(address, url, &[version, "--cacert", edge.ca()]) {
                // The head was on its way: a partial file, a stream that did not end well.
                Err(failed) => assert_eq!(failed.code, Some(broken), "{failed:?}"),
                Ok(answer) => assert_eq!(answer.status, 502, "{answer:?}"),
            }
        }
    }
    assert_eq!(connections(&origin).len(), 4, "asked each time");
    // A client of HTTP/1.0 only knows by the end of the connection, so that must not be a proper one.
    let old = ["--http1.0", "--cacert", edge.ca()];
    for (address, scheme) in [(edge.http1(), "http"), (edge.tls(), "https")] {
        let failed = try_fetch(address, &format!("{scheme}://example.com/torn/100000"), &old).unwrap_err();
        assert_eq!(failed.code, Some(56), "{failed:?}");
        let whole = fetch(address, &format!("{scheme}://example.com/chunked/100000"), &old);
        assert!(whole.body == counted(100_000), "{} bytes", whole.body.len());
    }
}

#[test]
fn a_folder_served_by_python() {
    let folder = seawall_testkit::folder();
    std::fs::write(folder.path().join("page.html"), "<p>hello</p>").or_die("write a file");
    let path = folder.path().display().to_string();
    for version in ["1.0", "1.1"] {
        let (origin, edge) = behind("http_origin.py", &[version, &path], "cache: 1h");
        assert!(ask(&edge, "/page.html", &[]).cache().contains("stored"), "{version}");
        let hit = ask(&edge, "/page.html", &[]);
        assert!(hit.cache().contains("hit"), "{}", hit.cache());
        assert_eq!(hit.text(), "<p>hello</p>");
        assert_eq!(hit.field("content-type"), Some("text/html"));
        let since = format!("If-Modified-Since: {}", hit.field("last-modified").or_die("find the date"));
        assert_eq!(ask(&edge, "/page.html", &["-H", &since]).status, 304);
        assert_eq!(ask(&edge, "/none.html", &[]).status, 404);
        assert!(ask(&edge, "/", &[]).text().contains("page.html"), "a listing");
        assert_eq!(ask(&edge, "/page.html", &["-X", "DELETE"]).status, 501, "what Python cannot do");
        assert!(!connections(&origin).is_empty());
    }
}

#[test]
fn lawful_oddities() {
    let (origin, edge) = behind("asyncio_origin.py", &[], "");
    for _ in 0..2 {
        let drip = ask(&edge, "/drip", &[]);
        assert_eq!((drip.status, drip.text().as_str()), (200, "one by one"));
        assert_eq!(ask(&edge, "/crumbs", &[]).text(), "crumbs");
        let hints = ask(&edge, "/hints", &[]);
        assert_eq!((hints.text().as_str(), hints.interim.as_slice()), ("hello", &[103, 103][..]));
        let odd = ask(&edge, "/odd", &[]);
        assert_eq!(odd.text(), "odd");
        assert_eq!(odd.field("x-empty"), Some(""));
        assert_eq!(odd.field("x-tab"), Some("x"));
        let cookies: Vec<_> = odd.fields.iter().filter(|(name, _)| name == "set-cookie").collect();
        assert_eq!(cookies.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"]);
        let nothing = ask(&edge, "/nothing", &[]);
        assert_eq!(
            (nothing.status, nothing.field("x-kind"), nothing.field("content-length")),
            (204, Some("empty"), None)
        );
        assert_eq!(ask(&edge, "/ten", &[]).text(), "ten");
    }
    let ports = connections(&origin);
    assert_eq!(ports.len(), 12);
    assert!(ports.iter().all(|port| *port == ports[0]), "all on one connection: {ports:?}");
}

#[test]
fn oddities_over_http_2() {
    let (_origin, edge) = behind("asyncio_origin.py", &[], "cache: on");
    let ask = |path: &str| {
        fetch(edge.tls(), &format!("https://example.com{path}"), &["--http2", "--cacert", edge.ca()])
    };
    for _ in 0..2 {
        assert_eq!(ask("/drip").text(), "one by one");
        assert_eq!(ask("/crumbs").text(), "crumbs");
        assert_eq!(ask("/hints").text(), "hello");
        assert_eq!(ask("/odd").text(), "odd");
        assert_eq!(ask("/nothing").status, 204);
        assert_eq!(ask("/ten").text(), "ten");
    }
}

#[test]
fn an_answer_before_the_body_arrives() {
    let (_origin, edge) = behind("asyncio_origin.py", &[], "");
    let folder = seawall_testkit::folder();
    let file = folder.path().join("upload");
    std::fs::write(&file, vec![7; 4 * 1024 * 1024]).or_die("write a file");
    let upload = format!("@{}", file.display());
    let answer = ask(&edge, "/early", &["--data-binary", &upload, "-H", "Expect:"]);
    assert_eq!((answer.status, answer.text().as_str()), (400, "too early"));
}
