//! Zones of the cache: each with a store and tables of its own, so that what one keeps is no room of another's.

use pingora_cache::key::CompactCacheKey;
use seawall_store::Store;

use crate::part_index::PartIndex;
use crate::predictor::Uncacheable;
use crate::search::SearchMemory;

/// Pieces that the keys known as uncacheable are split into.
const PREDICTOR_SHARDS: usize = 16;

/// How much the tables of a zone remember beside what its store keeps.
#[derive(Debug, Clone, Copy)]
pub struct ZoneLimits {
    /// Largest response stored, in bytes.
    pub max_object: usize,
    /// Parts whose bytes are known.
    pub indexed_parts: usize,
    /// Parts of one object.
    pub max_parts: usize,
    /// Keys remembered as uncacheable.
    pub uncacheable_keys: usize,
    /// Paths whose `No-Vary-Search` is remembered.
    pub search_paths: usize,
}

/// A part of the cache that routes choose. Everything that is bounded is bounded for itself, so that no zone makes room
/// in another.
pub struct Zone {
    /// Its name in the configuration, in metrics and in purges.
    pub name: Box<str>,
    /// The engine.
    pub store: &'static Store,
    /// Which parts of which objects are stored.
    pub parts: PartIndex,
    /// Which keys turned out to be uncacheable.
    pub predictor: Uncacheable<PREDICTOR_SHARDS>,
    /// Which query parameters make no difference, by path, as origins have said (No-Vary-Search).
    pub search: SearchMemory,
    /// Largest response stored, in bytes.
    pub max_object: usize,
}

impl Zone {
    /// A zone that lives as long as the process, as Pingora wants it.
    #[must_use]
    pub fn leak(name: &str, store: &'static Store, limits: ZoneLimits) -> &'static Self {
        Box::leak(Box::new(Self {
            name: name.into(),
            store,
            parts: PartIndex::new(limits.indexed_parts, limits.max_parts),
            predictor: Uncacheable::new(limits.uncacheable_keys.div_ceil(PREDICTOR_SHARDS)),
            search: SearchMemory::new(limits.search_paths),
            max_object: limits.max_object,
        }))
    }

    pub(crate) fn invalidate(&self, key: &CompactCacheKey) {
        self.store.invalidate(key);
    }
}
