use super::*;
use crate::FolderError;
use crate::disk::DiskError;

const OBJECTS: [(&str, usize); 6] =
    [("/empty", 0), ("/a", 100), ("/b", 70_000), ("/c", LARGE), ("/d", 200_000), ("/e", 2_000_000)];

async fn fill(store: &'static Store) {
    for (name, len) in OBJECTS {
        put(store, name, len).await;
    }
    store.flush();
}

async fn check(store: &'static Store) {
    for (name, len) in OBJECTS {
        assert!(has(store, name, len).await, "{name}");
    }
}

#[tokio::test]
async fn content_survives_a_stop_and_a_kill() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    fill(*store).await;
    drop(store);
    for _ in 0..3 {
        let store = Rig::open(&settings).recovered().await;
        check(*store).await;
        store.kill();
    }
    let store = Rig::open(&settings).recovered().await;
    check(*store).await;
    let stats = store.disk();
    assert_eq!((stats.objects, stats.files, stats.recovered), (6, 2, 1.0));
    assert!(stats.bytes < 4 << 20, "segments that are done are cut to what is used: {}", stats.bytes);
}

#[tokio::test]
async fn what_was_refreshed_and_replaced_stays_so() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    put(*store, "/old", 100).await;
    let old = body("old", 50_000);
    put_and_read(*store, &key("/new"), true, &old).await.unwrap();
    put_and_read(*store, &key("/file"), true, &body("old", 500_000)).await.unwrap();
    put(*store, "/new", 60_000).await;
    put(*store, "/file", 400_000).await;
    let (meta, _) = find(*store, &key("/old")).await.unwrap();
    let fresh = SystemTime::now() + Duration::from_secs(500);
    let new = CacheMeta::new(fresh, meta.created(), 0, 0, meta.response_header_copy());
    assert!(store.update_meta(&key("/old"), &new, &Span::inactive().handle()).await.unwrap());
    // A body in a file of its own is found by the next process once it is synced.
    store.flush();
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    assert_eq!(find(*store, &key("/old")).await.unwrap().0.fresh_until(), fresh);
    assert!(has(*store, "/new", 60_000).await && has(*store, "/file", 400_000).await);
    assert_eq!(store.disk().files, 1, "the file of the replaced one is gone");
}

#[tokio::test]
async fn without_tables_the_segments_are_searched() {
    let folder = folder();
    let settings = settings(folder.path());
    for stop in [true, false] {
        let store = Rig::open(&settings).recovered().await;
        fill(*store).await;
        if stop {
            drop(store);
        } else {
            store.kill();
        }
        for entry in std::fs::read_dir(folder.path().join("segments")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toc") {
                std::fs::remove_file(path).unwrap();
            }
        }
        let store = Rig::open(&settings).recovered().await;
        check(*store).await;
    }
}

#[tokio::test]
async fn a_segment_cut_anywhere_gives_what_is_whole() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    for n in 0..20 {
        put(*store, &format!("/{n}"), 3000).await;
    }
    store.flush();
    store.kill();
    let segment = folder.path().join("segments/00000001-00000001.small");
    let table = folder.path().join("segments/00000001-00000001.small.toc");
    let bytes = std::fs::read(&segment).unwrap();
    let lines = std::fs::read(&table).unwrap();
    // Another boot, as after a loss of power: what was not synced may be missing.
    std::fs::write(folder.path().join("runs/00000001"), "another boot").unwrap();
    for cut in [0, 50, 3000, 3300, 10_000, 33_333, 60_000] {
        for with_table in [true, false] {
            let copy = super::folder();
            copy_folder(folder.path(), copy.path());
            let mut torn = bytes[..cut].to_vec();
            torn.resize(bytes.len(), 0);
            std::fs::write(copy.path().join("segments/00000001-00000001.small"), torn).unwrap();
            let lines = if with_table { &lines[..] } else { &[] };
            std::fs::write(copy.path().join("segments/00000001-00000001.small.toc"), lines).unwrap();
            let settings = super::settings(copy.path());
            let store = Rig::open(&settings).recovered().await;
            let mut found = 0;
            for n in 0..20 {
                found += usize::from(has(*store, &format!("/{n}"), 3000).await);
            }
            assert!(found <= cut / 3000 && found + 1 >= cut / 3500, "{found} of {cut} bytes");
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn files_of_unfinished_fills_are_cleared_away() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    let mut miss = begin(*store, &key("/"), &meta(None)).await.unwrap();
    miss.write_body(Bytes::from(body("/", 900_000)), false).await.unwrap();
    store.kill();
    std::mem::forget(miss);
    let store = Rig::open(&settings).recovered().await;
    assert!(find(*store, &key("/")).await.is_none());
    assert_eq!(store.disk().bytes, 0);
}

#[tokio::test]
async fn two_processes_share_a_folder() {
    let folder = folder();
    let settings = settings(folder.path());
    let old = Rig::open(&settings).recovered().await;
    fill(*old).await;
    let new = Rig::open(&settings).recovered().await;
    check(*new).await;
    put(*old, "/from-old", 5000).await;
    put(*new, "/from-new", 400_000).await;
    new.flush();
    old.flush();
    check(*old).await;
    // A purge in the new one reaches the old one, whose own answers to it are thereby older.
    purge(*new, &key("/a")).await.unwrap();
    until(|| old.disk().purges >= 1).await;
    old.drop_memory();
    assert!(find(*old, &key("/a")).await.is_none());
    drop(old);
    new.drop_memory();
    assert!(has(*new, "/from-new", 400_000).await);
    put(*new, "/after", 100).await;
    drop(new);
    let store = Rig::open(&settings).recovered().await;
    for (name, len) in [("/from-old", 5000), ("/from-new", 400_000), ("/after", 100), ("/e", 2_000_000)] {
        assert!(has(*store, name, len).await, "{name}");
    }
    assert!(!has(*store, "/a", 100).await);
}

#[tokio::test]
async fn what_a_process_purged_that_came_and_was_killed_at_once_is_purged() {
    let folder = folder();
    let settings = settings(folder.path());
    let one = Rig::open(&settings).recovered().await;
    put(*one, "/a", 100).await;
    put(*one, "/b", 100).await;
    one.flush();
    // Most likely between two looks.
    let other = Rig::open(&settings);
    purge(*other, &key("/a")).await.unwrap();
    other.kill();
    until(|| one.disk().purges >= 1).await;
    assert!(find(*one, &key("/a")).await.is_none());
    one.drop_memory();
    assert!(!has(*one, "/a", 100).await && has(*one, "/b", 100).await);
}

#[tokio::test]
async fn what_the_old_process_wrote_is_the_new_ones_once_it_steps_down() {
    let folder = folder();
    let settings = settings(folder.path());
    let old = Rig::open(&settings).recovered().await;
    put(*old, "/before", 3000).await;
    put(*old, "/twice", 3000).await;
    old.flush();
    let new = Rig::open(&settings).recovered().await;
    // Neither segment nor file was there when the new one looked.
    put(*old, "/small", 5000).await;
    put(*old, "/large", 400_000).await;
    put_and_read(*old, &key("/twice"), true, &body("later", 3000)).await.unwrap();
    put(*new, "/own", 100).await;
    put_and_read(*old, &key("/own"), true, &body("the old one's", 100)).await.unwrap();
    new.drop_memory();
    assert!(find(*new, &key("/small")).await.is_none(), "not handed over yet");
    old.step_down();
    until(|| new.disk().objects >= 5).await;
    for (name, len) in [("/before", 3000), ("/small", 5000), ("/large", 400_000), ("/own", 100)] {
        assert!(has(*new, name, len).await, "{name}");
    }
    assert!(body_of(*new, &key("/twice")).await.unwrap() == body("later", 3000), "the later one counts");
    // The old one still reads, and writes nothing any more.
    old.drop_memory();
    assert!(has(*old, "/small", 5000).await);
    let written = old.disk().counts.writes;
    put(*old, "/late", 100).await;
    put(*old, "/late-large", 400_000).await;
    old.flush();
    assert_eq!(old.disk().counts.writes, written);
    // Both purge, each for both.
    purge(*old, &key("/small")).await.unwrap();
    until(|| new.disk().purges >= 1).await;
    new.drop_memory();
    assert!(find(*new, &key("/small")).await.is_none());
    // The new one evicts, also what the old one wrote.
    for n in 0..300 {
        put(*new, &format!("/{n}"), 120_000).await;
        if n % 20 == 0 {
            new.flush();
        }
    }
    new.flush();
    assert!(new.disk().counts.evicted_small > 0, "{:?}", new.disk());
    assert!(new.disk().bytes <= 32 << 20);
    drop(old);
    drop(new);
    let store = Rig::open(&settings).recovered().await;
    assert!(has(*store, "/299", 120_000).await);
    assert!(!has(*store, "/small", 5000).await);
}

#[tokio::test]
async fn foreign_folders_are_refused_with_a_reason() {
    let folder = folder();
    std::fs::write(folder.path().join("holiday.jpg"), "x").unwrap();
    let files: Arc<dyn Files> = Arc::new(RealFiles);
    match Rig::try_on(&files, &settings(folder.path())) {
        Err(StoreError::Disk(DiskError::Folder(FolderError::Foreign(path)))) => {
            assert_eq!(path, folder.path())
        }
        other => panic!("{:?}", other.map(|_| ()).map_err(|error| error.to_string())),
    }
    assert!(folder.path().join("holiday.jpg").exists());
}

#[tokio::test]
async fn what_is_sealed_is_found_before_the_old_process_steps_down() {
    let folder = folder();
    let settings = settings(folder.path());
    let old = Rig::open(&settings).recovered().await;
    put(*old, "/hot", 3000).await;
    old.seal();
    let new = Rig::open(&settings).recovered().await;
    assert!(has(*new, "/hot", 3000).await, "it did not have to be handed over");
    // The old one is still at work, in another segment.
    put(*old, "/later", 5000).await;
    old.flush();
    old.drop_memory();
    assert!(has(*old, "/hot", 3000).await && has(*old, "/later", 5000).await);
    new.drop_memory();
    assert!(find(*new, &key("/later")).await.is_none(), "not handed over yet");
    old.step_down();
    until(|| new.disk().objects >= 2).await;
    assert!(has(*new, "/later", 5000).await);
}
