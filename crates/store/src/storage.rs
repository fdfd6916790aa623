//! Pingora's view of the store.

use std::any::Any;

use async_trait::async_trait;
use pingora_cache::key::CacheHashKey;
use pingora_cache::storage::streaming_write::U64WriteId;
use pingora_cache::storage::{MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{CacheKey, CacheMeta, HitHandler};
use pingora_error::Result;

use crate::memory::MemoryStore;

/// The store gives its entries no identity beyond their key, so an identified target is never one of them.
pub(crate) fn is_ours(target: PurgeTarget<'_>) -> bool {
    match target {
        PurgeTarget::Active(_) => true,
        PurgeTarget::Exact(entry) => entry.entry_id().is_none(),
    }
}

#[async_trait]
impl Storage for MemoryStore {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        match self.find(key)? {
            None => self.find_whole(key),
            found => Ok(found),
        }
    }

    /// Finds the caller's own fill, even when a newer one or a purge has hidden it from everybody else.
    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        streaming_write_tag: Option<&[u8]>,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let Some(Ok(tag)) = streaming_write_tag.map(U64WriteId::try_from) else { return Ok(None) };
        self.find_fill(key, tag.into())
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<MissHandler> {
        self.begin_fill(key, meta)
    }

    /// Removes the key, and with a primary key all its variants. Responses requested before now are not
    /// stored, even if they are still on their way.
    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        purge_type: PurgeType,
        _: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        let removed = is_ours(target)
            && match purge_type {
                PurgeType::Invalidation => self.remove(target.key()),
                PurgeType::Eviction => self.remove_one(target.key()),
            };
        Ok(if removed { PurgeOutcome::Purged(None) } else { PurgeOutcome::NotFound })
    }

    /// Marks the key stale, and with a primary key all its variants, and what is still on its way.
    async fn expire(&'static self, target: PurgeTarget<'_>, _: &SpanHandle) -> Result<PurgeOutcome> {
        let expired = is_ours(target) && self.expire_now(target.key());
        Ok(if expired { PurgeOutcome::Expired } else { PurgeOutcome::NotFound })
    }

    /// Puts `meta` in the place of the header it was made from. Without effect, and false, when that object
    /// is gone or another one has come.
    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        self.refresh(key, meta)
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// The two names of a key in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    /// The hash of primary key and variance.
    pub(crate) key: u128,
    /// The hash of the primary key alone.
    pub(crate) family: u128,
}

impl Names {
    pub(crate) fn of(key: &impl CacheHashKey) -> Self {
        let primary = key.primary_bin();
        let family = u128::from_le_bytes(primary);
        let key = key.variance_bin().map_or(family, |variance| {
            // What `combined_bin` does, without hashing the primary key a second time.
            let mut both = [0; 32];
            both[..16].copy_from_slice(&primary);
            both[16..].copy_from_slice(&variance);
            u128::from_le_bytes(pingora_cache::key::hash_key(both))
        });
        Self { key, family }
    }
}
