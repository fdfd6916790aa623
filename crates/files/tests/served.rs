//! The origin as Pingora meets it: bytes over its connector, and Pingora's own HTTP connector with its pool.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail by panicking, like the test"
)]

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use pingora_core::ErrorType;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::upstreams::peer::{HttpPeer, Peer as _};
use pingora_http::RequestHeader;
use seawall_config::units::Span;
use seawall_files::{FilesOrigin, FilesSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Larger than what a socket pair and one chunk hold, so that sending it has to wait for its reader.
const BIG: usize = 4 << 20;

fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.txt"), "hello").unwrap();
    std::fs::write(dir.path().join("big.bin"), big()).unwrap();
    dir
}

fn big() -> Vec<u8> {
    (0..BIG).map(|i| u8::try_from(i / 7 % 251).unwrap()).collect()
}

fn origin(dir: &Path) -> FilesOrigin {
    FilesOrigin::new(&FilesSettings::for_root(dir)).unwrap()
}

async fn dial(origin: &FilesOrigin) -> pingora_core::Result<Stream> {
    let peer = origin.peer();
    peer.options.custom_l4.as_ref().unwrap().connect(peer.address()).await
}

/// Reads a head, up to and including the empty line.
async fn head(stream: &mut Stream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.expect("the connection ended in a head"));
    }
    String::from_utf8(bytes).unwrap().to_ascii_lowercase()
}

async fn ask(stream: &mut Stream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    head(stream).await
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn answers_bytes_with_bytes() {
    let dir = site();
    let origin = origin(dir.path());
    let mut stream = dial(&origin).await.unwrap();
    for _ in 0..3 {
        let head = ask(&mut stream, "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(
            head.starts_with("http/1.1 200 ok\r\n") && head.contains("\r\ncontent-length: 5\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\ndate: ") && !head.contains("server:"), "{head}");
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"hello");
    }
    // HEAD and 304 have no body: the next answer follows at once.
    let head_only = ask(&mut stream, "HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head_only.contains("content-length: 5\r\n"), "{head_only}");
    let not_modified = ask(&mut stream, "GET /a.txt HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n").await;
    assert!(
        not_modified.starts_with("http/1.1 304 ") && !not_modified.contains("content-length"),
        "{not_modified}"
    );
    let options = ask(&mut stream, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(options.starts_with("http/1.1 204 "), "{options}");
    assert_eq!((origin.stats().open, origin.stats().opened), (1, 1));
    drop(stream);
    until("closing", || origin.stats().open == 0).await;
}

#[tokio::test]
async fn the_body_of_a_request_is_never_a_request() {
    let dir = site();
    let origin = origin(dir.path());
    for (method, status) in [("GET", "200"), ("POST", "405"), ("OPTIONS", "204")] {
        let mut stream = dial(&origin).await.unwrap();
        let body = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
        let request =
            format!("{method} /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let last = "GET /big.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=0-0\r\n\r\n";
        stream.write_all(format!("{request}{last}").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        let said = String::from_utf8_lossy(&said);
        let statuses: Vec<&str> =
            said.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.split(' ').next()).collect();
        assert_eq!(statuses, [status, "206"], "{said}");
    }
}

#[tokio::test]
async fn a_head_beyond_the_limits_is_refused() {
    let dir = site();
    let origin = origin(dir.path());
    for (fields, status) in [
        (format!("X: {}\r\n", "y".repeat(200_000)), " 431 "),
        ("X: y\r\n".repeat(300), " 431 "),
        ("X : y\r\n".into(), " 400 "),
    ] {
        let mut stream = dial(&origin).await.unwrap();
        let head = ask(&mut stream, &format!("GET /a.txt HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).await;
        assert!(head.contains(status), "{head}");
    }
}

#[tokio::test]
async fn a_long_body_arrives_whole_and_a_range_of_it_exact() {
    let dir = site();
    let origin = origin(dir.path());
    let mut stream = dial(&origin).await.unwrap();
    ask(&mut stream, "GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut body = vec![0; BIG];
    stream.read_exact(&mut body).await.unwrap();
    assert!(body == big());
    let head =
        ask(&mut stream, "GET /big.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=65000-265000\r\n\r\n").await;
    assert!(head.contains(&format!("content-range: bytes 65000-265000/{BIG}\r\n")), "{head}");
    let mut part = vec![0; 200_001];
    stream.read_exact(&mut part).await.unwrap();
    assert!(part == big()[65_000..=265_000]);
}

/// Starts to read the big file, lets `change` loose on it, and reads on. Returns how many body bytes came.
async fn read_while(origin: &FilesOrigin, dir: &Path, change: impl FnOnce(&File)) -> usize {
    let mut stream = dial(origin).await.unwrap();
    let head = ask(&mut stream, "GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.contains(&format!("content-length: {BIG}\r\n")), "{head}");
    let mut first = [0; 1000];
    stream.read_exact(&mut first).await.unwrap();
    change(&File::options().write(true).open(dir.join("big.bin")).unwrap());
    let mut rest = Vec::new();
    // A connection that is given up may end in a reset as well as in an end of file.
    let mut chunk = vec![0; 1 << 16];
    while first.len() + rest.len() < BIG {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(n) => rest.extend_from_slice(&chunk[..n]),
        }
    }
    first.len() + rest.len()
}

#[tokio::test]
async fn a_file_cut_while_it_is_sent_ends_the_connection_short() {
    let dir = site();
    let origin = origin(dir.path());
    let came = read_while(&origin, dir.path(), |file| file.set_len(2 << 20).unwrap()).await;
    assert!(came <= 2 << 20, "{came} bytes of a file of 2 MiB: the rest was made up");
    until("counting", || origin.stats().aborted == 1).await;
    until("closing", || origin.stats().open == 0).await;
}

#[tokio::test]
async fn a_file_rewritten_while_it_is_sent_does_not_pass_as_whole() {
    use std::os::unix::fs::FileExt as _;
    let dir = site();
    let origin = origin(dir.path());
    let came = read_while(&origin, dir.path(), |file| file.write_all_at(b"new", 3 << 20).unwrap()).await;
    assert!(came < BIG);
    until("counting", || origin.stats().aborted == 1).await;
}

#[tokio::test]
async fn a_file_that_grows_is_sent_as_long_as_promised() {
    let dir = site();
    let origin = origin(dir.path());
    let came = read_while(&origin, dir.path(), |file| file.set_len(8 << 20).unwrap()).await;
    assert_eq!(came, BIG);
    // The control for the two above: nothing changed, nothing is given up. Nor when the name goes away.
    std::fs::write(dir.path().join("big.bin"), big()).unwrap();
    let path = dir.path().join("big.bin");
    let came = read_while(&origin, dir.path(), |_| std::fs::remove_file(&path).unwrap()).await;
    assert_eq!((came, origin.stats().aborted), (BIG, 0));
}

#[tokio::test]
async fn connections_are_bounded_and_the_line_too() {
    let dir = site();
    let settings = FilesSettings {
        max_connections: 2,
        max_waiting: 1,
        wait: Span::secs(60),
        ..FilesSettings::for_root(dir.path())
    };
    let origin = std::sync::Arc::new(FilesOrigin::new(&settings).unwrap());
    let (first, _second) = (dial(&origin).await.unwrap(), dial(&origin).await.unwrap());
    let third = tokio::spawn({
        let origin = origin.clone();
        async move { dial(&origin).await }
    });
    until("waiting", || origin.stats().waiting == 1).await;
    let fourth = dial(&origin).await.unwrap_err();
    assert_eq!(fourth.etype(), &ErrorType::ConnectRefused);
    drop(first);
    let _third = third.await.unwrap().expect("a freed slot goes to who waits");
    let stats = origin.stats();
    assert_eq!((stats.open, stats.waiting, stats.opened, stats.refused), (2, 0, 3, 1));
}

#[tokio::test]
async fn a_wait_for_a_connection_has_an_end() {
    let dir = site();
    for (wait, failure) in
        [(Span::millis(20), ErrorType::ConnectTimedout), (Span::secs(0), ErrorType::ConnectRefused)]
    {
        let settings = FilesSettings { max_connections: 1, wait, ..FilesSettings::for_root(dir.path()) };
        let origin = FilesOrigin::new(&settings).unwrap();
        let _first = dial(&origin).await.unwrap();
        assert_eq!(dial(&origin).await.unwrap_err().etype(), &failure);
        assert_eq!((origin.stats().waiting, origin.stats().refused), (0, 1));
    }
}

async fn fetch(connector: &Connector<()>, peer: &HttpPeer, path: &str) -> (u16, Vec<u8>, bool) {
    let (mut session, reused) = connector.get_http_session(peer).await.unwrap();
    let HttpSession::H1(h1) = &mut session else { panic!("not HTTP/1") };
    let mut request = RequestHeader::build("GET", path.as_bytes(), None).unwrap();
    request.insert_header("Host", "x").unwrap();
    h1.write_request_header(Box::new(request)).await.unwrap();
    h1.read_response().await.unwrap();
    let status = h1.resp_header().unwrap().status.as_u16();
    let mut body = Vec::new();
    while let Some(bytes) = h1.read_body_bytes().await.unwrap() {
        body.extend_from_slice(&bytes);
    }
    // What logs and metrics look at must not panic on an end of a socket pair.
    let digest = session.digest().unwrap().socket_digest.clone().unwrap();
    assert_eq!(digest.peer_addr().unwrap().to_string(), "0.0.0.0:0");
    assert!(digest.local_addr().is_none() && digest.original_dst().is_none() && digest.tcp_info().is_none());
    connector.release_http_session(session, peer, peer.idle_timeout()).await;
    (status, body, reused)
}

#[tokio::test]
async fn pingora_pools_the_connections_of_each_folder_apart() {
    let (one, two) = (site(), site());
    std::fs::write(two.path().join("a.txt"), "other").unwrap();
    let (first, second) = (origin(one.path()), origin(two.path()));
    assert_ne!(first.peer().reuse_hash(), second.peer().reuse_hash());
    assert_eq!(first.peer().reuse_hash(), first.peer().reuse_hash());
    let connector = Connector::new(None);
    assert_eq!(fetch(&connector, &first.peer(), "/a.txt").await, (200, b"hello".to_vec(), false));
    assert_eq!(fetch(&connector, &first.peer(), "/a.txt").await, (200, b"hello".to_vec(), true));
    assert_eq!(fetch(&connector, &second.peer(), "/a.txt").await, (200, b"other".to_vec(), false));
    assert_eq!(fetch(&connector, &second.peer(), "/nothing").await, (404, b"404 Not Found\n".to_vec(), true));
    assert_eq!(fetch(&connector, &first.peer(), "/big.bin").await, (200, big(), true));
    assert_eq!((first.stats().opened, second.stats().opened), (1, 1));
}

#[tokio::test]
async fn pingora_sees_an_error_when_a_file_is_cut() {
    let dir = site();
    let origin = origin(dir.path());
    let peer = origin.peer();
    let (mut session, _) = Connector::<()>::new(None).get_http_session(&*peer).await.unwrap();
    let HttpSession::H1(h1) = &mut session else { panic!("not HTTP/1") };
    let mut request = RequestHeader::build("GET", b"/big.bin", None).unwrap();
    request.insert_header("Host", "x").unwrap();
    h1.write_request_header(Box::new(request)).await.unwrap();
    h1.read_response().await.unwrap();
    File::options().write(true).open(dir.path().join("big.bin")).unwrap().set_len(BIG as u64 - 1).unwrap();
    let failed = loop {
        match h1.read_body_bytes().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(failed, "a cut file ended like a whole one");
}
