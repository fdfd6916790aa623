//! Objects that are larger than memory, and many readers of one that is still coming in: every byte is the right one, memory
//! stays small, and nobody waits for a slow reader.
//!
//! `SEAWALL_LARGE` is the size of the large object in MiB; `make soak` says 10240.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod deep;
mod rig;
mod stalled;

use std::time::{Duration, Instant};

use seawall_testkit::{DEADLINE, body, eventually};
use tokio::task::JoinSet;

use crate::rig::{FILL_BUFFER, Rig, bytes, check, large, runtime};

const READERS: usize = 1000;
/// What a client holds that does not take what is there for it: one piece of the body (16 KiB), and beside it its place in the
/// file, the sums of a chunk, a timer (measured: under 3 KiB).
const STALLED: u64 = (16 + 4) << 10;
/// What a fill takes whoever reads it: what waits to be written, at each of the four threads that write a MiB of it and the
/// same once more with checksums; the eight latest chunks of the file, and one at each thread that reads.
const FILL: u64 = FILL_BUFFER + (8 << 20) + (2 << 20);

/// What more was seen on a busy machine, where much waits for its turn and the allocator keeps what was freed: 33,436 KiB in all
/// of 200 readers.
const BUSY: u64 = 8 << 20;

/// What so many readers of one fill may take together, beside their connections and requests.
const fn limit(readers: usize) -> u64 {
    FILL + BUSY + readers as u64 * STALLED
}

/// What is promised for a thousand readers of one fill, however large it is. A fill that takes minutes takes more than the sum
/// of what it needs (62,640 KiB of 10,300 MiB); what the rest is, is not known.
const PROMISED: u64 = 64 << 20;

/// They come before the first byte of the body, and all of them read all of it.
#[test]
fn a_thousand_readers_of_one_fill_take_little_memory() {
    let rig = Rig::start(4);
    runtime().block_on(async {
        // The connections themselves are no part of it, nor are their requests.
        let mut readers = rig.readers(READERS).await;
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
        let before = rig.memory_from_now_on();
        rig.origin.go();
        let mut done = 0;
        while let Some(reader) = reading.join_next().await {
            reader.expect("every reader gets every byte");
            done += 1;
        }
        let extra = rig.most_memory().saturating_sub(before);
        println!("{done} readers of 4 MiB: {} KiB more at most, {} KiB before", extra >> 10, before >> 10);
        assert_eq!((done, rig.origin.count()), (READERS, 1), "one fill for all of them");
        assert!(extra < limit(READERS), "{} KiB", extra >> 10);
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
    let rig = runtime().block_on(async {
        let mut readers = rig.readers(slow + fast).await;
        let connected = rig.memory_from_now_on();
        for (number, reader) in readers.iter_mut().enumerate() {
            reader.ask("/object", "").await;
            if number == 0 {
                rig.all_asked(1).await;
            }
        }
        // Two who want bytes from far behind, where nothing has come yet.
        let mut ahead = rig.readers(2).await;
        let parts = [len / 10 * 9 + 4095, len - 70_000];
        for (reader, first) in ahead.iter_mut().zip(parts) {
            reader.ask("/object", &format!("Range: bytes={first}-{}\r\n", first + 69_999)).await;
        }
        rig.all_asked(slow + fast + 2).await;
        let before = rig.memory_from_now_on();
        let requests = before.saturating_sub(connected);
        let began = Instant::now();
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
        // Only now: they wait for as long as the object takes.
        for (mut reader, first) in ahead.into_iter().zip(parts) {
            reader.head("206").await;
            reader.body(first, first + 70_000).await;
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
            "{mib} MiB to {fast} readers and {slow} slow ones in {took:?}: {} KiB more at most, {} KiB before, {} KiB of it \
             for their requests",
            extra >> 10,
            before >> 10,
            requests >> 10
        );
        let most = if mib > 1024 { PROMISED } else { limit(slow + fast) };
        assert!(extra < most, "{} KiB", extra >> 10);
        rig
    });
    deep::ranges(&rig, len);
    deep::after_a_restart(rig, len);
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
