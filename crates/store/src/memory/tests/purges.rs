use super::*;

#[tokio::test]
async fn a_purge_removes() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    assert_eq!(purge(store, &key).await, PurgeOutcome::NotFound);
    put(store, &key, b"x").await;
    let (_, mut reader) = find(store, &key).await.unwrap();
    assert_eq!(purge(store, &key).await, PurgeOutcome::Purged(None));
    assert!(find(store, &key).await.is_none());
    assert_eq!(read_all(&mut reader).await.unwrap(), b"x", "who was reading reads on");
    assert_eq!(store.stats().bytes, store.stats().pinned_bytes, "it takes room as long as somebody has it");
    drop(reader);
    assert_eq!(store.stats().bytes, 0);
    put(store, &key, b"y").await;
    assert_eq!(body_of(store, &key).await.unwrap(), b"y", "a later fill is stored");
}

#[tokio::test]
async fn a_purge_keeps_a_running_fill_out() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    let mut miss = begin(store, &key, &meta(None)).await;
    let mut own = own_reader(store, &key, &miss).await;
    write(&mut miss, b"old").await;
    assert_eq!(purge(store, &key).await, PurgeOutcome::Purged(None));
    assert!(find(store, &key).await.is_none(), "nobody joins it any more");
    let mut again = own_reader(store, &key, &miss).await;
    write(&mut miss, b"er").await;
    miss.finish().await.unwrap();
    assert_eq!(read_all(&mut own).await.unwrap(), b"older", "its own client gets it");
    assert_eq!(read_all(&mut again).await.unwrap(), b"older");
    assert!(find(store, &key).await.is_none());
    drop((own, again));
    let stats = store.stats();
    assert_eq!((stats.fills_purged, stats.bytes), (1, 0));
}

#[tokio::test]
async fn a_purge_keeps_out_what_was_requested_before_it() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    let (before, epoch) = (meta(Some(3)), store.epoch());
    purge(store, &key).await;
    let mut with_epoch = super::meta(Some(3));
    with_epoch.extensions_mut().insert(epoch);
    put_with(store, &key, &with_epoch, b"old").await;
    assert!(find(store, &key).await.is_none());
    // Negative control: the same response without the epoch would be stored.
    put_with(store, &key, &before, b"old").await;
    assert!(find(store, &key).await.is_some());
    let mut later = meta(Some(3));
    later.extensions_mut().insert(store.epoch());
    put_with(store, &key, &later, b"new").await;
    let (found, _) = find(store, &key).await.unwrap();
    assert!(found.extensions().get::<crate::Epoch>().is_none(), "the epoch is not stored");
}

#[tokio::test]
async fn a_purge_of_the_primary_takes_its_variants_along() {
    let store = store_of(ByteSize::mib(4));
    put(store, &key("/"), b"primary").await;
    put(store, &variant("/", 1), b"one").await;
    put(store, &variant("/", 2), b"two").await;
    put(store, &variant("/other", 1), b"other").await;
    let mut filling = begin(store, &variant("/", 3), &meta(None)).await;
    write(&mut filling, b"three").await;
    assert_eq!(purge(store, &key("/")).await, PurgeOutcome::Purged(None));
    filling.finish().await.unwrap();
    for gone in [key("/"), variant("/", 1), variant("/", 2), variant("/", 3)] {
        assert!(find(store, &gone).await.is_none());
    }
    assert_eq!(body_of(store, &variant("/other", 1)).await.unwrap(), b"other");
    assert_eq!(store.stats().purged_objects, 3);
    assert_consistent(store);
}

#[tokio::test]
async fn a_purge_of_a_variant_leaves_the_others() {
    let store = store_of(ByteSize::mib(4));
    put(store, &key("/"), b"primary").await;
    put(store, &variant("/", 1), b"one").await;
    put(store, &variant("/", 2), b"two").await;
    purge(store, &variant("/", 1)).await;
    assert!(find(store, &variant("/", 1)).await.is_none());
    assert_eq!(body_of(store, &variant("/", 2)).await.unwrap(), b"two");
    assert_eq!(body_of(store, &key("/")).await.unwrap(), b"primary");
}

#[tokio::test]
async fn a_purge_finds_variants_whose_primary_is_gone() {
    let store = store_of(ByteSize::mib(4));
    put(store, &variant("/", 1), b"one").await;
    assert_eq!(purge(store, &key("/")).await, PurgeOutcome::Purged(None));
    assert!(find(store, &variant("/", 1)).await.is_none());
}

#[tokio::test]
async fn a_new_primary_drops_the_variants_it_hides() {
    let store = store_of(ByteSize::mib(4));
    put(store, &key("/"), b"primary").await;
    put(store, &variant("/", 1), b"one").await;
    let same_family = meta(Some(3));
    let created = same_family.created();
    put_with(store, &key("/"), &same_family, b"new").await;
    assert!(find(store, &variant("/", 1)).await.is_none(), "older than its primary's provenance");
    let mut later = meta(Some(3));
    assert!(later.created() >= created);
    later.set_variance([1; 16]);
    put_with(store, &variant("/", 1), &later, b"uno").await;
    assert!(find(store, &variant("/", 1)).await.is_some());
    assert_consistent(store);
}

#[tokio::test]
async fn variants_of_one_url_are_bounded() {
    let settings = StoreSettings { max_variants: 3, ..StoreSettings::default() };
    let store = store(settings);
    for i in 0..10 {
        put(store, &variant("/", i), b"v").await;
    }
    let stats = store.stats();
    assert_eq!((stats.objects, stats.variants_dropped), (3, 7));
    assert!(find(store, &variant("/", 6)).await.is_none());
    assert!(find(store, &variant("/", 7)).await.is_some());
    assert_consistent(store);
}

#[tokio::test]
async fn a_route_may_keep_fewer_variants() {
    let store = store_of(ByteSize::mib(4));
    for i in 0..5 {
        let mut meta = meta(Some(1));
        meta.extensions_mut().insert(crate::VariantLimit(2));
        put_with(store, &variant("/", i), &meta, b"v").await;
    }
    assert_eq!(store.stats().objects, 2);
    assert_consistent(store);
}

#[tokio::test]
async fn a_soft_purge_leaves_it_stale_with_its_windows() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    assert_eq!(expire(store, &key).await, PurgeOutcome::NotFound);
    put(store, &key, b"x").await;
    put(store, &variant("/", 1), b"v").await;
    assert_eq!(expire(store, &key).await, PurgeOutcome::Expired);
    for key in [key, variant("/", 1)] {
        let (meta, mut hit) = find(store, &key).await.unwrap();
        let now = SystemTime::now();
        assert!(!meta.is_fresh(now));
        assert!(meta.serve_stale_while_revalidate(now));
        assert!(!meta.serve_stale_while_revalidate(now + Duration::from_secs(31)));
        assert_eq!(read_all(&mut hit).await.unwrap().len(), 1);
    }
    assert_eq!(store.stats().expired_objects, 2);
}

#[tokio::test]
async fn a_soft_purge_reaches_what_is_on_its_way() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    let before = store.epoch();
    let mut miss = begin(store, &key, &meta(Some(1))).await;
    assert_eq!(expire(store, &key).await, PurgeOutcome::Expired);
    assert!(!find(store, &key).await.unwrap().0.is_fresh(SystemTime::now()), "while it runs");
    write(&mut miss, b"x").await;
    miss.finish().await.unwrap();
    assert!(!find(store, &key).await.unwrap().0.is_fresh(SystemTime::now()), "and once it is stored");
    let mut late = meta(Some(1));
    late.extensions_mut().insert(before);
    put_with(store, &key, &late, b"y").await;
    assert!(!find(store, &key).await.unwrap().0.is_fresh(SystemTime::now()), "requested before");
    put(store, &key, b"z").await;
    assert!(find(store, &key).await.unwrap().0.is_fresh(SystemTime::now()), "requested after");
}

/// What Pingora makes of a 304: the old time of admission, a new header.
fn refreshed(old: &CacheMeta, etag: &str) -> CacheMeta {
    let mut header = old.response_header_copy();
    header.insert_header("ETag", etag).unwrap();
    CacheMeta::new(SystemTime::now() + Duration::from_secs(600), old.created(), 0, 0, header)
}

#[tokio::test]
async fn a_304_replaces_the_header_and_keeps_the_body() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    put(store, &key, b"body").await;
    let (old, mut reader) = find(store, &key).await.unwrap();
    let mut long = refreshed(&old, &"e".repeat(3000));
    long.extensions_mut().insert(store.epoch());
    assert!(refresh(store, &key, &long).await);
    let (new, _) = find(store, &key).await.unwrap();
    assert_eq!(new.headers()["etag"].len(), 3000);
    assert_eq!(new.stale_if_error_sec(), 0);
    assert_eq!(read_all(&mut reader).await.unwrap(), b"body", "who was reading reads on");
    assert_eq!(body_of(store, &key).await.unwrap(), b"body");
    assert_consistent(store);
    assert!(refresh(store, &key, &refreshed(&old, "\"s\"")).await, "a shorter header gives bytes back");
    assert_consistent(store);
}

#[tokio::test]
async fn a_304_that_does_not_fit_evicts_nobody_in_vain() {
    let settings = StoreSettings {
        memory: ByteSize::mib(1),
        max_object: ByteSize::mib(1),
        fill_memory: Some(ByteSize::mib(1)),
        ..StoreSettings::default()
    };
    let store = store(settings);
    let key = key("/");
    put(store, &key, b"x").await;
    let (old, _) = find(store, &key).await.unwrap();
    let _running = begin(store, &super::key("/other"), &meta(Some(1000 << 10))).await;
    assert!(!refresh(store, &key, &refreshed(&old, &"e".repeat(40_000))).await);
    assert_eq!(store.stats().objects, 1);
    assert_consistent(store);
}

#[tokio::test]
async fn a_304_never_reaches_another_object() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    assert!(!refresh(store, &key, &meta(None)).await, "nothing there");
    put(store, &key, b"old").await;
    let (old, _) = find(store, &key).await.unwrap();
    put(store, &key, b"newer").await;
    assert!(!refresh(store, &key, &refreshed(&old, "\"304\"")).await);
    assert_eq!(find(store, &key).await.unwrap().0.headers()["etag"], "\"v1\"");
    purge(store, &key).await;
    assert!(!refresh(store, &key, &refreshed(&old, "\"304\"")).await, "purged");
}

#[tokio::test]
async fn a_304_does_not_undo_a_soft_purge() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    put(store, &key, b"x").await;
    let (old, _) = find(store, &key).await.unwrap();
    let before = store.epoch();
    expire(store, &key).await;
    let mut late = refreshed(&old, "\"304\"");
    late.extensions_mut().insert(before);
    assert!(refresh(store, &key, &late).await);
    assert!(!find(store, &key).await.unwrap().0.is_fresh(SystemTime::now()));
    let mut after = refreshed(&old, "\"304\"");
    after.extensions_mut().insert(store.epoch());
    assert!(refresh(store, &key, &after).await);
    assert!(find(store, &key).await.unwrap().0.is_fresh(SystemTime::now()), "requested after the purge");
}

#[tokio::test]
async fn clearing_brings_the_memory_to_zero() {
    let store = store_of(ByteSize::mib(4));
    let before = store.epoch();
    for i in 0..50 {
        put(store, &key(&format!("/{i}")), &[0; 1000]).await;
        put(store, &variant(&format!("/{i}"), 1), &[0; 1000]).await;
    }
    let mut miss = begin(store, &key("/running"), &meta(None)).await;
    write(&mut miss, b"x").await;
    assert_eq!(store.clear(), 100);
    assert!(find(store, &key("/running")).await.is_none());
    miss.finish().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.objects, stats.bytes, stats.fill_bytes), (0, 0, 0));
    assert!(store.table.is_empty());
    let mut late = meta(Some(1));
    late.extensions_mut().insert(before);
    put_with(store, &key("/late"), &late, b"x").await;
    assert!(find(store, &key("/late")).await.is_none(), "requested before");
    put(store, &key("/new"), b"x").await;
    assert!(find(store, &key("/new")).await.is_some());
    assert_consistent(store);
}

#[tokio::test]
async fn an_eviction_by_pingora_is_no_purge() {
    let store = store_of(ByteSize::mib(4));
    put(store, &key("/"), b"x").await;
    put(store, &variant("/", 1), b"v").await;
    let epoch = store.epoch();
    let target = key("/").to_compact();
    let span = Span::inactive().handle();
    store.purge(PurgeTarget::Active(&target), PurgeType::Eviction, &span).await.unwrap();
    assert!(find(store, &key("/")).await.is_none());
    assert!(find(store, &variant("/", 1)).await.is_some());
    assert_eq!(store.epoch(), epoch);
}
