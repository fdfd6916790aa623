//! Bytes deep inside a large object, which are only on disk: what is read for them, and what becomes of the object.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::signal::Signal;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use seawall_testkit::{Call, DEADLINE, Seawall, eventually, request};

use crate::FILL;
use crate::rig::{Rig, check};

/// Bytes asked for at a time.
const RANGE: u64 = 70_000;
/// What the disk may be asked for then: up to three chunks of 64 KiB and a checksum, each on pages of 4 KiB.
const READ: u64 = 3 * ((64 << 10) + (8 << 10));

/// The file that the body is in.
fn file_of(folder: &Path) -> PathBuf {
    let mut paths = vec![folder.join("store/objects")];
    while let Some(path) = paths.pop() {
        if path.is_file() {
            return path;
        }
        let inside = std::fs::read_dir(&path).expect("the folder of bodies");
        paths.extend(inside.map(|entry| entry.expect("an entry").path()));
    }
    panic!("there is no body in a file");
}

/// Takes the file out of the page cache. False where there is no disk below.
fn chill(path: &Path) -> bool {
    let file = File::open(path).expect("the body");
    file.sync_all().expect("the body is on the disk");
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("the cache can be emptied");
    statfs(path).expect("a file system").filesystem_type() != TMPFS_MAGIC
}

/// Bytes that the process has had read from disks.
fn read_bytes(seawall: &Seawall) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/io", seawall.pid())).expect("the process");
    let line = text.lines().find_map(|line| line.strip_prefix("read_bytes: ")).expect("the field");
    line.parse().expect("a number")
}

/// Asks for a range, and says how long it took.
fn range(seawall: &Seawall, first: u64, len: u64) -> Duration {
    let last = (first + RANGE - 1).min(len - 1);
    let call = Call::get("large.example", "/object").header("Range", &format!("bytes={first}-{last}"));
    let began = Instant::now();
    let response = request(seawall.addr(0), &call).expect("an answer");
    let took = began.elapsed();
    assert_eq!(response.status, 206);
    assert_eq!(response.header("content-range"), Some(&*format!("bytes {first}-{last}/{len}")));
    let status = response.header("cache-status").unwrap_or_default();
    assert!(status.starts_with("seawall; hit"), "{status}");
    check(first, &response.body);
    assert_eq!(response.body.len() as u64, last - first + 1);
    took
}

/// Ranges of a hit: they are right, and the disk is not asked for what nobody wants.
pub(crate) fn ranges(rig: &Rig, len: u64) {
    rig.stored();
    let before = rig.memory_from_now_on();
    for first in [0, 1, len / 3, len / 2 + 4095, len / 100 * 99, len - RANGE, len - 1] {
        let on_disk = chill(&file_of(rig.seawall.folder()));
        let already = read_bytes(&rig.seawall);
        let took = range(&rig.seawall, first, len);
        let read = read_bytes(&rig.seawall) - already;
        println!("a range at {first}: {took:?}, {} KiB read from the disk", read >> 10);
        assert!(took < Duration::from_secs(5), "{first}: {took:?}");
        assert!(read <= READ, "{first}: {read} bytes read");
        // Otherwise the bound says nothing.
        assert!(read > 0 || !on_disk, "{first} was not read from the disk");
    }
    let suffix = Call::get("large.example", "/object").header("Range", "bytes=-1000");
    let response = request(rig.seawall.addr(0), &suffix).expect("an answer");
    check(len - 1000, &response.body);
    assert_eq!((response.status, response.body.len(), rig.origin.count()), (206, 1000, 1));
    // Two of them in one answer, the later one first.
    chill(&file_of(rig.seawall.folder()));
    let already = read_bytes(&rig.seawall);
    let (late, early) = (len - 5000, len / 2);
    let both = format!("bytes={late}-{},{early}-{}", late + 99, early + 99);
    let call = Call::get("large.example", "/object").header("Range", &both);
    let response = request(rig.seawall.addr(0), &call).expect("an answer");
    assert_eq!(response.status, 206);
    for first in [late, early] {
        let head = format!("bytes {first}-{}/{len}\r\n\r\n", first + 99).into_bytes();
        let body = &response.body;
        let at = body.windows(head.len()).position(|part| part == head).expect("the part") + head.len();
        check(first, &body[at..at + 100]);
    }
    assert!(read_bytes(&rig.seawall) - already <= READ);
    let extra = rig.most_memory().saturating_sub(before);
    assert!(extra < FILL / 4, "{} KiB", extra >> 10);
}

/// The object is there again, whatever its size, and goes when it is purged.
pub(crate) fn after_a_restart(rig: Rig, len: u64) {
    let Rig { origin, seawall } = rig;
    let began = Instant::now();
    let seawall = seawall.restart(Signal::SIGTERM);
    seawall.wait_metric("seawall_disk_recovered_ratio", &[], 1.0);
    let ready = began.elapsed();
    chill(&file_of(seawall.folder()));
    let already = read_bytes(&seawall);
    let took = range(&seawall, len / 100 * 99, len);
    println!("restarted in {ready:?}; a range after that: {took:?}");
    assert!(read_bytes(&seawall) - already <= READ, "only the range is read, after a restart too");
    let before = seawall.metrics().get("seawall_cache_bytes", &[("tier", "disk")]);
    let began = Instant::now();
    let purged =
        request(seawall.addr(0), &Call::new("PURGE", "large.example", "/object")).expect("an answer");
    assert_eq!(purged.status, 200);
    println!("purged in {:?}", began.elapsed());
    eventually(DEADLINE, "its file to be gone", || {
        let now = seawall.metrics().get("seawall_cache_bytes", &[("tier", "disk")]);
        if before - now >= len as f64 { Ok(()) } else { Err(format!("{now} bytes of {before} are taken")) }
    });
    assert_eq!(origin.count(), 1, "it was fetched once");
}
