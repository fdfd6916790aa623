//! Real file systems that fill up, turn read-only, fail, lose their files and are damaged, below a running process: a client
//! gets the right bytes, or sees that they end too early; and an operator sees why.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod mount;

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mount::Mount;
use nix::sys::signal::Signal;
use seawall_testkit::{Call, DEADLINE, Origin, Reply, Seawall, body, check_body, eventually, request};

/// The length of an object: in a segment, in several chunks of one, in a file of its own.
fn len(object: usize) -> usize {
    match object % 4 {
        0 => 1_000 + object,
        1 => 60_000 + object,
        2 => 300_000 + object,
        _ => 2_000_000 + object,
    }
}

fn origin() -> Origin {
    Origin::h1(|request| {
        let object: usize = request.path().trim_start_matches('/').parse().unwrap_or(0);
        Reply::ok(body(object as u64, len(object))).header("cache-control", "max-age=3600")
    })
}

fn seawall(origin: &Origin, mount: &Mount) -> Seawall {
    let words = mount.enter();
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
cache:
  memory: 1MiB
  memory_object: 512KiB
  disk: { path: '%{mount}/store', size: 48MiB }
  purge: { allow: [127.0.0.1] }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
",
    )
    .set("origin", origin.addr())
    .set("mount", mount.inside().display())
    .through(&words.iter().map(String::as_str).collect::<Vec<_>>())
    .start()
}

/// What clients saw.
#[derive(Debug, Default)]
struct Seen {
    whole: usize,
    hits: usize,
    /// Responses that ended before their end, and said so.
    cut: usize,
}

/// Asks for all of `objects`. Panics for a wrong byte, a wrong status, or a body that is short and does not say so.
fn ask(seawall: &Seawall, objects: Range<usize>) -> Seen {
    let mut seen = Seen::default();
    for object in objects {
        match request(seawall.addr(0), &Call::get("example.com", &format!("/{object}"))) {
            Ok(response) => {
                assert_eq!(response.status, 200, "/{object}");
                check_body(object as u64, len(object), &response.body).expect("the origin's body");
                seen.whole += 1;
                let status = response.header("cache-status").unwrap_or_default();
                seen.hits += usize::from(status.starts_with("seawall; hit"));
            }
            Err(_) => seen.cut += 1,
        }
    }
    seen
}

/// Waits until all that is to be written has been.
fn settled(seawall: &Seawall, mount: &Mount) {
    let disk = disk(mount);
    seawall.wait_metric("seawall_disk_queue_objects", &[("disk", &*disk)], 0.0);
}

/// The name of the disk in metrics.
fn disk(mount: &Mount) -> String {
    mount.inside().join("store").display().to_string()
}

fn metric(seawall: &Seawall, name: &str, labels: &[(&str, &str)]) -> f64 {
    seawall.metrics().find(name, labels).unwrap_or(0.0)
}

/// All files of the store with content in them.
fn content(mount: &Mount) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let (store, mut found) = (mount.outside().join("store"), Vec::new());
    walk(&store.join("segments"), &mut found);
    walk(&store.join("objects"), &mut found);
    found
}

#[test]
fn a_disk_that_is_full_costs_hits_and_nothing_else() {
    let Some(mount) = Mount::memory(64) else { return };
    let origin = origin();
    let mut seawall = seawall(&origin, &mount);
    assert_eq!(ask(&seawall, 0..60).whole, 60);
    settled(&seawall, &mount);
    assert_eq!(ask(&seawall, 0..60).hits, 60, "the control: with room all of it is stored");
    let (store, size) = (disk(&mount), f64::from(48 << 20));
    seawall.wait_metric("seawall_disk_limit_bytes", &[("disk", &*store)], size);
    let ballast = mount.fill();
    let seen = ask(&seawall, 60..80);
    assert_eq!((seen.whole, seen.cut), (20, 0), "{seen:?}");
    // The cache is smaller now; it is not frozen.
    stored_again(&seawall, &mount, 80..84);
    let limit = metric(&seawall, "seawall_disk_limit_bytes", &[("disk", &*store)]);
    assert!(limit < size, "{limit}");
    // A purge is taken while there is not a byte left.
    mount.fill();
    let purge = request(seawall.addr(0), &Call::new("PURGE", "example.com", "/80")).expect("an answer");
    assert_eq!(purge.status, 200, "{}", String::from_utf8_lossy(&purge.body));
    // It is killed, and starts on a file system that is full.
    seawall.signal(Signal::SIGKILL);
    mount.fill();
    seawall = seawall.restart(Signal::SIGKILL);
    let seen = ask(&seawall, 0..80);
    assert_eq!((seen.whole, seen.cut), (80, 0), "{seen:?}");
    stored_again(&seawall, &mount, 84..88);
    assert_eq!(metric(&seawall, "seawall_disk_state", &[("disk", &*store)]), 0.0, "no fault of the disk");
    fs::remove_file(ballast).expect("the ballast");
    seawall.wait_metric("seawall_disk_limit_bytes", &[("disk", &*store)], size);
}

/// Waits until `objects` that are asked for are found afterwards.
fn stored_again(seawall: &Seawall, mount: &Mount, objects: Range<usize>) {
    eventually(DEADLINE * 2, "what is new to be stored", || {
        ask(seawall, objects.clone());
        settled(seawall, mount);
        let seen = ask(seawall, objects.clone());
        if seen.hits == objects.len() { Ok(()) } else { Err(format!("{seen:?}\n{}", seawall.stderr())) }
    });
}

#[test]
fn a_folder_that_is_deleted_is_begun_anew() {
    let Some(mount) = Mount::memory(64) else { return };
    let origin = origin();
    let mut seawall = seawall(&origin, &mount);
    ask(&seawall, 0..16);
    settled(&seawall, &mount);
    let mut fresh = 0..16;
    // The folder itself, then what is in it, as people do who want an empty cache.
    for (round, command) in ["rm -r \"$0/store\"", "rm -rf \"$0/store\"/*"].into_iter().enumerate() {
        mount.run(&["sh", "-c", command, &mount.inside().display().to_string()]);
        let seen = ask(&seawall, 0..32);
        assert_eq!((seen.whole, seen.cut), (32, 0), "{seen:?}");
        eventually(DEADLINE, "the folder to be made again", || {
            // It may have been noticed when half of it was gone, and once more.
            let kind = [("disk", &*disk(&mount)), ("kind", "lost")];
            let lost = metric(&seawall, "seawall_disk_errors_total", &kind);
            let there = ["seawall-store", "runs/00000001", "purges/00000001", "segments"];
            let store = mount.outside().join("store");
            let whole = there.iter().all(|name| store.join(name).exists());
            if lost > round as f64 && whole { Ok(()) } else { Err(format!("{lost} {whole}")) }
        });
        // Others than those that are in memory.
        fresh = 100 * (round + 1)..100 * (round + 1) + 16;
        stored_again(&seawall, &mount, fresh.clone());
    }
    assert_eq!(metric(&seawall, "seawall_disk_state", &[("disk", &*disk(&mount))],), 0.0);
    let purge = request(seawall.addr(0), &Call::new("PURGE", "example.com", &format!("/{}", fresh.start)))
        .expect("an answer");
    assert_eq!(purge.status, 200);
    let before = seawall.stderr();
    seawall = seawall.restart(Signal::SIGTERM);
    seawall.wait_metric("seawall_disk_recovered_ratio", &[("disk", &*disk(&mount))], 1.0);
    let hits: Vec<usize> = fresh.filter(|object| ask(&seawall, *object..object + 1).hits == 1).collect();
    assert_eq!(hits.len(), 15, "all but what was purged: {hits:?}\n{before}\n{}", seawall.stderr());
}

#[test]
fn damage_is_noticed_and_never_served() {
    let Some(mount) = Mount::memory(64) else { return };
    let origin = origin();
    let seawall = seawall(&origin, &mount);
    ask(&seawall, 0..40);
    settled(&seawall, &mount);
    let before = ask(&seawall, 0..40);
    assert!(before.hits > 20 && before.cut == 0, "the control: {before:?}");
    // A byte in every 8 KiB has a bit turned over.
    for path in content(&mount) {
        let file = fs::File::options().read(true).write(true).open(&path).expect("a file of the store");
        for at in (4000..file.metadata().expect("its length").len()).step_by(8192) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).expect("a byte");
            file.write_all_at(&[byte[0] ^ 0x10], at).expect("a damaged byte");
        }
    }
    let seen = ask(&seawall, 0..40);
    assert_eq!(seen.whole + seen.cut, 40, "{seen:?}");
    let corrupt =
        metric(&seawall, "seawall_disk_errors_total", &[("disk", &*disk(&mount)), ("kind", "corrupt")]);
    assert!(corrupt > 0.0, "{}", seawall.metrics().show("seawall_disk_errors_total"));
    // What was found to be damaged is fetched anew.
    let seen = ask(&seawall, 0..40);
    assert_eq!((seen.whole, seen.cut), (40, 0), "{seen:?}");
}

#[test]
fn files_that_were_cut_short_are_never_served() {
    let Some(mount) = Mount::memory(64) else { return };
    let origin = origin();
    let mut seawall = seawall(&origin, &mount);
    ask(&seawall, 0..40);
    settled(&seawall, &mount);
    for path in content(&mount) {
        let file = fs::File::options().write(true).open(&path).expect("a file of the store");
        file.set_len(file.metadata().expect("its length").len() / 3).expect("a shorter file");
    }
    let seen = ask(&seawall, 0..40);
    assert_eq!(seen.whole + seen.cut, 40, "{seen:?}");
    let seen = ask(&seawall, 0..40);
    assert_eq!((seen.whole, seen.cut), (40, 0), "{seen:?}");
    // And after a start, too, when all of it is looked through.
    seawall = seawall.restart(Signal::SIGKILL);
    seawall.wait_metric("seawall_disk_recovered_ratio", &[("disk", &*disk(&mount))], 1.0);
    let seen = ask(&seawall, 0..40);
    assert_eq!((seen.whole, seen.cut), (40, 0), "{seen:?}");
}

#[test]
#[ignore = "only root may mount a file system of a device and make it fail; `make soak`"]
fn a_file_system_that_turns_read_only_is_still_read() {
    let (origin, mount) = (origin(), Mount::ext4(96));
    let mut seawall = seawall(&origin, &mount);
    ask(&seawall, 0..16);
    settled(&seawall, &mount);
    mount.run(&[
        "sh",
        "-ec",
        "dev=$(findmnt -no SOURCE --target \"$0\"); echo error >/sys/fs/ext4/${dev#/dev/}/trigger_fs_error",
        &mount.inside().display().to_string(),
    ]);
    fs::write(mount.outside().join("x"), "x").expect_err("it is read-only now");
    for _ in 0..3 {
        let seen = ask(&seawall, 0..80);
        assert_eq!((seen.whole, seen.cut), (80, 0), "{seen:?}");
        assert!(seen.hits >= 16, "{seen:?}");
    }
    seawall.wait_metric("seawall_disk_state", &[("disk", &*disk(&mount))], 1.0);
    let purge = request(seawall.addr(0), &Call::new("PURGE", "example.com", "/1")).expect("an answer");
    assert_eq!(purge.status, 500, "it cannot be recorded");
    seawall.wait_metric("seawall_disk_state", &[("disk", &*disk(&mount))], 2.0);
    let seen = ask(&seawall, 0..16);
    assert_eq!((seen.whole, seen.cut), (16, 0), "{seen:?}");
    // It starts without the disk as long as that is so.
    seawall = seawall.restart(Signal::SIGTERM);
    let seen = ask(&seawall, 0..16);
    assert_eq!((seen.whole, seen.cut), (16, 0), "{seen:?}");
    seawall.wait_metric("seawall_disk_state", &[("disk", &*disk(&mount))], 2.0);
}
