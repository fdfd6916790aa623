//! Sockets of all kinds, whole bodies, and the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use seawall_listen::{ListenAddress, ListenerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::rig::{PATIENCE, Rig, exchange, pattern, read_all, read_one};

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_serve_and_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let mut settings = ListenerSettings::new(ListenAddress::Unix(path.clone()));
    settings.mode = Some("0600".parse().unwrap());
    let rig = Rig::start(&settings, "{ max_connections_per_address: 1 }");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // No address, so no cap per address.
    let _held = UnixStream::connect(&path).await.unwrap();
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(HELLO).await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    rig.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_on_one_port() {
    let rig = Rig::start(&ListenerSettings::new(":0".parse().unwrap()), "{}");
    for host in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((host, rig.addr.port())).await.unwrap();
        assert!(exchange(stream, HELLO).await.ends_with("hello"), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_arrive_whole() {
    let rig = Rig::plain("{}");
    let mut stream = rig.connect().await;
    stream.write_all(b"GET /pattern HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    let body = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(all[body..] == pattern()[..], "{} bytes", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_refuses_the_new_and_finishes_the_old() {
    let rig = Rig::plain("{}");
    let addr = rig.addr;
    let mut busy = rig.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    rig.tally.reaches("opened", 1).await;
    rig.stop().await;
    assert!(TcpStream::connect(addr).await.is_err());
    assert!(read_all(&mut busy).await.ends_with("thought"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_after_its_requests() {
    let rig = Rig::plain("{ keepalive_requests: 3 }");
    let mut stream = rig.connect().await;
    for last in [false, false, true] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let answer = read_one(&mut stream).await;
        assert_eq!(answer.contains("Connection: close"), last, "{answer}");
    }
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_answer_is_one_segment() {
    let rig = Rig::plain("{}");
    let mut stream = rig.connect().await;
    stream.write_all(HELLO).await.unwrap();
    let mut buf = [0; 4096];
    let read = timeout(PATIENCE, stream.read(&mut buf)).await.unwrap().unwrap();
    assert!(buf[..read].ends_with(b"hello"), "head and body left together");
}
