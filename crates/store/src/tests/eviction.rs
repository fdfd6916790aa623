use super::*;

/// Bytes that the folder takes on the file system.
fn taken(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut all = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        // A file may go while it is looked at.
        let Ok(entry) = entry else { continue };
        let Ok(meta) = entry.metadata() else { continue };
        all += if meta.is_dir() { taken(&entry.path()) } else { meta.blocks() * 512 };
    }
    all
}

#[tokio::test]
async fn never_takes_more_than_its_size_and_stays_of_use() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path())).recovered().await;
    let size = store.disk().capacity_bytes;
    let sizes = [500, 3000, 60_000, 100_000, 400_000, 1_500_000];
    for n in 0..600usize {
        put(*store, &format!("/{n}"), sizes[n % sizes.len()]).await;
        if n % 20 == 0 {
            store.flush();
            let stats = store.disk();
            assert!(stats.bytes <= size, "{stats:?}");
            let real = taken(folder.path());
            // Folders and the journal of purges take some blocks of their own.
            assert!(real <= size + (2 << 20), "{real} of {size}");
        }
    }
    store.flush();
    store.drop_memory();
    let stats = store.disk();
    assert!(stats.counts.evicted_small > 0 && stats.counts.evicted_files > 0, "{stats:?}");
    let mut found = 0;
    for n in 560..600usize {
        found += usize::from(has(*store, &format!("/{n}"), sizes[n % sizes.len()]).await);
    }
    assert!(found >= 30, "{found} of the last 40: {stats:?}");
    assert!(stats.bytes >= size / 3, "the space is used: {stats:?}");
    assert!(stats.write_amplification() < 2.0);
}

#[tokio::test]
async fn what_is_read_survives_a_scan() {
    let folder = folder();
    let settings = StoreSettings { memory: ByteSize::mib(1), ..settings(folder.path()) };
    let store = Rig::open(&settings).recovered().await;
    let hot: Vec<String> = (0..40).map(|n| format!("/hot/{n}")).collect();
    for name in &hot {
        put(*store, name, 50_000).await;
    }
    store.flush();
    for n in 0..2000 {
        put(*store, &format!("/scan/{n}"), 50_000).await;
        if n % 40 == 0 {
            store.flush();
            for name in &hot {
                if !has(*store, name, 50_000).await {
                    // Back soon after it was pushed out: the ghost sees to it that it stays.
                    put(*store, name, 50_000).await;
                }
            }
        }
    }
    store.flush();
    store.drop_memory();
    let mut kept = 0;
    for name in &hot {
        kept += usize::from(has(*store, name, 50_000).await);
    }
    let stats = store.disk();
    assert!(kept >= 36, "{kept} of 40 hot objects after a scan of 100 MB over 32 MiB: {stats:?}");
    assert!(stats.counts.copied > 0 && stats.write_amplification() < 2.0, "{stats:?}");
}

#[tokio::test]
async fn a_body_in_another_segment_comes_along() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path())).recovered().await;
    put(*store, "/linked", 100_000).await;
    store.flush();
    let (meta, _) = find(*store, &key("/linked")).await.unwrap();
    let fresh = SystemTime::now() + Duration::from_secs(500);
    let new = CacheMeta::new(fresh, meta.created(), 0, 0, meta.response_header_copy());
    assert!(store.update_meta(&key("/linked"), &new, &Span::inactive().handle()).await.unwrap());
    let before = store.disk().counts.copied;
    for n in 0..500 {
        put(*store, &format!("/scan/{n}"), 100_000).await;
        // Read from disk, not from memory, so that its worth is known there.
        if n % 10 == 0 {
            store.drop_memory();
            let (meta, mut hit) = find(*store, &key("/linked")).await.unwrap();
            assert_eq!(meta.fresh_until(), fresh);
            assert!(read_all(&mut hit).await.unwrap() == body("/linked", 100_000), "{n}");
        }
    }
    assert!(store.disk().counts.copied > before);
}

#[tokio::test]
async fn what_is_hot_in_memory_is_kept_on_disk() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings).recovered().await;
    put(*store, "/hot", 1000).await;
    for n in 0..700 {
        put(*store, &format!("/{n}"), 100_000).await;
        // Hits in memory, which the disk does not see.
        assert!(has(*store, "/hot", 1000).await);
    }
    store.flush();
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    assert!(has(*store, "/hot", 1000).await);
}
