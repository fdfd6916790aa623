use super::*;

#[tokio::test]
async fn a_purge_gives_the_room_of_a_large_body_back_at_once() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path())).recovered().await;
    for name in ["/kept", "/gone"] {
        put(*store, name, 3 * LARGE).await;
    }
    until(|| store.disk().files == 2).await;
    store.flush();
    let before = store.disk().bytes;
    let (_, mut reader) = find(*store, &key("/gone")).await.unwrap();
    let first = reader.read_body().await.unwrap().unwrap();
    purge(*store, &key("/gone")).await.unwrap();
    until(|| store.disk().files == 1).await;
    assert!(before - store.disk().bytes >= 3 * LARGE as u64);
    assert!(find(*store, &key("/gone")).await.is_none() && has(*store, "/kept", 3 * LARGE).await);
    let rest = read_all(&mut reader).await.unwrap();
    assert!([&first[..], &rest].concat() == body("/gone", 3 * LARGE), "who reads it reads on");
}

#[tokio::test]
async fn a_purge_reaches_the_disk_and_outlives_a_kill() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    for (name, len) in [("/a", 100), ("/b", 300_000), ("/kept", 100)] {
        put(*store, name, len).await;
    }
    for variance in [1, 2] {
        put_and_read(*store, &variant("/a", variance), true, &body("v", 50)).await.unwrap();
    }
    store.flush();
    store.drop_memory();
    assert!(body_of(*store, &variant("/a", 1)).await.is_some());
    for name in ["/a", "/b"] {
        assert_eq!(purge(*store, &key(name)).await.unwrap(), PurgeOutcome::Purged(None));
        assert_eq!(purge(*store, &key(name)).await.unwrap(), PurgeOutcome::NotFound);
        assert!(find(*store, &key(name)).await.is_none());
    }
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    assert!(!has(*store, "/a", 100).await && !has(*store, "/b", 300_000).await);
    for variance in [1, 2] {
        assert!(find(*store, &variant("/a", variance)).await.is_none(), "variants go with their URL");
    }
    assert!(has(*store, "/kept", 100).await);
    put(*store, "/a", 77).await;
    store.flush();
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    assert!(has(*store, "/a", 77).await, "what comes after a purge is not purged");
}

#[tokio::test]
async fn a_soft_purge_outlives_a_kill() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    put(*store, "/", 100).await;
    store.flush();
    store.drop_memory();
    assert_eq!(expire(*store, &key("/")).await.unwrap(), PurgeOutcome::Expired);
    for _ in 0..2 {
        let (meta, _) = find(*store, &key("/")).await.unwrap();
        assert!(!meta.is_fresh(SystemTime::now()));
        store.drop_memory();
    }
    assert_eq!(expire(*store, &key("/none")).await.unwrap(), PurgeOutcome::NotFound);
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    let (meta, mut hit) = find(*store, &key("/")).await.unwrap();
    assert!(!meta.is_fresh(SystemTime::now()));
    assert!(read_all(&mut hit).await.unwrap() == body("/", 100));
}

#[tokio::test]
async fn a_purge_of_everything_outlives_a_kill() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    for n in 0..10 {
        put(*store, &format!("/{n}"), 1000).await;
    }
    store.flush();
    assert_eq!(store.clear().await.unwrap(), 10);
    put(*store, "/new", 10).await;
    store.flush();
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    for n in 0..10 {
        assert!(find(*store, &key(&format!("/{n}"))).await.is_none());
    }
    assert!(has(*store, "/new", 10).await);
}

#[tokio::test]
async fn an_answer_requested_before_a_purge_is_not_stored_on_disk() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    for len in [100, 300_000] {
        let mut meta = meta(None);
        meta.extensions_mut().insert(store.epoch());
        purge(*store, &key("/")).await.unwrap();
        let mut miss = begin(*store, &key("/"), &meta).await.unwrap();
        miss.write_body(Bytes::from(body("/", len)), true).await.unwrap();
        let later = begin(*store, &key("/"), &super::meta(None)).await.unwrap();
        miss.finish().await.unwrap();
        drop(later);
        store.flush();
        assert!(find(*store, &key("/")).await.is_none());
    }
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    assert!(find(*store, &key("/")).await.is_none());
}

#[tokio::test]
async fn a_damaged_journal_empties_the_store() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings);
    put(*store, "/kept", 100).await;
    store.flush();
    for n in 0..5 {
        purge(*store, &key(&format!("/{n}"))).await.unwrap();
    }
    store.kill();
    let path = folder.path().join("purges/00000001");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let store = Rig::open(&settings).recovered().await;
    assert!(find(*store, &key("/kept")).await.is_none(), "nobody knows what was purged");
    put(*store, "/new", 100).await;
    store.flush();
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    assert!(has(*store, "/new", 100).await);
}

#[tokio::test]
async fn purges_that_have_done_their_work_are_forgotten() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path())).recovered().await;
    put(*store, "/old", 100).await;
    store.flush();
    purge(*store, &key("/a")).await.unwrap();
    assert_eq!(store.disk().purges, 1);
    // Only older content keeps it.
    for n in 0..700 {
        put(*store, &format!("/{n}"), 100_000).await;
    }
    store.flush();
    until(|| store.disk().purges == 0).await;
}

#[tokio::test]
async fn many_purges_at_once_share_their_writes() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path())).recovered().await;
    let started: Vec<_> = (0..500)
        .map(|n| {
            let store = *store;
            tokio::spawn(async move { purge(store, &key(&format!("/{n}"))).await.unwrap() })
        })
        .collect();
    for task in started {
        assert_eq!(task.await.unwrap(), PurgeOutcome::NotFound);
    }
    assert_eq!(store.disk().purges, 500);
    let file = std::fs::File::open(folder.path().join("purges/00000001")).unwrap();
    assert_eq!(crate::disk::journal::read(&file, 0).unwrap().purges.len(), 500);
    let room = file.metadata().unwrap().len();
    assert!(room > 500 * 48 && room < 500 * 4096, "a page for each: {room}");
}

#[tokio::test]
async fn a_changed_resource_is_gone_and_unknown_names_leave_no_trace() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings).recovered().await;
    put(*store, "/", 100).await;
    put(*store, "/memory", 100).await;
    store.flush();
    for n in 0..1000 {
        store.invalidate(&key(&format!("/unknown/{n}")).to_compact());
    }
    assert_eq!(store.disk().purges, 0);
    store.invalidate(&key("/memory").to_compact());
    store.drop_memory();
    store.invalidate(&key("/").to_compact());
    assert!(find(*store, &key("/")).await.is_none() && find(*store, &key("/memory")).await.is_none());
    assert_eq!(store.disk().purges, 2);
    // Recorded in the background; the next purge waits for it.
    purge(*store, &key("/other")).await.unwrap();
    store.kill();
    let store = Rig::open(&settings).recovered().await;
    assert!(find(*store, &key("/")).await.is_none() && find(*store, &key("/memory")).await.is_none());
}
