//! HTTP/2 without TLS, only where it is taken.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::rig::{PATIENCE, Rig, exchange, fetch_h2, pattern, plain, read_all};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame (RFC 9113 section 6.5).
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn rig(h2c: bool, limits: &str) -> Rig {
    let mut listener = plain();
    listener.h2c = h2c;
    Rig::start(&listener, limits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preface_gets_http2_where_it_is_taken() {
    let rig = rig(true, "{}");
    let mut stream = rig.connect().await;
    stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    let mut frame = [0; 9];
    timeout(PATIENCE, stream.read_exact(&mut frame)).await.unwrap().unwrap();
    assert_eq!(frame[3], 4, "SETTINGS first");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_served_over_it() {
    let rig = rig(true, "{}");
    let bodies = fetch_h2(rig.connect().await, "/pattern", 3).await;
    assert!(bodies.iter().all(|body| *body == pattern()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preface_elsewhere_is_a_bad_request() {
    let rig = rig(false, "{}");
    let answer = exchange(rig.connect().await, &[PREFACE, SETTINGS].concat()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_works_on_both_and_is_not_kept_waiting() {
    for h2c in [true, false] {
        let rig = rig(h2c, "{}");
        // Shorter than the preface, and one that begins like it.
        for request in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"PROPFIND / HTTP/1.0\r\n\r\n"] {
            let start = Instant::now();
            let answer = exchange(rig.connect().await, request).await;
            assert!(answer.ends_with("hello"), "{answer}");
            assert!(start.elapsed() < Duration::from_secs(2));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dripped_preface_is_cut() {
    let rig = rig(true, "{ head_timeout: 300ms }");
    let mut stream = rig.connect().await;
    stream.write_all(&PREFACE[..10]).await.unwrap();
    let start = Instant::now();
    read_all(&mut stream).await;
    assert!(start.elapsed() >= Duration::from_millis(250));
    rig.tally.reaches("head_timeout", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_http2_connection_outlives_the_head_timeout_and_ends_at_the_idle_timeout() {
    let rig = rig(true, "{ head_timeout: 200ms, idle_timeout: 800ms }");
    let mut stream = rig.connect().await;
    let start = Instant::now();
    stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    read_all(&mut stream).await;
    assert!(start.elapsed() >= Duration::from_millis(750), "{:?}", start.elapsed());
    assert_eq!(rig.tally.of("head_timeout"), 0);
}
