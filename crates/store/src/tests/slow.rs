//! A disk that hangs: clients get their bytes all the same, and nothing wrong comes of it.

use super::*;
use crate::disk::io::faulty::{Fault, FaultyFiles};

/// A body that goes into a file of its own.
const LEN: usize = 700_000;

struct Slow {
    folder: TempDir,
    files: FaultyFiles,
    settings: StoreSettings,
}

impl Slow {
    fn new(more: impl FnOnce(&mut DiskSettings)) -> Self {
        let folder = folder();
        let mut settings = settings(folder.path());
        let mut disk = settings.disk[0].clone();
        disk.fill_buffer = ByteSize::mib(4);
        more(&mut disk);
        settings.disk = vec![disk].into();
        Self { folder, files: FaultyFiles::sound(Fault::Short, true), settings }
    }

    async fn open(&self) -> Rig {
        let files = Arc::new(self.files.clone()) as Arc<dyn Files>;
        Rig::try_on(&files, &self.settings).unwrap().recovered().await
    }

    /// Bodies in files of their own.
    fn files(&self) -> usize {
        let subs = std::fs::read_dir(self.folder.path().join("objects")).unwrap();
        subs.map(|sub| std::fs::read_dir(sub.unwrap().path()).unwrap().count()).sum()
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // A test that fails must not hang.
        self.files.go_on();
    }
}

#[tokio::test]
async fn clients_do_not_wait_for_a_disk_that_hangs() {
    let slow = Slow::new(|_| {});
    let store = slow.open().await;
    slow.files.hang();
    for known in [true, false] {
        let (name, began) = (format!("/{known}"), Instant::now());
        let bytes = body(&name, LEN);
        let seen = put_and_read(*store, &key(&name), known, &bytes).await.unwrap();
        assert!(seen == bytes && began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        // Found as long as it waits, by its length too.
        let (_, mut late) = find(*store, &key(&name)).await.unwrap();
        assert_eq!(crate::stored_length(&late), Some(LEN as u64));
        assert!(!crate::is_arriving(&late), "all of it is there");
        assert!(read_all(&mut late).await.unwrap() == bytes);
        let (_, mut part) = find(*store, &key(&name)).await.unwrap();
        part.seek(300_000, Some(400_000)).unwrap();
        assert!(read_all(&mut part).await.unwrap() == bytes[300_000..400_000]);
    }
    let stats = store.disk();
    assert_eq!(
        (stats.objects, stats.fills_unfinished),
        (0, 2),
        "the negative control: nothing is on the disk"
    );
    assert_eq!(stats.fill_bytes, 2 * LEN as u64);
    slow.files.go_on();
    // Without a gap between the fill and the object.
    while store.disk().objects < 2 {
        assert!(has(*store, "/true", LEN).await && has(*store, "/false", LEN).await);
        tokio::task::yield_now().await;
    }
    store.flush();
    store.drop_memory();
    assert!(has(*store, "/true", LEN).await && has(*store, "/false", LEN).await);
    let stats = store.disk();
    assert_eq!((stats.files, stats.fills_unfinished, stats.fill_bytes), (2, 0, 0));
    assert_eq!((store.stats().fill_bytes, store.stats().fills_in_flight), (0, 0));
    assert_eq!((stats.counts.dropped_slow, stats.counts.detached), (0, 0));
}

#[tokio::test]
async fn a_body_that_the_disk_is_too_slow_for_passes_and_is_not_kept() {
    let slow = Slow::new(|_| {});
    let store = slow.open().await;
    slow.files.hang();
    let bytes = body("/", 5_000_000);
    let began = Instant::now();
    assert!(put_and_read(*store, &key("/"), true, &bytes).await.unwrap() == bytes);
    let (took, stats) = (began.elapsed(), store.disk());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!((stats.counts.dropped_slow, stats.counts.detached), (1, 1));
    assert!(stats.counts.stalled_micros >= 200_000, "it was given a chance: {stats:?}");
    assert!(stats.fill_bytes < 2 << 20, "{stats:?}");
    assert!(find(*store, &key("/")).await.is_none());
    slow.files.go_on();
    until(|| slow.files() == 0 && store.disk().bytes == 0 && store.disk().fill_bytes == 0).await;
    put(*store, "/later", LEN).await;
    store.flush();
    store.drop_memory();
    assert!(has(*store, "/later", LEN).await);
}

#[tokio::test]
async fn a_reader_who_is_behind_gets_what_was_queued() {
    let slow = Slow::new(|_| {});
    let store = slow.open().await;
    slow.files.hang();
    let bytes = body("/", 3_000_000);
    let mut miss = begin(*store, &key("/"), &meta(Some(bytes.len()))).await.unwrap();
    let mut own = own_reader(*store, &key("/"), &miss).await;
    let (_, mut late) = find(*store, &key("/")).await.unwrap();
    let mut seen = Vec::new();
    // The disk may be 1 MiB behind with one body; then it is out, and the window of the last 1 MiB has to do.
    let (first, rest) = bytes.split_at(2_050_000);
    for part in first.chunks(50_000) {
        if seen.len() == 2_000_000 {
            assert_eq!(store.disk().counts.dropped_slow, 1);
            slow.files.go_on();
            until(|| store.disk().fill_bytes == 0).await;
        }
        miss.write_body(Bytes::copy_from_slice(part), false).await.unwrap();
        seen.extend_from_slice(&own.read_body().await.unwrap().unwrap());
    }
    let mut behind = Vec::new();
    while behind.len() < first.len() {
        behind.extend_from_slice(&late.read_body().await.unwrap().unwrap());
    }
    let counts = store.disk().counts;
    assert!(counts.reads_cached + counts.reads_waited >= 10, "what is not in the window comes from the file");
    for part in rest.chunks(50_000) {
        miss.write_body(Bytes::copy_from_slice(part), false).await.unwrap();
        seen.extend_from_slice(&own.read_body().await.unwrap().unwrap());
        behind.extend_from_slice(&late.read_body().await.unwrap().unwrap());
    }
    miss.finish().await.unwrap();
    assert!(late.read_body().await.unwrap().is_none(), "a clean end");
    assert!(seen == bytes && behind == bytes);
}

#[tokio::test]
async fn clients_wait_for_the_disk_where_that_is_wanted() {
    let slow = Slow::new(|disk| disk.fill_patience = "1h".parse().unwrap());
    let store = slow.open().await;
    slow.files.hang();
    let mender = slow.files.clone();
    let watched: &'static Store = *store;
    let mending = std::thread::spawn(move || {
        let began = Instant::now();
        while watched.disk_stats()[0].counts.stalled_micros < 400_000 && began.elapsed().as_secs() < 30 {
            std::thread::yield_now();
        }
        mender.go_on();
    });
    let bytes = body("/", 3_000_000);
    assert!(put_and_read(*store, &key("/"), true, &bytes).await.unwrap() == bytes);
    mending.join().unwrap();
    store.flush();
    store.drop_memory();
    assert!(has(*store, "/", 3_000_000).await);
    assert_eq!(store.disk().counts.dropped_slow, 0);
}

#[tokio::test]
async fn no_more_bodies_wait_to_be_synced_than_may() {
    let slow = Slow::new(|disk| disk.fill_queue = 2);
    let store = slow.open().await;
    slow.files.hang();
    for name in ["/a", "/b", "/c"] {
        put(*store, name, LEN).await;
    }
    let stats = store.disk();
    assert_eq!((stats.fills_unfinished, stats.counts.dropped_slow), (2, 1));
    slow.files.go_on();
    store.flush();
    store.drop_memory();
    let found = [has(*store, "/a", LEN).await, has(*store, "/b", LEN).await, has(*store, "/c", LEN).await];
    assert_eq!(found, [true, true, false]);
}

#[tokio::test]
async fn a_purge_reaches_what_waits_to_be_synced() {
    let slow = Slow::new(|_| {});
    let store = slow.open().await;
    slow.files.hang();
    put(*store, "/", LEN).await;
    put(*store, "/other", LEN).await;
    let purging = tokio::spawn(async move { purge(store.store, &key("/")).await.map(|_| store) });
    until(|| slow.files() == 2).await;
    // It holds at once; its word on the disk, which it waits for, comes later.
    tokio::task::yield_now().await;
    slow.files.go_on();
    let store = purging.await.unwrap().unwrap();
    assert!(find(*store, &key("/")).await.is_none());
    store.flush();
    store.drop_memory();
    assert!(!has(*store, "/", LEN).await && has(*store, "/other", LEN).await);
    until(|| slow.files() == 1).await;
}

#[tokio::test]
async fn the_newer_one_of_two_that_wait_is_kept() {
    let slow = Slow::new(|_| {});
    let store = slow.open().await;
    slow.files.hang();
    put_and_read(*store, &key("/"), true, &body("old", LEN)).await.unwrap();
    put(*store, "/", LEN + 1).await;
    assert!(has(*store, "/", LEN + 1).await);
    slow.files.go_on();
    store.flush();
    store.drop_memory();
    assert!(has(*store, "/", LEN + 1).await);
    until(|| slow.files() == 1 && store.disk().files == 1).await;
}

#[tokio::test]
async fn a_kill_while_bodies_wait_leaves_nothing_wrong() {
    let slow = Slow::new(|_| {});
    let store = slow.open().await;
    put(*store, "/synced", LEN).await;
    store.flush();
    slow.files.hang();
    put(*store, "/waits", LEN).await;
    until(|| slow.files() == 2).await;
    store.kill();
    let store = Rig::open(&slow.settings).recovered().await;
    assert!(has(*store, "/synced", LEN).await && !has(*store, "/waits", LEN).await);
    assert_eq!((slow.files(), store.disk().files, store.disk().counts.corrupt), (1, 1, 0));
    put(*store, "/waits", LEN).await;
    store.flush();
    store.drop_memory();
    assert!(has(*store, "/waits", LEN).await);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_synced() {
    let slow = Slow::new(|_| {});
    let store = slow.open().await;
    slow.files.hang();
    put(*store, "/", LEN).await;
    let mender = slow.files.clone();
    let closing = std::thread::spawn(move || drop(store));
    mender.go_on();
    closing.join().unwrap();
    let store = Rig::open(&slow.settings).recovered().await;
    assert!(has(*store, "/", LEN).await);
}

#[tokio::test]
async fn syncs_that_hang_hold_no_hit_up() {
    let slow = Slow::new(|disk| (disk.io_threads, disk.write_threads) = (1, 2));
    let store = slow.open().await;
    put(*store, "/read", LEN).await;
    store.flush();
    store.drop_memory();
    slow.files.hang();
    slow.files.chill();
    for n in 0..5 {
        put(*store, &format!("/{n}"), LEN).await;
    }
    let (began, cached) = (Instant::now(), store.disk().counts.reads_cached);
    assert!(has(*store, "/read", LEN).await);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let stats = store.disk();
    assert!(stats.counts.reads_cached == cached && stats.counts.reads_waited >= 3, "{stats:?}");
    assert_eq!(stats.fills_unfinished, 5);
    slow.files.go_on();
}

#[tokio::test]
async fn bodies_that_wait_keep_no_others_out_of_a_small_memory() {
    let slow = Slow::new(|_| {});
    let store = slow.open().await;
    slow.files.hang();
    // Responses on their way in may hold 2 MiB: the windows of seven such bodies.
    let names: Vec<String> = (0..12).map(|n| format!("/{n}")).collect();
    for name in &names {
        put(*store, name, 300_000).await;
    }
    assert_eq!((store.disk().fills_unfinished, store.stats().rejected_no_room), (12, 0));
    slow.files.go_on();
    store.flush();
    store.drop_memory();
    for name in &names {
        assert!(has(*store, name, 300_000).await, "{name}");
    }
}
