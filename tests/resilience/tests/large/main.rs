//! Objects that are larger than memory, and many readers of one that is still coming in: every byte is the right one, memory
//! stays small, and nobody waits for a slow reader.
//!
//! `SEAWALL_LARGE` is the size of the large object in MiB; `make soak` says 10240.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod rig;

use std::time::{Duration, Instant};

use seawall_testkit::{Call, DEADLINE, body, eventually, request};
use tokio::task::JoinSet;

use crate::rig::{Rig, bytes, check, large, runtime};

const READERS: usize = 1000;
/// What all readers together may take.
const MEMORY: u64 = 64 << 20;

/// They come before the first byte of the body, and all of them read all of it.
#[test]
fn a_thousand_readers_of_one_fill_take_little_memory() {
    let rig = Rig::start(4);
    runtime().block_on(async {
        // The connections themselves are no part of it: each has had an answer before.
        let mut readers = rig.readers(READERS).await;
        let before = rig.memory_from_now_on();
        let mut reading = JoinSet::new();
        for mut reader in readers.drain(..) {
            reader.ask("/object", "").await;
            reading.spawn(async move {
                reader.head("200").await;
                reader.body(0, 4 << 20).await;
                reader
            });
        }
        rig.all_asked(READERS).await;
        rig.origin.go();
        let mut done = 0;
        while let Some(reader) = reading.join_next().await {
            reader.expect("every reader gets every byte");
            done += 1;
        }
        let extra = rig.most_memory().saturating_sub(before);
        println!("{done} readers of 4 MiB: {} KiB more at most, {} KiB before", extra >> 10, before >> 10);
        assert_eq!((done, rig.origin.count()), (READERS, 1), "one fill for all of them");
        assert!(extra < MEMORY, "{} KiB", extra >> 10);
    });
}

/// Most readers stop after their first bytes: the others do not wait for them, and when it is over they get the rest of
/// what they asked for. The first of them is the one whose request fetches the object.
#[test]
fn a_large_object_does_not_wait_for_slow_readers() {
    let mib = large();
    let len = mib << 20;
    let rig = Rig::start(mib);
    let (slow, fast) = if mib > 1024 { (990, 10) } else { (190, 10) };
    runtime().block_on(async {
        let mut readers = rig.readers(slow + fast).await;
        let before = rig.memory_from_now_on();
        let began = Instant::now();
        for (number, reader) in readers.iter_mut().enumerate() {
            reader.ask("/object", "").await;
            if number == 0 {
                rig.all_asked(1).await;
            }
        }
        rig.all_asked(slow + fast).await;
        rig.origin.go();
        let mut slow_ones = Vec::new();
        for reader in readers.drain(..slow) {
            slow_ones.push(tokio::spawn(async move {
                let mut reader = reader;
                reader.head("200").await;
                reader.body(0, 4096).await;
                reader
            }));
        }
        let mut reading = JoinSet::new();
        for mut reader in readers {
            reading.spawn(async move {
                reader.head("200").await;
                reader.body(0, len).await;
            });
        }
        while let Some(done) = reading.join_next().await {
            done.expect("a reader that keeps up gets every byte");
        }
        let took = began.elapsed();
        assert_eq!(rig.origin.count(), 1, "one fill for all of them");
        // Half a MiB further: more than any buffer on the way held for them.
        for reader in slow_ones {
            let mut reader = reader.await.expect("its first bytes");
            reader.body(4096, (4096 + (512 << 10)).min(len)).await;
        }
        let extra = rig.most_memory().saturating_sub(before);
        println!(
            "{mib} MiB to {fast} readers and {slow} slow ones in {took:?}: {} KiB more at most, {} KiB before",
            extra >> 10,
            before >> 10
        );
        assert!(extra < MEMORY, "{} KiB", extra >> 10);
        ranges(&rig, len);
    });
}

/// The only reader of an object that is as large as one may be falls behind, and catches up from the file.
#[test]
fn an_only_reader_that_falls_behind_is_not_held_up() {
    let mib = 48;
    let rig = Rig::start(mib);
    runtime().block_on(async {
        let mut reader = rig.readers(1).await.remove(0);
        reader.ask("/object", "").await;
        rig.all_asked(1).await;
        rig.origin.go();
        reader.head("200").await;
        reader.body(0, 4096).await;
        let began = Instant::now();
        eventually(DEADLINE, "the fill to come to its end without its reader", || {
            let files = rig.seawall.metrics().get("seawall_disk_files", &[]);
            if files >= 1.0 { Ok(()) } else { Err("it is not stored".to_owned()) }
        });
        reader.body(4096, mib << 20).await;
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    });
}

/// Bytes deep inside, which are only on disk.
fn ranges(rig: &Rig, len: u64) {
    rig.seawall.wait_metric("seawall_cache_fills_in_flight", &[("tier", "memory")], 0.0);
    let before = rig.memory_from_now_on();
    for first in [0, 1, len / 3, len / 2 + 4095, len - 70_000, len - 1] {
        let last = (first + 69_999).min(len - 1);
        let call = Call::get("large.example", "/object").header("Range", &format!("bytes={first}-{last}"));
        let began = Instant::now();
        let response = request(rig.seawall.addr(0), &call).expect("an answer");
        let took = began.elapsed();
        assert_eq!(response.status, 206);
        assert_eq!(response.header("content-range"), Some(&*format!("bytes {first}-{last}/{len}")));
        let status = response.header("cache-status").unwrap_or_default();
        assert!(status.starts_with("seawall; hit"), "{status}");
        check(first, &response.body);
        assert!(took < Duration::from_secs(5), "{first}: {took:?}");
    }
    let suffix = Call::get("large.example", "/object").header("Range", "bytes=-1000");
    let response = request(rig.seawall.addr(0), &suffix).expect("an answer");
    check(len - 1000, &response.body);
    assert_eq!((response.status, response.body.len(), rig.origin.count()), (206, 1000, 1));
    let extra = rig.most_memory().saturating_sub(before);
    assert!(extra < MEMORY / 4, "{} KiB", extra >> 10);
}

/// The same for what is kept in memory: the first client stops, and the others get all of it.
#[test]
fn an_object_in_memory_does_not_wait_for_a_slow_reader() {
    let rig = Rig::start(1);
    let len = 200 << 10;
    runtime().block_on(async {
        let mut readers = rig.readers(20).await;
        // So little fits into the buffers on its way that it has to wait.
        readers[0].narrow();
        for (number, reader) in readers.iter_mut().enumerate() {
            reader.ask("/small", "").await;
            if number == 0 {
                rig.all_asked(1).await;
            }
        }
        rig.all_asked(20).await;
        rig.origin.go();
        for reader in &mut readers[1..] {
            reader.head("200").await;
            reader.body(0, len).await;
        }
        readers[0].head("200").await;
        readers[0].body(0, len).await;
        assert_eq!(rig.origin.count(), 1);
    });
}

/// The negative control: wrong bytes are noticed wherever they are.
#[test]
fn the_check_notices_wrong_bytes() {
    let start = (3 << 20) - 100;
    let mut right = bytes(start, 9000);
    check(start, &right);
    for at in [0, 99, 100, 107, 108, 4195, 4196, 8999] {
        right[at] ^= 1;
        assert!(std::panic::catch_unwind(|| check(start, &right)).is_err(), "{at}");
        right[at] ^= 1;
    }
    let others =
        [body(1, 9000), bytes(start + 4096, 9000), bytes(start + (1 << 20), 9000), bytes(start + 1, 9000)];
    for other in others {
        assert!(std::panic::catch_unwind(|| check(start, &other)).is_err());
    }
}
