//! Both tiers together, on real files.

mod admission;
mod eviction;
mod faults;
mod labels;
mod model;
mod purges;
mod restart;
mod room;
mod slow;
mod stalled;
mod tiers;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora_cache::storage::{PurgeOutcome, Storage};
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use seawall_config::units::ByteSize;
use tempfile::TempDir;

use crate::disk::io::{Files, RealFiles};
use crate::testing::{begin, body_of, expire, find, key, meta, own_reader, purge, read_all, variant};
use crate::{DiskSettings, DiskStats, Label, Labels, NoExtensions, Store, StoreError, StoreSettings};

/// Bodies over this go into files of their own.
const LARGE: usize = 128 << 10;

fn settings(path: &Path) -> StoreSettings {
    StoreSettings {
        memory: ByteSize::mib(4),
        max_object: ByteSize::mib(8),
        memory_object: Some(ByteSize(LARGE as u64)),
        disk: vec![DiskSettings::new(path, ByteSize::mib(32))].into(),
        shards: Some(1),
        ..StoreSettings::default()
    }
}

/// A store that takes its leave when the test ends.
struct Rig {
    store: &'static Store,
    /// Gone without a word, as after a kill.
    vanished: bool,
}

impl std::ops::Deref for Rig {
    type Target = &'static Store;
    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !self.vanished {
            self.store.close();
        }
    }
}

impl Rig {
    fn open(settings: &StoreSettings) -> Self {
        Self::try_on(&(Arc::new(RealFiles) as Arc<dyn Files>), settings).unwrap()
    }

    fn try_on(files: &Arc<dyn Files>, settings: &StoreSettings) -> std::result::Result<Self, StoreError> {
        Store::open_on(files, settings, Arc::new(NoExtensions)).map(|store| Self { store, vanished: false })
    }

    fn kill(mut self) {
        self.vanished = true;
        self.store.vanish();
    }

    fn disk(&self) -> DiskStats {
        self.store.disk_stats().remove(0)
    }

    async fn recovered(self) -> Self {
        until(|| self.store.is_recovered()).await;
        self
    }
}

async fn until(ready: impl Fn() -> bool) {
    let started = Instant::now();
    while !ready() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never came true");
        tokio::task::yield_now().await;
    }
}

/// The body that belongs to `name`: no two are alike, and no two places in one.
fn body(name: &str, len: usize) -> Vec<u8> {
    let seed = u128::from_le_bytes(pingora_cache::key::hash_key(name));
    let mut state = (seed as u64) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Stores `bytes` with their own client reading along, as Pingora does it. What the client got.
async fn put_and_read(store: &'static Store, key: &CacheKey, known: bool, bytes: &[u8]) -> Result<Vec<u8>> {
    let meta = meta(known.then_some(bytes.len()));
    if store.refusal(key, meta.response_header()).is_some() {
        // Then it goes past the cache.
        return Ok(bytes.to_vec());
    }
    let mut miss = begin(store, key, &meta).await?;
    let mut own = own_reader(store, key, &miss).await;
    let mut seen = Vec::new();
    for part in bytes.chunks(20_000) {
        miss.write_body(Bytes::copy_from_slice(part), false).await?;
        while seen.len() < bytes.len()
            && let Ok(Some(some)) =
                tokio::time::timeout(Duration::ZERO, own.read_body()).await.unwrap_or(Ok(None))
        {
            seen.extend_from_slice(&some);
        }
    }
    miss.finish().await?;
    while let Some(some) = own.read_body().await? {
        seen.extend_from_slice(&some);
    }
    Ok(seen)
}

async fn put(store: &'static Store, name: &str, len: usize) {
    let bytes = body(name, len);
    assert!(put_and_read(store, &key(name), true, &bytes).await.unwrap() == bytes, "{name}");
}

/// Whether `name` is there, with the body that belongs to it.
async fn has(store: &'static Store, name: &str, len: usize) -> bool {
    match body_of(store, &key(name)).await {
        Some(found) => {
            assert!(found == body(name, len), "{name}: a body of {} bytes that is not its own", found.len());
            true
        }
        None => false,
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}
