//! Caps hold, and places come free again.

use std::time::Duration;

use seawall_guard::AccessSettings;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::rig::{Rig, exchange, plain, read_one};

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_total_is_capped_and_freed() {
    let rig = Rig::plain("{ max_connections: 2, max_connections_per_address: 2 }");
    let held = (rig.connect().await, rig.connect_from("127.0.0.2").await.unwrap());
    rig.tally.reaches("opened", 2).await;
    rig.expect_refusal("127.0.0.3").await;
    rig.tally.reaches("max_connections", 1).await;
    drop(held);
    rig.tally.reaches("closed", 2).await;
    let answer = exchange(rig.connect().await, HELLO).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_all() {
    let rig = Rig::plain("{ max_connections: 10, max_connections_per_address: 2 }");
    let _held = (rig.connect().await, rig.connect().await);
    rig.tally.reaches("opened", 2).await;
    rig.expect_refusal("127.0.0.1").await;
    rig.tally.reaches("max_connections_per_address", 1).await;
    let other = rig.connect_from("127.0.0.2").await.unwrap();
    assert!(exchange(other, HELLO).await.ends_with("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn uncounted_addresses_are_not_capped() {
    let rig = Rig::plain(
        "{ max_connections: 10, max_connections_per_address: 1, uncounted_addresses: 127.0.0.0/8 }",
    );
    let _held = rig.connect().await;
    rig.tally.reaches("opened", 1).await;
    assert!(exchange(rig.connect().await, HELLO).await.ends_with("hello"));
    assert_eq!(rig.gate.snapshot().addresses, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_addresses_are_turned_away() {
    let mut listener = plain();
    let access: AccessSettings = serde_yaml::from_str("{ deny: 127.0.0.2 }").unwrap();
    listener.access = Some(access);
    let rig = Rig::start(&listener, "{}");
    rig.expect_refusal("127.0.0.2").await;
    rig.tally.reaches("access", 1).await;
    assert!(exchange(rig.connect().await, HELLO).await.ends_with("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_connections_serve_one_request_after_another() {
    let rig = Rig::plain("{}");
    let mut stream = rig.connect().await;
    for _ in 0..20 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(read_one(&mut stream).await.ends_with("hello"));
    }
    let snapshot = rig.gate.snapshot();
    assert_eq!((snapshot.connections, snapshot.addresses), (1, 1));
    drop(stream);
    rig.tally.reaches("closed", 1).await;
    // The admission is given back just after the observer heard of it.
    while rig.gate.snapshot().connections > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}
