//! Real clients decode what Seawall compresses.

use seawall_test_interop::{Edge, Script, fetch};
use seawall_testkit::{DEADLINE, Gate, Origin, Reply, Request, body, curl, digest, eventually};

const URL: &str = "http://example.com/";
const SECURE: &str = "https://example.com/";
const ROUTE: &str =
    "cache: on, compress: { types: [text/*, application/octet-stream, text/event-stream], min_size: 1 }";

/// Lines that repeat, or bytes that do not.
fn content(path: &str) -> Vec<u8> {
    match path {
        "/text" => (0..40_000).flat_map(|i| format!("line {i} of the text\n").into_bytes()).collect(),
        "/random" => body(7, 300_000),
        _ => b"x".to_vec(),
    }
}

fn origin() -> Origin {
    Origin::h1(|request: &Request| {
        let kind = if request.path() == "/random" { "application/octet-stream" } else { "text/plain" };
        let reply = Reply::new(200).headers(&[
            ("content-type", kind),
            ("cache-control", "max-age=600"),
            ("etag", "\"v1\""),
        ]);
        // In odd pieces, so that flushes fall anywhere.
        content(request.path()).chunks(9973).fold(reply.chunked(), |reply, piece| reply.body(piece))
    })
}

/// curl decodes with the libraries that browsers use, and fails on what it cannot decode to its end.
#[test]
fn curl_decodes_every_encoding() {
    let origin = origin();
    let edge = Edge::to(origin.addr()).route(ROUTE).start();
    let ca = ["--cacert", edge.ca()];
    for path in ["text", "random", "small"] {
        let expected = content(&format!("/{path}"));
        for accept in ["gzip", "br", "zstd", ""] {
            let header = format!("accept-encoding: {accept}");
            for (address, url, version) in [
                (edge.http1(), URL, "--http1.1"),
                (edge.http1(), URL, "--http1.0"),
                (edge.plain(), URL, "--http2-prior-knowledge"),
                (edge.tls(), SECURE, "--http2"),
            ] {
                let args = ["--compressed", "-H", &header, version, ca[0], ca[1]];
                let got = fetch(address, &format!("{url}{path}"), &args);
                assert_eq!(got.field("content-encoding").unwrap_or_default(), accept, "{version}");
                assert!(got.body == expected, "{path} as {accept} over {version}: {} bytes", got.body.len());
            }
        }
        // Whatever curl offers by itself.
        let got = fetch(edge.http1(), &format!("{URL}{path}"), &["--compressed"]);
        assert!(got.field("content-encoding").is_some() && got.body == expected);
    }
    // Of http and of https, which are two sites to a cache.
    assert_eq!(origin.count(), 24, "each variant was fetched once");
    assert_eq!(edge.seawall.metrics().get("seawall_compressions_total", &[]), 18.0);
}

/// The control: what curl takes for coded and is not, it refuses.
#[test]
fn curl_does_notice() {
    let origin = Origin::h1(|_| Reply::ok("not gzip").header("content-encoding", "gzip"));
    let edge = Edge::to(origin.addr()).route(ROUTE).start();
    let refused = seawall_test_interop::try_fetch(edge.http1(), URL, &["--compressed"]);
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn curl_renews_and_resumes() {
    let origin = origin();
    let edge = Edge::to(origin.addr()).route(ROUTE).start();
    let folder = seawall_testkit::folder();
    let tag = folder.path().join("tag").display().to_string();
    let url = format!("{URL}text");
    let saved = fetch(edge.http1(), &url, &["--compressed", "--etag-save", &tag]);
    assert_eq!(saved.status, 200);
    let again = fetch(edge.http1(), &url, &["--compressed", "--etag-compare", &tag]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    // A download that broke off is resumed with a range of the content as it is.
    let expected = content("/text");
    assert!(fetch(edge.http1(), &url, &[]).body == expected);
    let rest = fetch(edge.http1(), &url, &["-r", "500000-"]);
    assert_eq!((rest.status, rest.field("content-encoding")), (206, None));
    assert!(rest.body == expected[500_000..]);
    let whole = fetch(edge.http1(), &url, &["--compressed", "-r", "500000-"]);
    assert_eq!(whole.status, 200, "a coded response has no ranges");
    assert!(whole.body == expected);
}

#[test]
fn python_decodes_it_piece_by_piece() {
    let origin = origin();
    let edge = Edge::to(origin.addr()).route(ROUTE).start();
    let client = Script::start_client("compressed_client.py", &[edge.http1(), "/text"]);
    let said = eventually(DEADLINE, "three answers", || {
        let said = client.said();
        if said.len() == 3 { Ok(said) } else { Err(format!("{said:?}")) }
    });
    let expected = content("/text");
    for answer in said {
        assert_eq!(
            (&answer["encoding"], &answer["ended"], &answer["whole"]),
            (&"gzip".into(), &true.into(), &true.into())
        );
        assert_eq!(answer["length"], expected.len());
        assert_eq!(answer["sha256"], digest(&expected).as_str());
    }
}

/// Events reach curl while the origin is still silent about the rest.
#[test]
fn curl_sees_events_as_they_come() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_: &Request| {
        let reply = Reply::new(200).header("content-type", "text/event-stream").chunked();
        reply.body("data: first\n\n").gate(&held).body("data: second\n\n")
    });
    let edge = Edge::to(origin.addr()).route(ROUTE).start();
    // curl gives up after two seconds, with what it has decoded until then.
    for accept in ["gzip", "br", "zstd"] {
        let (connect, header) = (format!("::{}", edge.http1()), format!("accept-encoding: {accept}"));
        let args = ["--compressed", "-N", "-H", &header, "-m", "2", "--connect-to", &connect, URL];
        let done = curl(&args);
        assert_eq!(
            (done.code, done.stdout.trim_end()),
            (Some(28), "data: first"),
            "{accept}: {}",
            done.stderr
        );
    }
    gate.open();
}
