//! The memory tier without the content: every decision of the real code, none of the bytes.
//!
//! For measuring hit ratios on traces that would not fit into this machine. The ledger, the shards, the queues and the
//! choice of what leaves are those of a running store; a fill begins and ends in one moment and its body is empty, but
//! weighs what a real one would.

use std::sync::Arc;
use std::time::SystemTime;

use pingora_cache::CacheMeta;
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::MemoryStore;
use crate::body::Builder;
use crate::entry::{OBJECT_OVERHEAD, Object};
use crate::head::Head;
use crate::storage::Names;

/// A store that is asked for numbers instead of URLs.
pub struct Simulation {
    store: MemoryStore,
    head: Arc<Head>,
}

impl Simulation {
    /// A simulation of `store`, which should be empty.
    ///
    /// # Errors
    /// When Pingora cannot encode a header.
    pub fn new(store: MemoryStore) -> Result<Self> {
        Ok(Self { store, head: head()? })
    }

    /// Bytes that a body of `length` bytes takes of the capacity.
    #[must_use]
    pub fn weight(&self, length: u64) -> u64 {
        OBJECT_OVERHEAD.saturating_add(self.head.bytes()).saturating_add(Builder::cost_of(length))
    }

    /// One request for `object`, which is `length` bytes long: whether it is a hit. After a miss it is stored, if the
    /// store would.
    pub fn request(&self, object: u64, length: u64) -> bool {
        let key = key_of(object);
        let hit = self.find(key).is_some();
        if !hit {
            self.fill(key, length, false);
        }
        hit
    }

    /// Whether `key` is there; if so, whether the disk has waited for this request. It counts as a use.
    pub(crate) fn find(&self, key: u128) -> Option<bool> {
        let entry = self.store.entry(key).filter(|entry| entry.object().is_some())?;
        let waited = entry.touch();
        entry.set_trial(false);
        Some(waited)
    }

    /// Whether `key` is there and was asked for again. It counts as no use.
    pub(crate) fn holds_dear(&self, key: u128) -> bool {
        self.store.holds_dear(key)
    }

    /// Stores an object of `length` bytes, if the store would. On trial, the disk waits for the next request for it.
    pub(crate) fn fill(&self, key: u128, length: u64, on_trial: bool) {
        let (names, weight) = (Names { key, family: key }, self.weight(length));
        if self.store.judge_size(names, Some(length)).is_none() && self.store.take(weight) {
            let shard = self.store.shard(key);
            let mut state = shard.lock();
            let entry = self.store.entry_or_new(names);
            let id = self.store.next_fill.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let head = Arc::clone(&self.head);
            let object = Object { head, body: Arc::default(), fill: id, weight, epoch: 0, judged: 0.into() };
            entry.swap_object(Some(Arc::new(object)));
            entry.set_trial(on_trial);
            shard.loaded(weight);
            state.queues.insert(&entry, weight);
        }
    }

    /// Bytes in use, of the capacity.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.store.ledger.used()
    }
}

/// The header that all simulated objects have.
pub(crate) fn head() -> Result<Arc<Head>> {
    let header = ResponseHeader::build(200, None)?;
    let now = SystemTime::now();
    Ok(Arc::new(Head::freeze(&CacheMeta::new(now, now, 0, 0, header))?))
}

/// The key of an object, spread over all bits as the real hash is.
pub(crate) fn key_of(object: u64) -> u128 {
    (u128::from(mix(object)) << 64) | u128::from(mix(object ^ 0x9e37_79b9_7f4a_7c15))
}

/// The finaliser of SplitMix64: every bit of the number changes half of the others.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
