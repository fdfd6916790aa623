//! curl as a client: versions of HTTP, names, sockets, uploads, ranges, conditions.

use seawall_test_interop::{Answer, Edge, Nginx, Script, fetch, try_fetch};
use seawall_testkit::{OrDie, Origin, Reply, body, check_body, curl, digest};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

const URL: &str = "http://example.com/";
const SECURE: &str = "https://example.com/";

fn path(file: &Path) -> &str {
    file.to_str().or_die("name a file")
}

#[test]
fn every_version_of_http() {
    let origin = Origin::h1(|_| Reply::ok("hello"));
    let edge = Edge::to(origin.addr()).start();
    let ca = ["--cacert", edge.ca()];
    for (address, url, option, expected) in [
        (edge.http1(), URL, "--http1.0", "1.1"),
        (edge.http1(), URL, "--http1.1", "1.1"),
        (edge.http1(), URL, "--http2", "1.1"),
        (edge.plain(), URL, "--http1.1", "1.1"),
        (edge.plain(), URL, "--http2", "1.1"),
        (edge.plain(), URL, "--http2-prior-knowledge", "2"),
        (edge.tls(), SECURE, "--http1.1", "1.1"),
        (edge.tls(), SECURE, "--http2", "2"),
        (edge.tls(), SECURE, "--no-alpn", "1.1"),
    ] {
        let answer = fetch(address, url, &[option, ca[0], ca[1]]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{option}");
        assert_eq!(answer.version, expected, "{option} at {url}");
        assert_eq!(origin.last().version, "HTTP/1.1");
        assert_eq!(origin.last().header("upgrade"), None, "an offer of h2c goes no further");
        assert_eq!(origin.last().header("http2-settings"), None);
    }
}

#[test]
fn prior_knowledge_is_refused_where_it_is_off() {
    let origin = Origin::h1(|_| Reply::ok("hello"));
    let edge = Edge::to(origin.addr()).start();
    let refused = try_fetch(edge.http1(), URL, &["--http2-prior-knowledge"]).expect_err("no h2c here");
    assert!(matches!(refused.code, Some(16 | 52 | 56 | 92)), "curl: no HTTP/2 came back: {refused:?}");
    assert_eq!(origin.count(), 0);
    // The control: the listener beside it takes it.
    assert_eq!(fetch(edge.plain(), URL, &["--http2-prior-knowledge"]).version, "2");
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_name_chooses_the_certificate() {
    let origin = Origin::h1(|request| Reply::ok(request.header("host").unwrap_or_default().to_owned()));
    let edge = Edge::to(origin.addr()).start();
    let (_, port) = edge.tls().rsplit_once(':').or_die("find the port");
    let get = |host: &str| {
        let resolve = format!("{host}:{port}:127.0.0.1");
        curl(&["--cacert", edge.ca(), "--resolve", &resolve, &format!("https://{host}:{port}/")])
    };
    let right = get("example.com");
    assert_eq!((right.code, right.stdout), (Some(0), format!("example.com:{port}")));
    let wrong = get("other.example");
    assert_eq!(wrong.code, Some(60), "curl: not its certificate: {wrong:?}");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_unix_socket_is_a_listener() {
    let origin = Origin::h1(|_| Reply::ok("hello"));
    let edge = Edge::to(origin.addr()).start();
    let socket = edge.socket();
    for url in [URL, "http://example.com/again"] {
        let done = curl(&["--unix-socket", path(&socket), url]);
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "hello"), "{}", done.stderr);
    }
    assert_eq!(origin.last().header("x-forwarded-for"), None, "a socket has no address to tell");
    assert_eq!(edge.seawall.wait_log(|line| line["uri"] == "/again")["status"], 200);
}

#[test]
fn one_connection_for_many_transfers() {
    let origin = Origin::h1(|request| Reply::ok(request.path().to_owned()));
    let edge = Edge::to(origin.addr()).start();
    let connect = format!("::{}", edge.tls());
    for version in ["--http1.1", "--http2"] {
        let url = "https://example.com/[1-50]";
        let args =
            ["--cacert", edge.ca(), version, "--connect-to", &connect, "-w", " %{num_connects}\n", url];
        let done = curl(&args);
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert_eq!(lines.len(), 50, "{done:?}");
        assert!(lines[1..].iter().all(|line| line.ends_with(" 0")), "{version}: {lines:?}");
        assert_eq!(lines[49], "/50 0");
    }
}

/// A file of so many bytes, and its SHA-256.
fn upload(seed: u64, length: usize) -> (TempDir, String, String) {
    let folder = seawall_testkit::folder();
    let file = folder.path().join("upload.bin");
    let content = body(seed, length);
    std::fs::write(&file, &content).or_die("write a file");
    let name = path(&file).to_owned();
    (folder, name, digest(&content))
}

fn report(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).or_die(&format!("read the origin's report: {}", answer.text()))
}

#[test]
fn uploads_arrive_whole() {
    const LENGTH: usize = 6 * 1024 * 1024;
    let origin = Script::start("http_origin.py", &["1.1"]);
    let edge = Edge::to(origin.addr()).start();
    let (_folder, file, expected) = upload(5, LENGTH);
    let data = format!("@{file}");
    let ca = ["--cacert", edge.ca()];
    let ways = [
        (edge.http1(), URL, "--http1.1"),
        (edge.tls(), SECURE, "--http1.1"),
        (edge.tls(), SECURE, "--http2"),
        (edge.plain(), URL, "--http2-prior-knowledge"),
    ];
    for (address, url, version) in ways {
        for (method, how) in [
            ("PUT", &["-T", &file][..]),
            ("PUT", &["-T", &file, "-H", "Expect:"]),
            ("PUT", &["-T", &file, "-H", "Expect: 100-continue", "--expect100-timeout", "15"]),
            ("POST", &["--data-binary", &data]),
            ("PUT", &["-T", &file, "-H", "Transfer-Encoding: chunked"]),
        ] {
            // HTTP/2 has no chunks.
            if version != "--http1.1" && how.contains(&"Transfer-Encoding: chunked") {
                continue;
            }
            let mut args = vec![version, ca[0], ca[1]];
            args.extend_from_slice(how);
            let found = report(&fetch(address, &format!("{url}upload"), &args));
            assert_eq!(found["sha256"], expected.as_str(), "{version} {how:?}: {found}");
            assert_eq!((&found["length"], found["method"].as_str()), (&LENGTH.into(), Some(method)));
        }
    }
}

#[test]
fn small_and_empty_uploads() {
    let origin = Script::start("http_origin.py", &["1.1"]);
    let edge = Edge::to(origin.addr()).start();
    for length in [0, 1, 16_384, 65_536, 65_537] {
        let (_folder, file, expected) = upload(6, length);
        let data = format!("@{file}");
        for (address, version) in [(edge.http1(), "--http1.1"), (edge.plain(), "--http2-prior-knowledge")] {
            for how in [["-T", &file], ["--data-binary", &data]] {
                let found = report(&fetch(address, URL, &[version, how[0], how[1]]));
                assert_eq!(found["sha256"], expected.as_str(), "{version} {how:?} {length}: {found}");
            }
        }
    }
}

#[test]
fn a_client_that_asks_first_is_told_to_continue() {
    let origin = Script::start("http_origin.py", &["1.1"]);
    let edge = Edge::to(origin.addr()).top("limits: { max_body: 4MiB }").start();
    let (_folder, file, expected) = upload(7, 3 * 1024 * 1024);
    // The client would wait for half a minute; curl gives up after 20 s.
    let ask = ["-T", &file, "-H", "Expect: 100-continue", "--expect100-timeout", "30"];
    let answer = fetch(edge.http1(), URL, &ask);
    assert_eq!(answer.interim, [100]);
    assert_eq!(report(&answer)["sha256"], expected.as_str());

    // Refused by the origin, and by the proxy: not a byte of the body is sent.
    let refused = |url: &str, file: &str| {
        let connect = format!("::{}", edge.http1());
        let ask = ["-T", file, "-H", "Expect: 100-continue", "--expect100-timeout", "30"];
        let mut args = vec!["-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "--connect-to", &connect];
        args.extend_from_slice(&ask);
        args.push(url);
        curl(&args).stdout
    };
    assert_eq!(refused("http://example.com/refused", &file), "403 0");
    let (_folder, large, _) = upload(8, 5 * 1024 * 1024);
    assert_eq!(refused("http://example.com/upload", &large), "413 0");
}

#[test]
fn a_download_is_resumed() {
    const LENGTH: usize = 1_000_000;
    for route in ["cache: on", ""] {
        let nginx = Nginx::start("location / { add_header Cache-Control \"max-age=60\"; }");
        nginx.put("file.bin", &body(9, LENGTH));
        let edge = Edge::to(nginx.addr()).route(route).start();
        let folder = seawall_testkit::folder();
        let file = folder.path().join("part");
        std::fs::write(&file, &body(9, LENGTH)[..400_000]).or_die("write a file");
        let connect = format!("::{}", edge.plain());
        let url = format!("{URL}file.bin");
        let done = curl(&[
            "-C",
            "-",
            "-o",
            path(&file),
            "-w",
            "%{http_code} %{size_download}",
            "--connect-to",
            &connect,
            &url,
        ]);
        assert_eq!(done.stdout, "206 600000", "{route}: {}", done.stderr);
        check_body(9, LENGTH, &std::fs::read(&file).or_die("read a file")).or_die("compare");
    }
}

#[test]
fn a_file_is_fetched_only_when_it_is_newer() {
    let nginx = Nginx::start("location / { add_header Cache-Control \"max-age=60\"; }");
    nginx.put("page.txt", b"hello");
    let edge = Edge::to(nginx.addr()).route("cache: on").start();
    let folder = seawall_testkit::folder();
    let (tag, page) = (folder.path().join("tag"), folder.path().join("page"));
    let connect = format!("::{}", edge.plain());
    let url = format!("{URL}page.txt");
    let get = |args: &[&str]| {
        let mut all =
            vec!["-o", path(&page), "-w", "%{http_code} %{size_download}", "--connect-to", &connect];
        all.extend_from_slice(args);
        all.push(&url);
        curl(&all).stdout
    };
    assert_eq!(get(&["--etag-save", path(&tag), "-R"]), "200 5");
    assert_eq!(get(&["--etag-compare", path(&tag)]), "304 0");
    assert_eq!(get(&["-z", path(&page)]), "304 0", "the date of the file it has");
    assert_eq!(get(&["-z", "2000-01-01"]), "200 5");
    assert_eq!(nginx.log().len(), 1, "all of it from the store");
}
