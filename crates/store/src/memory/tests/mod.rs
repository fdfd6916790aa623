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
use pingora_cache::{CacheKey, CacheMeta};
use seawall_config::units::ByteSize;

use super::MemoryStore;
use crate::StoreSettings;
use crate::testing::{self, body_of, find, key, meta, own_reader, read_all, variant};

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

async fn begin(store: &'static MemoryStore, key: &CacheKey, meta: &CacheMeta) -> MissHandler {
    testing::begin(store, key, meta).await.unwrap()
}

async fn purge(store: &'static MemoryStore, key: &CacheKey) -> PurgeOutcome {
    testing::purge(store, key).await.unwrap()
}

async fn expire(store: &'static MemoryStore, key: &CacheKey) -> PurgeOutcome {
    testing::expire(store, key).await.unwrap()
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

async fn refresh(store: &'static MemoryStore, key: &CacheKey, meta: &CacheMeta) -> bool {
    store.update_meta(key, meta, &Span::inactive().handle()).await.unwrap()
}

/// What the queues, shards and ledger say must be one and the same.
fn assert_consistent(store: &MemoryStore) {
    let stats = store.stats();
    assert!(stats.bytes <= stats.capacity_bytes, "{stats:?}");
    let loads: u64 = store.shards.iter().map(super::Shard::load).sum();
    assert_eq!(stats.small_bytes + stats.main_bytes, loads, "{stats:?}");
    assert_eq!(stats.bytes, loads + stats.fill_bytes + stats.pinned_bytes, "{stats:?}");
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
