//! The store as Pingora sees it.

mod eviction;
mod fills;
mod model;
mod parts;
mod purges;
mod ranges;
mod threads;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pingora_cache::storage::{MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta, HitHandler};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use seawall_config::units::ByteSize;

use super::MemoryStore;
use crate::StoreSettings;

fn store_of(memory: ByteSize) -> &'static MemoryStore {
    store(StoreSettings {
        memory,
        max_object: ByteSize::kib(256),
        shards: Some(2),
        ..StoreSettings::default()
    })
}

fn store(settings: StoreSettings) -> &'static MemoryStore {
    MemoryStore::leak(&settings).unwrap()
}

fn key(name: &str) -> CacheKey {
    CacheKey::new(name, "")
}

fn variant(name: &str, variance: u8) -> CacheKey {
    let mut key = key(name);
    key.set_variance_key([variance; 16]);
    key
}

/// A response fresh for a minute; with a Content-Length where one is given.
fn meta(length: Option<usize>) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    header.insert_header("ETag", "\"v1\"").unwrap();
    if let Some(length) = length {
        header.insert_header("Content-Length", length.to_string()).unwrap();
    }
    let now = SystemTime::now();
    CacheMeta::new(now + Duration::from_secs(60), now, 30, 30, header)
}

async fn begin(store: &'static MemoryStore, key: &CacheKey, meta: &CacheMeta) -> MissHandler {
    store.get_miss_handler(key, meta, &Span::inactive().handle()).await.unwrap()
}

async fn write(miss: &mut MissHandler, data: &[u8]) {
    miss.write_body(Bytes::copy_from_slice(data), false).await.unwrap();
}

async fn put(store: &'static MemoryStore, key: &CacheKey, body: &[u8]) {
    put_with(store, key, &meta(Some(body.len())), body).await;
}

async fn put_with(store: &'static MemoryStore, key: &CacheKey, meta: &CacheMeta, body: &[u8]) {
    let mut miss = begin(store, key, meta).await;
    write(&mut miss, body).await;
    miss.finish().await.unwrap();
}

async fn find(store: &'static MemoryStore, key: &CacheKey) -> Option<(CacheMeta, HitHandler)> {
    store.lookup(key, &Span::inactive().handle()).await.unwrap()
}

/// The reader of the request that writes, as Pingora gets it.
async fn own_reader(store: &'static MemoryStore, key: &CacheKey, miss: &MissHandler) -> HitHandler {
    let tag = miss.streaming_write_tag();
    store.lookup_streaming_write(key, tag, &Span::inactive().handle()).await.unwrap().unwrap().1
}

async fn read_all(hit: &mut HitHandler) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = hit.read_body().await? {
        assert!(!bytes.is_empty(), "an empty read would end the response");
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

async fn body_of(store: &'static MemoryStore, key: &CacheKey) -> Option<Vec<u8>> {
    let (_, mut hit) = find(store, key).await?;
    Some(read_all(&mut hit).await.unwrap())
}

async fn purge(store: &'static MemoryStore, key: &CacheKey) -> PurgeOutcome {
    let key = key.to_compact();
    let span = Span::inactive().handle();
    store.purge(PurgeTarget::Active(&key), PurgeType::Invalidation, &span).await.unwrap()
}

async fn expire(store: &'static MemoryStore, key: &CacheKey) -> PurgeOutcome {
    let key = key.to_compact();
    store.expire(PurgeTarget::Active(&key), &Span::inactive().handle()).await.unwrap()
}

async fn refresh(store: &'static MemoryStore, key: &CacheKey, meta: &CacheMeta) -> bool {
    store.update_meta(key, meta, &Span::inactive().handle()).await.unwrap()
}

/// What the queues, shards and ledger say must be one and the same.
fn assert_consistent(store: &MemoryStore) {
    let stats = store.stats();
    assert!(stats.bytes <= stats.capacity_bytes, "{stats:?}");
    let loads: u64 = store.shards.iter().map(super::Shard::load).sum();
    assert_eq!(stats.small_bytes + stats.main_bytes, loads, "{stats:?}");
    assert_eq!(stats.bytes, loads + stats.fill_bytes, "{stats:?}");
    let table = store.table.pin();
    let weights = table.values().filter_map(|entry| entry.object()).map(|object| object.weight);
    assert_eq!(weights.sum::<u64>(), loads);
}

/// Waits until `ready` holds.
async fn until(ready: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !ready() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never came true");
        tokio::task::yield_now().await;
    }
}
