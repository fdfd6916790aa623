//! Parts: variants whose primary may never have been there.

use super::*;
use crate::OrWhole;

/// A 206 under `key`, whose variance Pingora expects in it.
fn part_meta(key: &CacheKey, length: usize) -> CacheMeta {
    let mut meta = meta(Some(length));
    meta.response_header_mut().set_status(206).unwrap();
    meta.set_variance_key(*key.get_variance_key().unwrap());
    meta
}

async fn put_part(store: &'static MemoryStore, key: &CacheKey, body: &[u8]) {
    put_with(store, key, &part_meta(key, body.len()), body).await;
}

#[tokio::test]
async fn a_part_needs_no_primary() {
    let store = store_of(ByteSize::mib(4));
    let (one, two) = (variant("/", 1), variant("/", 2));
    put_part(store, &one, b"one").await;
    put_part(store, &two, b"two").await;
    assert_eq!(body_of(store, &one).await.unwrap(), b"one");
    assert!(find(store, &key("/")).await.is_none());
    assert_eq!(purge(store, &key("/")).await, PurgeOutcome::Purged(None), "a purge of the URL takes them");
    assert!(find(store, &one).await.is_none() && find(store, &two).await.is_none());
    assert_eq!(purge(store, &key("/")).await, PurgeOutcome::NotFound);
    assert_consistent(store);
}

#[tokio::test]
async fn a_purge_of_the_url_keeps_a_part_on_its_way_out() {
    let store = store_of(ByteSize::mib(4));
    let one = variant("/", 1);
    let mut miss = begin(store, &one, &part_meta(&one, 3)).await;
    write(&mut miss, b"on").await;
    assert_eq!(purge(store, &key("/")).await, PurgeOutcome::Purged(None));
    write(&mut miss, b"e").await;
    miss.finish().await.unwrap();
    assert!(find(store, &one).await.is_none());
}

#[tokio::test]
async fn a_soft_purge_of_the_url_marks_its_parts_stale() {
    let store = store_of(ByteSize::mib(4));
    let one = variant("/", 1);
    put_part(store, &one, b"one").await;
    assert!(store.peek(&one).is_some_and(|fresh_until| fresh_until > SystemTime::now()));
    assert_eq!(expire(store, &key("/")).await, PurgeOutcome::Expired);
    assert!(store.peek(&one).is_some_and(|fresh_until| fresh_until <= SystemTime::now()));
}

#[tokio::test]
async fn parts_have_a_bound_of_their_own() {
    let settings =
        StoreSettings { max_variants: 2, max_parts: 5, shards: Some(2), ..StoreSettings::default() };
    let store = store(settings);
    for variance in 0..20 {
        put_part(store, &variant("/", variance), b"x").await;
    }
    assert_eq!(store.stats().objects, 5);
    assert!(find(store, &variant("/", 14)).await.is_none(), "the oldest went");
    assert!(find(store, &variant("/", 15)).await.is_some());
    // Control: what is no part has the bound of variants.
    for variance in 0..20 {
        put(store, &variant("/other", variance), b"x").await;
    }
    assert_eq!(store.stats().objects, 7);
    assert_consistent(store);
}

#[tokio::test]
async fn the_whole_stands_in_for_a_part_that_is_not_there() {
    let store = store_of(ByteSize::mib(4));
    let plain = variant("/", 1);
    let mut marked = plain.clone();
    marked.extensions.insert(OrWhole);
    assert!(find(store, &marked).await.is_none());
    put(store, &key("/"), b"whole").await;
    let (meta_found, mut hit) = find(store, &marked).await.unwrap();
    assert_eq!(meta_found.variance(), Some([1; 16]), "or Pingora would refuse it");
    assert_eq!(read_all(&mut hit).await.unwrap(), b"whole");
    assert!(find(store, &plain).await.is_none(), "control: without the mark it does not");
    put_part(store, &plain, b"part").await;
    assert_eq!(body_of(store, &marked).await.unwrap(), b"part", "the part goes first");
}

#[tokio::test]
async fn a_whole_that_is_stale_or_has_variants_does_not_stand_in() {
    let store = store_of(ByteSize::mib(4));
    for (name, change) in [
        ("/stale", (|meta| meta.expire_at(SystemTime::now())) as fn(&mut CacheMeta)),
        ("/varies", |meta| meta.set_variance_key([9; 16])),
    ] {
        let mut marked = variant(name, 1);
        marked.extensions.insert(OrWhole);
        let mut whole = meta(Some(1));
        change(&mut whole);
        put_with(store, &key(name), &whole, b"w").await;
        assert!(find(store, &key(name)).await.is_some());
        assert!(find(store, &marked).await.is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_peek_sees_what_a_lookup_would_and_counts_nothing() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    assert_eq!(store.peek(&key), None);
    let fresh = meta(Some(4));
    let mut miss = begin(store, &key, &fresh).await;
    assert_eq!(store.peek(&key), Some(fresh.fresh_until()), "on its way");
    write(&mut miss, b"body").await;
    miss.finish().await.unwrap();
    assert_eq!(store.peek(&key), Some(fresh.fresh_until()));
    let stats = store.stats();
    assert_eq!((stats.hits, stats.misses), (0, 0));
    let broken = begin(store, &variant("/", 1), &fresh).await;
    drop(broken);
    assert_eq!(store.peek(&variant("/", 1)), None);
}
