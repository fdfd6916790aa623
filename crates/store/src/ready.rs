//! A complete response as it lies in memory, for those who copy nothing of it.
//!
//! Pingora wants a copy of the header for each hit ([`Storage::lookup`](pingora_cache::storage::Storage::lookup)). Who
//! answers without Pingora's cache finds the same objects here, under the same rules: what a purge forbids is not found,
//! and neither is anything on its way in, which has readers of its own.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::Extensions;
use pingora_cache::CacheKey;
use pingora_cache::key::HashBinary;
use pingora_http::ResponseHeader;

use crate::entry::{Entry, Object};
use crate::memory::MemoryStore;
use crate::storage::Names;

/// A response in memory. Until it is [counted](crate::Store::count_hit) nobody has asked for it.
#[derive(Debug)]
pub struct Ready {
    object: Arc<Object>,
    entry: Arc<Entry>,
}

impl Ready {
    /// Its head as it was stored.
    #[must_use]
    pub fn header(&self) -> &ResponseHeader {
        self.object.head.header()
    }

    /// What was stored with it.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.object.head.extensions()
    }

    /// Until when it is fresh.
    #[must_use]
    pub fn fresh_until(&self) -> SystemTime {
        self.object.head.fresh_until()
    }

    /// When it was admitted.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        self.object.head.created()
    }

    /// Variants that were admitted before this moment do not count.
    #[must_use]
    pub fn provenance(&self) -> SystemTime {
        self.object.head.provenance()
    }

    /// Which variant of its URL it is.
    #[must_use]
    pub fn variance(&self) -> Option<HashBinary> {
        self.object.head.variance()
    }

    /// Bytes of its body.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.object.body.len()
    }

    /// The bytes of its body from `at` to the end of their piece, without a copy; none at the end.
    #[must_use]
    pub fn piece(&self, at: u64) -> Option<Bytes> {
        self.object.body.read(at, u64::MAX)
    }
}

impl MemoryStore {
    /// The complete response under `key`. None while a newer one is on its way in.
    pub(crate) fn ready(&self, key: &CacheKey) -> Option<Ready> {
        let names = Names::of(key);
        let table = self.table().pin();
        let entry = table.get(&names.key)?;
        if entry.fill().is_some() {
            return None;
        }
        let object = entry.object().and_then(|object| self.valid(entry, object))?;
        Some(Ready { object, entry: Arc::clone(entry) })
    }

    pub(crate) fn count_hit(&self, ready: &Ready) {
        ready.entry.touch();
        self.counters().hit();
    }
}
