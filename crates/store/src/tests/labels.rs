//! Purges of many responses at once, over both tiers.

use super::*;

fn labelled(host: &str, path: &str, tags: &[&str]) -> CacheMeta {
    let mut meta = meta(None);
    meta.extensions_mut().insert(Labels::new(host, path, tags.iter().copied()));
    meta
}

async fn put_labelled(store: &'static Store, name: &str, len: usize, meta: &CacheMeta) {
    let mut miss = begin(store, &key(name), meta).await.unwrap();
    miss.write_body(Bytes::from(body(name, len)), true).await.unwrap();
    miss.finish().await.unwrap();
}

/// One response of each kind.
async fn fill(store: &'static Store, len: usize) {
    for (name, path, tags) in [
        ("/news", "/de/news/1", &["news", "start"][..]),
        ("/shop", "/de/shop/1", &["shop"]),
        ("/other", "/en/news/1", &["news"]),
        ("/plain", "/de", &[]),
    ] {
        let host = if name == "/other" { "example.net" } else { "example.com" };
        put_labelled(store, name, len, &labelled(host, path, tags)).await;
    }
    store.flush();
}

const NAMES: [&str; 4] = ["/news", "/shop", "/other", "/plain"];

/// Which of the four can be found, and are fresh.
async fn fresh(store: &'static Store, len: usize) -> Vec<&'static str> {
    let mut found = Vec::new();
    for name in NAMES {
        if let Some((meta, mut hit)) = find(store, &key(name)).await
            && meta.is_fresh(SystemTime::now())
        {
            assert!(read_all(&mut hit).await.unwrap() == body(name, len), "{name}");
            found.push(name);
        }
    }
    found
}

#[tokio::test]
async fn each_label_meets_what_bears_it_in_either_tier_and_after_a_kill() {
    let prefix = |path| Label::Prefix { host: "example.com", path };
    for (label, left) in [
        (Label::Tag("news"), &["/shop", "/plain"][..]),
        (Label::Tag("start"), &["/shop", "/other", "/plain"]),
        (Label::Tag("none"), &NAMES),
        (Label::Host("example.net"), &["/news", "/shop", "/plain"]),
        (prefix("/de/news"), &["/shop", "/other", "/plain"]),
        (prefix("/de/"), &["/other"]),
        (prefix("/"), &["/other"]),
        (prefix("/d"), &NAMES),
        (Label::Everything, &[]),
    ] {
        for soft in [false, true] {
            for len in [100, 200_000] {
                let folder = folder();
                let settings = settings(folder.path());
                let store = Rig::open(&settings);
                fill(*store, len).await;
                // Large ones are on disk only, and so are half of the small ones, without having been judged.
                if soft {
                    store.drop_memory();
                }
                assert_eq!(fresh(*store, len).await, NAMES, "negative control");
                store.purge_labels(&[label], soft).await.unwrap();
                assert_eq!(fresh(*store, len).await, left, "{label:?} {soft} {len}");
                let there = find(*store, &key("/news")).await.is_some();
                assert_eq!(there, soft || left.contains(&"/news"), "a soft purge keeps it");
                store.drop_memory();
                assert_eq!(fresh(*store, len).await, left, "from disk");
                store.kill();
                let store = Rig::open(&settings).recovered().await;
                assert_eq!(fresh(*store, len).await, left, "after a kill: {label:?} {soft} {len}");
                fill(*store, len).await;
                assert_eq!(fresh(*store, len).await, NAMES, "what comes afterwards is not met");
            }
        }
    }
}

#[tokio::test]
async fn what_is_on_its_way_is_met() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    for soft in [false, true] {
        for len in [100, 300_000] {
            let key = key(&format!("/{soft}/{len}"));
            let meta = labelled("example.com", "/x", &["tag"]);
            let mut miss = begin(*store, &key, &meta).await.unwrap();
            miss.write_body(Bytes::from(body("x", len)), false).await.unwrap();
            assert!(find(*store, &key).await.is_some(), "it can be joined");
            store.purge_labels(&[Label::Tag("tag")], soft).await.unwrap();
            let joined = find(*store, &key).await;
            assert_eq!(joined.is_some(), soft);
            assert!(joined.is_none_or(|(meta, _)| !meta.is_fresh(SystemTime::now())));
            miss.finish().await.unwrap();
            store.flush();
            for _ in 0..2 {
                let found = find(*store, &key).await;
                assert_eq!(found.is_some(), soft, "{len}");
                assert!(found.is_none_or(|(meta, _)| !meta.is_fresh(SystemTime::now())));
                store.drop_memory();
            }
        }
    }
}

#[tokio::test]
async fn an_answer_requested_before_a_purge_is_not_stored_even_when_the_purge_is_forgotten() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path())).recovered().await;
    let mut old = labelled("example.com", "/x", &["tag"]);
    old.extensions_mut().insert(store.epoch());
    store.purge_labels(&[Label::Tag("tag")], false).await.unwrap();
    assert_eq!(store.disk().purges, 1);
    // All there is on the disk is newer.
    put(*store, "/newer", 100).await;
    store.flush();
    until(|| store.disk().purges == 0).await;
    put_labelled(*store, "/", 100, &old).await;
    assert!(find(*store, &key("/")).await.is_none());
    put_labelled(*store, "/", 100, &labelled("example.com", "/x", &["tag"])).await;
    assert!(find(*store, &key("/")).await.is_some());
}

#[tokio::test]
async fn purged_content_gives_its_memory_back_and_the_table_is_emptied() {
    let store: &'static Store = Store::open(
        &StoreSettings { memory: ByteSize::mib(64), ..StoreSettings::default() },
        Arc::new(NoExtensions),
    )
    .unwrap();
    for n in 0..500 {
        put_labelled(store, &format!("/{n}"), 1000, &labelled("example.com", "/x", &["tag"])).await;
    }
    assert_eq!(store.stats().objects, 500);
    store.purge_labels(&[Label::Tag("tag")], false).await.unwrap();
    until(|| store.stats().objects == 0 && store.stats().remembered_purges == 0).await;
    assert_eq!((store.stats().bytes, store.stats().purged_objects), (0, 500));
    store.close();
}

#[tokio::test]
async fn a_refresh_renews_what_a_soft_purge_made_stale() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    put_labelled(*store, "/", 100, &labelled("example.com", "/", &["tag"])).await;
    store.flush();
    store.purge_labels(&[Label::Tag("tag")], true).await.unwrap();
    let (meta, _) = find(*store, &key("/")).await.unwrap();
    assert!(!meta.is_fresh(SystemTime::now()));
    let until = SystemTime::now() + Duration::from_secs(500);
    let mut new = CacheMeta::new(until, meta.created(), 0, 0, meta.response_header_copy());
    new.extensions_mut().insert(Labels::new("example.com", "/", ["other"].into_iter()));
    new.extensions_mut().insert(store.epoch());
    assert!(store.update_meta(&key("/"), &new, &Span::inactive().handle()).await.unwrap());
    for _ in 0..2 {
        assert_eq!(find(*store, &key("/")).await.unwrap().0.fresh_until(), until);
        store.drop_memory();
    }
    // It has the labels of the answer that confirmed it.
    store.purge_labels(&[Label::Tag("tag")], false).await.unwrap();
    assert!(find(*store, &key("/")).await.is_some());
    store.purge_labels(&[Label::Tag("other")], false).await.unwrap();
    assert!(find(*store, &key("/")).await.is_none());
}

#[tokio::test]
async fn a_purge_by_another_process_meets_what_is_in_memory_here() {
    let folder = folder();
    let settings = settings(folder.path());
    let one = Rig::open(&settings).recovered().await;
    fill(*one, 100).await;
    let other = Rig::open(&settings).recovered().await;
    // The second read of each brings it up.
    for _ in 0..3 {
        assert_eq!(fresh(*other, 100).await, NAMES);
    }
    assert_eq!(other.stats().objects, 4, "all are in memory");
    one.purge_labels(&[Label::Tag("news")], false).await.unwrap();
    purge(*one, &key("/shop")).await.unwrap();
    until(|| other.disk().purges >= 2).await;
    assert_eq!(fresh(*other, 100).await, ["/plain"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_finds_what_is_purged_once_the_purge_is_answered() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    let shared: &'static Store = *store;
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    let _ = find(shared, &key("/")).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 0..200 {
        put_labelled(shared, "/", 10, &labelled("example.com", "/", &["tag"])).await;
        assert!(find(shared, &key("/")).await.is_some(), "{round}");
        shared.purge_labels(&[Label::Tag("tag")], false).await.unwrap();
        assert!(find(shared, &key("/")).await.is_none(), "{round}");
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn a_purge_that_no_disk_records_is_told() {
    let folder = folder();
    let store = Rig::open(&settings(folder.path()));
    put_labelled(*store, "/", 100, &labelled("example.com", "/", &["tag"])).await;
    store.break_journal(0);
    let error = store.purge_labels(&[Label::Tag("tag")], false).await.unwrap_err();
    assert_eq!(*error.etype(), crate::PURGE_NOT_RECORDED);
    assert!(find(*store, &key("/")).await.is_none(), "it holds all the same");
}
