//! Clients that ask for what is on the disk and do not take it.

use std::time::Duration;

use seawall_testkit::eventually;

use crate::STALLED;
use crate::rig::{Reader, Rig, runtime};

const READERS: usize = 200;
/// What a request takes while it is under way (measured: 2.3 to 3.3 KiB with its task).
const REQUEST: u64 = 4 << 10;

/// The most that all of them take with a `read_buffer` of so many MiB, in bytes.
fn taken_with(read_buffer: u64) -> u64 {
    let mib = 16;
    let rig = Rig::with_read_buffer(mib, read_buffer);
    runtime().block_on(async {
        let mut first = rig.readers(1).await.remove(0);
        first.ask("/object", "").await;
        rig.all_asked(1).await;
        rig.origin.go();
        first.head("200").await;
        first.body(0, mib << 20).await;
        rig.stored();
        let mut readers: Vec<Reader> = rig.readers(READERS).await;
        let already = rig.seawall.metrics().get("seawall_disk_read_bytes_total", &[]);
        let before = rig.memory_from_now_on();
        for reader in &mut readers {
            reader.ask("/object", "").await;
        }
        rig.all_asked(READERS).await;
        let (mut last, mut same) = (0.0, 0);
        eventually(Duration::from_secs(120), "nobody to take any more", || {
            let read = rig.seawall.metrics().get("seawall_disk_read_bytes_total", &[]) - already;
            // Whoever has begun has had more than a chunk taken by the system.
            let begun = read > (READERS << 17) as f64;
            same = if begun && read == last { same + 1 } else { 0 };
            last = read;
            if same > 9 { Ok(()) } else { Err(format!("{read} bytes are read")) }
        });
        assert!(last < ((READERS as u64 * mib) << 20) as f64, "somebody took all of it");
        let extra = rig.most_memory().saturating_sub(before);
        println!("{READERS} clients that stopped, {read_buffer} MiB for what they hold: {} KiB", extra >> 10);
        // They get the rest of what they asked for.
        for reader in &mut readers[..3] {
            reader.head("200").await;
            reader.body(0, mib << 20).await;
        }
        extra
    })
}

const fn limit(read_buffer: u64) -> u64 {
    (read_buffer << 20) + READERS as u64 * (STALLED + REQUEST)
}

#[test]
fn clients_that_stop_on_a_hit_from_disk_hold_little() {
    let taken = taken_with(1);
    assert!(taken < limit(1), "{} KiB", taken >> 10);
}

/// The negative control: with room for it each of them holds a chunk, which the same measure finds too much.
#[test]
fn the_measure_notices_clients_that_hold_more() {
    let taken = taken_with(64);
    assert!(taken > limit(1), "{} KiB", taken >> 10);
}
