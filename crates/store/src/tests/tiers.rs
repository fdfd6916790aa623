use super::*;
use crate::{DISK_READ_FAILED, FILL_FAILED, OUT_OF_RANGE};

/// Lengths around every border: chunks, whole reads, first reads, files of their own.
const LENGTHS: [usize; 14] = [
    0,
    1,
    100,
    16_000,
    65_535,
    65_536,
    65_537,
    100_000,
    LARGE,
    LARGE + 1,
    3 * 65_536,
    300_000,
    1 << 20,
    3_000_001,
];

#[tokio::test]
async fn what_leaves_memory_is_on_disk() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    for known in [true, false] {
        for len in LENGTHS {
            let name = format!("/{len}/{known}");
            let bytes = body(&name, len);
            assert!(put_and_read(*store, &key(&name), known, &bytes).await.unwrap() == bytes, "{name}");
        }
    }
    store.flush();
    store.drop_memory();
    for round in 0..3 {
        for known in [true, false] {
            for len in LENGTHS {
                assert!(has(*store, &format!("/{len}/{known}"), len).await, "{len} {known} {round}");
            }
        }
    }
    let stats = store.disk();
    assert_eq!(stats.objects, 28);
    assert_eq!(stats.files, 10, "those over the limit, known or not");
    assert!(store.stats().promoted >= 18, "the second read brings small ones up");
    assert!(stats.counts.hits >= 28 && stats.counts.corrupt == 0, "{stats:?}");
    assert!(stats.bytes <= stats.capacity_bytes);
}

#[tokio::test]
async fn the_header_comes_back_as_it_was() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    let mut header = ResponseHeader::build(404, None).unwrap();
    header.append_header("X-Twice", "1").unwrap();
    header.append_header("X-Twice", "2").unwrap();
    let now = SystemTime::now();
    let meta = CacheMeta::new(now + Duration::from_secs(7), now, 3, 4, header);
    let mut miss = begin(*store, &key("/"), &meta).await.unwrap();
    miss.write_body(Bytes::from_static(b"gone"), true).await.unwrap();
    miss.finish().await.unwrap();
    store.flush();
    store.drop_memory();
    let (found, mut hit) = find(*store, &key("/")).await.unwrap();
    assert_eq!(read_all(&mut hit).await.unwrap(), b"gone");
    assert_eq!(found.response_header().status, 404);
    assert_eq!(found.headers().get_all("x-twice").iter().count(), 2);
    assert_eq!(found.fresh_until(), meta.fresh_until());
    assert_eq!((found.stale_while_revalidate_sec(), found.stale_if_error_sec()), (3, 4));
}

#[tokio::test]
async fn ranges_read_what_is_asked_for() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    for name in ["/small", "/large"] {
        let len = if name == "/small" { LARGE } else { 2_000_000 };
        put(*store, name, len).await;
        store.flush();
        store.drop_memory();
        let all = body(name, len);
        let (_, mut hit) = find(*store, &key(name)).await.unwrap();
        assert!(hit.can_seek() && hit.can_seek_multipart());
        let before = store.disk().counts.read_bytes;
        for (from, to) in [(70_000, 70_001), (0, 1), (65_535, 65_537), (len - 1, len), (9, 9)] {
            hit.seek(from, Some(to)).unwrap();
            assert!(read_all(&mut hit).await.unwrap() == all[from..to], "{name} {from}-{to}");
        }
        hit.seek_multipart(len - 10, Some(len + 10)).unwrap();
        assert!(read_all(&mut hit).await.unwrap() == all[len - 10..]);
        let read = store.disk().counts.read_bytes - before;
        assert!(read <= 7 * 65_540, "{name}: {read} bytes for six ranges of a few bytes");
        assert_eq!(hit.seek(len + 1, None).unwrap_err().etype(), &OUT_OF_RANGE);
        hit.seek(0, None).unwrap();
        assert!(read_all(&mut hit).await.unwrap() == all);
    }
}

#[tokio::test]
async fn laggards_of_a_large_fill_read_its_file() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    let (name, len) = ("/stream", 4_000_000);
    let bytes = body(name, len);
    for known in [Some(len), None] {
        let mut miss = begin(*store, &key(name), &meta(known)).await.unwrap();
        let mut own = own_reader(*store, &key(name), &miss).await;
        let (_, mut late) = find(*store, &key(name)).await.unwrap();
        let (_, mut range) = find(*store, &key(name)).await.unwrap();
        range.seek(100_000, Some(150_000)).unwrap();
        let mut seen = Vec::new();
        for (i, part) in bytes.chunks(50_000).enumerate() {
            miss.write_body(Bytes::copy_from_slice(part), false).await.unwrap();
            while seen.len() < (i + 1) * 50_000 && seen.len() < len {
                seen.extend_from_slice(&own.read_body().await.unwrap().unwrap());
            }
        }
        assert!(seen == bytes);
        let held = store.stats().fill_bytes;
        assert!(held < 400_000, "{held} bytes of memory for a body of {len}");
        assert!(read_all(&mut range).await.unwrap() == bytes[100_000..150_000]);
        let late = tokio::spawn(async move { read_all(&mut late).await });
        miss.finish().await.unwrap();
        assert!(late.await.unwrap().unwrap() == bytes, "from the first byte on, long gone from memory");
        assert!(own.read_body().await.unwrap().is_none());
        assert!(has(*store, name, len).await);
    }
    store.flush();
    let stats = store.disk();
    assert_eq!((stats.objects, stats.files), (1, 1), "the second one replaced the first");
    assert_eq!(store.stats().fills_in_flight, 0);
}

#[tokio::test]
async fn a_large_fill_that_breaks_off_leaves_nothing() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    let bytes = body("/", 1_000_000);
    let mut miss = begin(*store, &key("/"), &meta(None)).await.unwrap();
    for part in bytes.chunks(40_000) {
        miss.write_body(Bytes::copy_from_slice(part), false).await.unwrap();
    }
    let (_, mut reader) = find(*store, &key("/")).await.unwrap();
    drop(miss);
    let error = read_all(&mut reader).await.unwrap_err();
    assert_eq!(error.etype(), &FILL_FAILED, "never a clean end");
    drop(reader);
    assert!(find(*store, &key("/")).await.is_none());
    let objects = folder.path().join("objects");
    let count = || {
        let subs = std::fs::read_dir(&objects).unwrap().map(|sub| sub.unwrap().path());
        subs.map(|sub| std::fs::read_dir(sub).unwrap().count()).sum::<usize>()
    };
    until(|| count() == 0 && store.disk().bytes == 0).await;
    assert_eq!((store.stats().fill_bytes, store.stats().fills_in_flight), (0, 0));
}

#[tokio::test]
async fn a_body_over_max_object_passes_and_is_not_kept() {
    let folder = folder();
    let store = Rig::open(&StoreSettings { max_object: ByteSize::mib(1), ..settings(folder.path()) });
    let bytes = body("/", 1_500_000);
    let seen = put_and_read(*store, &key("/"), false, &bytes).await.unwrap();
    assert!(seen == bytes);
    assert!(find(*store, &key("/")).await.is_none());
    assert!(begin(*store, &key("/known"), &meta(Some(1_500_000))).await.is_err());
    until(|| store.disk().bytes == 0).await;
}

#[tokio::test]
async fn a_refreshed_header_stays_on_disk() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    // A record that is written anew, one that keeps its body, and one with a file.
    for (name, len) in [("/a", 100), ("/b", 100_000), ("/c", 400_000)] {
        put(*store, name, len).await;
        for version in ["2", "3"] {
            for in_memory in [true, false] {
                store.flush();
                if !in_memory {
                    store.drop_memory();
                }
                let (old, _) = find(*store, &key(name)).await.unwrap();
                let mut header = old.response_header_copy();
                header.insert_header("X-Version", version).unwrap();
                let fresh = SystemTime::now() + Duration::from_secs(99);
                let new = CacheMeta::new(fresh, old.created(), 0, 0, header);
                let done = store.update_meta(&key(name), &new, &Span::inactive().handle()).await.unwrap();
                assert!(done, "{name} {in_memory}");
                store.drop_memory();
                let (meta, mut hit) = find(*store, &key(name)).await.unwrap();
                assert_eq!(meta.headers()["x-version"], version, "{name} {in_memory}");
                assert_eq!(meta.fresh_until(), fresh);
                assert!(read_all(&mut hit).await.unwrap() == body(name, len));
            }
        }
        let other = CacheMeta::new(
            SystemTime::now(),
            SystemTime::now(),
            0,
            0,
            ResponseHeader::build(200, None).unwrap(),
        );
        assert!(
            !store.update_meta(&key(name), &other, &Span::inactive().handle()).await.unwrap(),
            "it was admitted at another time, so it is another object"
        );
    }
    assert_eq!(store.disk().files, 1);
}

#[tokio::test]
async fn a_newer_object_replaces_the_one_on_disk() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    for (first, second) in [(10, 20), (300_000, 20), (20, 300_000), (300_000, 400_000)] {
        let name = format!("/{first}/{second}");
        let old = body("old", first);
        put_and_read(*store, &key(&name), true, &old).await.unwrap();
        store.flush();
        put(*store, &name, second).await;
        store.flush();
        store.drop_memory();
        assert!(has(*store, &name, second).await);
    }
    until(|| store.disk().files == 2).await;
}

#[tokio::test]
async fn damage_on_disk_is_an_error_and_never_a_wrong_body() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    for (name, len) in [("/tiny", 500), ("/small", LARGE), ("/large", 700_000)] {
        put(*store, name, len).await;
    }
    store.flush();
    store.drop_memory();
    // One bit in every 1000 bytes, in every file that holds bodies.
    let mut files = vec![];
    for sub in ["segments", "objects"] {
        for entry in walk(&folder.path().join(sub)) {
            if !entry.to_string_lossy().ends_with(".toc") {
                files.push(entry);
            }
        }
    }
    assert!(files.len() >= 2);
    for file in files {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.iter_mut().step_by(1000).for_each(|byte| *byte ^= 4);
        use std::os::unix::fs::FileExt;
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    for name in ["/tiny", "/small", "/large"] {
        if let Some((_, mut hit)) = find(*store, &key(name)).await {
            assert_eq!(read_all(&mut hit).await.unwrap_err().etype(), &DISK_READ_FAILED, "{name}");
            assert!(find(*store, &key(name)).await.is_none(), "{name} is forgotten");
        }
    }
    assert!(store.disk().counts.corrupt >= 2);
    assert_eq!(store.disk().state, crate::DiskState::Ok, "damage is not trouble with the device");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(walk(&path)) } else { all.push(path) }
    }
    all
}

#[tokio::test]
async fn a_list_of_disks_shares_the_urls() {
    let folders = [folder(), folder(), folder()];
    let disks: Vec<_> = folders.iter().map(|f| DiskSettings::new(f.path(), ByteSize::mib(16))).collect();
    let settings = StoreSettings { disk: disks.into(), ..settings(folders[0].path()) };
    let store = Rig::open(&settings);
    for n in 0..300 {
        put(*store, &format!("/{n}"), 2000).await;
    }
    store.flush();
    store.drop_memory();
    let objects: Vec<u64> = store.disk_stats().iter().map(|disk| disk.objects).collect();
    assert_eq!(objects.iter().sum::<u64>(), 300);
    assert!(objects.iter().all(|n| (60..140).contains(n)), "{objects:?}");
    for n in 0..300 {
        assert!(has(*store, &format!("/{n}"), 2000).await);
    }
}

#[tokio::test]
async fn a_body_of_more_than_half_the_disk_is_taken_when_there_is_room() {
    let folder = folder();
    let store = Rig::open(&StoreSettings { max_object: ByteSize::mib(64), ..settings(folder.path()) });
    let len = 20 << 20;
    for name in ["/first", "/no_room"] {
        let bytes = body(name, len);
        let mut miss = begin(*store, &key(name), &meta(Some(len))).await.unwrap();
        let mut own = own_reader(*store, &key(name), &miss).await;
        let mut seen = 0;
        for part in bytes.chunks(256 << 10) {
            miss.write_body(Bytes::copy_from_slice(part), false).await.unwrap();
            while seen < bytes.len()
                && let Ok(Ok(Some(some))) = tokio::time::timeout(Duration::ZERO, own.read_body()).await
            {
                assert!(bytes[seen..seen + some.len()] == some[..]);
                seen += some.len();
            }
            // The disk is asked for in the background; the origin here is faster than any.
            until(|| store.disk().fill_bytes < 1 << 20 || store.disk().counts.detached > 0).await;
        }
        miss.finish().await.unwrap();
        while let Some(some) = own.read_body().await.unwrap() {
            assert!(bytes[seen..seen + some.len()] == some[..]);
            seen += some.len();
        }
        assert_eq!(seen, len);
        store.flush();
    }
    assert!(has(*store, "/first", len).await && !has(*store, "/no_room", len).await);
    assert_eq!((store.disk().files, store.disk().counts.dropped_space), (1, 1));
}
