//! What the tests of both tiers ask of a store.

use std::time::{Duration, SystemTime};

use pingora_cache::storage::{MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta, HitHandler};
use pingora_error::Result;
use pingora_http::ResponseHeader;

pub(crate) fn key(name: &str) -> CacheKey {
    CacheKey::new(name, "")
}

pub(crate) fn variant(name: &str, variance: u8) -> CacheKey {
    let mut key = key(name);
    key.set_variance_key([variance; 16]);
    key
}

/// A response fresh for a minute; with a Content-Length where one is given.
pub(crate) fn meta(length: Option<usize>) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    header.insert_header("ETag", "\"v1\"").unwrap();
    if let Some(length) = length {
        header.insert_header("Content-Length", length.to_string()).unwrap();
    }
    let now = SystemTime::now();
    CacheMeta::new(now + Duration::from_secs(60), now, 30, 30, header)
}

pub(crate) async fn begin<S: Storage + Sync>(
    store: &'static S,
    key: &CacheKey,
    meta: &CacheMeta,
) -> Result<MissHandler> {
    store.get_miss_handler(key, meta, &Span::inactive().handle()).await
}

/// The reader of the request that writes, as Pingora gets it.
pub(crate) async fn own_reader<S: Storage + Sync>(
    store: &'static S,
    key: &CacheKey,
    miss: &MissHandler,
) -> HitHandler {
    let tag = miss.streaming_write_tag();
    store.lookup_streaming_write(key, tag, &Span::inactive().handle()).await.unwrap().unwrap().1
}

pub(crate) async fn find<S: Storage + Sync>(
    store: &'static S,
    key: &CacheKey,
) -> Option<(CacheMeta, HitHandler)> {
    store.lookup(key, &Span::inactive().handle()).await.unwrap()
}

pub(crate) async fn read_all(hit: &mut HitHandler) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = hit.read_body().await? {
        assert!(!bytes.is_empty(), "an empty read would end the response");
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

pub(crate) async fn body_of<S: Storage + Sync>(store: &'static S, key: &CacheKey) -> Option<Vec<u8>> {
    let (_, mut hit) = find(store, key).await?;
    Some(read_all(&mut hit).await.unwrap())
}

pub(crate) async fn purge<S: Storage + Sync>(store: &'static S, key: &CacheKey) -> Result<PurgeOutcome> {
    let key = key.to_compact();
    store.purge(PurgeTarget::Active(&key), PurgeType::Invalidation, &Span::inactive().handle()).await
}

pub(crate) async fn expire<S: Storage + Sync>(store: &'static S, key: &CacheKey) -> Result<PurgeOutcome> {
    let key = key.to_compact();
    store.expire(PurgeTarget::Active(&key), &Span::inactive().handle()).await
}
