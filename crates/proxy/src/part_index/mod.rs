//! Which parts of which objects are stored: what turns a range that nobody asked for before into a hit.
//!
//! The store finds a part by the very range that it was fetched for. This index knows the bytes of each, so that a
//! range within them finds it too. It only ever proposes: what it names is looked up in the store, and what is gone
//! there is taken off here. Forgetting an entry costs hits, nothing else.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use pingora_cache::CacheKey;
use pingora_cache::key::{CacheHashKey, HashBinary, hash_key};
use seawall_caching::partial::{Asked, Received, version};

/// So that requests for different URLs rarely meet. The bound is kept in each.
const SHARDS: usize = 16;

/// How long it is remembered that a URL has no parts worth storing. Origins learn, too.
const WHOLE_FOR: Duration = Duration::from_secs(3600);

/// One stored part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// What it was fetched for: its name in the store.
    pub(crate) asked: Asked,
    /// The bytes that it has.
    pub(crate) received: Received,
    /// The version of the object, hashed.
    version: Option<HashBinary>,
}

impl Part {
    /// A part with these bytes of a response with these fields.
    pub(crate) fn new(asked: Asked, received: Received, headers: &http::HeaderMap) -> Self {
        Self { asked, received, version: version(headers).map(hash_key) }
    }

    /// Whether both are of one version of the object.
    fn belongs_with(&self, other: &Self) -> bool {
        let lengths = (self.received.range.complete, other.received.range.complete);
        let same_length = !matches!(lengths, (Some(one), Some(two)) if one != two);
        same_length && self.version == other.version
    }
}

/// The key of the part of `whole` that was fetched for `asked`: a variant, so that a purge of the URL takes it along.
pub(crate) fn part_key(whole: &CacheKey, asked: &Asked) -> CacheKey {
    let mut key = whole.clone();
    key.set_variance_key(variance(asked));
    key
}

/// The variance of the part that was fetched for `asked`. The text can be no frame of `caching::vary`: those begin with
/// a length of eight bytes, and a part never has the other's primary.
pub(crate) fn variance(asked: &Asked) -> HashBinary {
    hash_key([&b"range "[..], asked.value().as_bytes()].concat())
}

/// An object, by the primary key of its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Url(u128);

impl Url {
    pub(crate) fn of(key: &CacheKey) -> Self {
        Self(u128::from_le_bytes(key.primary_bin()))
    }
}

/// Whether a part is the one that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    No,
    /// It is not stored any more.
    Gone,
}

#[derive(Debug, Default)]
struct Known {
    /// Oldest first.
    parts: Vec<Part>,
    whole_until: Option<Instant>,
}

impl Known {
    /// What it counts against the bound.
    fn weight(&self) -> usize {
        self.parts.len().max(1)
    }
}

#[derive(Debug)]
struct Shard {
    urls: LruCache<Url, Known, ahash::RandomState>,
    weight: usize,
}

impl Shard {
    /// Changes what is known of `url` and keeps count; what is empty afterwards goes.
    fn change<T>(&mut self, url: Url, change: impl FnOnce(&mut Known) -> T) -> T {
        let before = self.urls.peek(&url).map_or(0, Known::weight);
        let known = self.urls.get_or_insert_mut(url, Known::default);
        let result = change(known);
        let empty = known.parts.is_empty() && known.whole_until.is_none();
        let after = if empty { 0 } else { known.weight() };
        if empty {
            self.urls.pop(&url);
        }
        self.weight = self.weight.saturating_sub(before).saturating_add(after);
        result
    }
}

/// The bounded index of all parts.
#[derive(Debug)]
pub struct PartIndex {
    shards: Box<[Mutex<Shard>]>,
    per_shard: usize,
    per_url: usize,
    evicted: AtomicU64,
}

/// The state of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartIndexStats {
    /// Parts known now, and objects known to have none.
    pub entries: u64,
    /// The most there can be.
    pub capacity: u64,
    /// Entries forgotten for want of room.
    pub evicted: u64,
}

impl PartIndex {
    /// An index for so many parts in all, and so many of one object. At a limit the parts of the object that is longest
    /// unused go, and the oldest part of an object.
    #[must_use]
    pub fn new(parts: usize, per_url: usize) -> Self {
        let shard = || Shard { urls: LruCache::unbounded_with_hasher(ahash::RandomState::new()), weight: 0 };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            per_shard: parts.div_ceil(SHARDS).max(1),
            per_url: per_url.max(1),
            evicted: AtomicU64::new(0),
        }
    }

    fn shard(&self, url: Url) -> &Mutex<Shard> {
        &self.shards[(url.0 as usize) % SHARDS]
    }

    /// Adds `part`, in the place of the one that was fetched for the same.
    pub(crate) fn insert(&self, url: Url, part: Part) {
        let mut shard = self.shard(url).lock();
        let surplus = shard.change(url, |known| {
            known.parts.retain(|old| old.asked != part.asked);
            known.parts.push(part);
            let surplus = known.parts.len().saturating_sub(self.per_url);
            known.parts.drain(..surplus);
            surplus
        });
        self.trim(&mut shard, surplus);
    }

    /// Remembers for a while that requests for parts of this object had better fetch the whole.
    pub(crate) fn prefer_whole(&self, url: Url, now: Instant) {
        let mut shard = self.shard(url).lock();
        shard.change(url, |known| known.whole_until = now.checked_add(WHOLE_FOR));
        self.trim(&mut shard, 0);
    }

    fn trim(&self, shard: &mut Shard, mut evicted: usize) {
        while shard.weight > self.per_shard
            && let Some((_, known)) = shard.urls.pop_lru()
        {
            shard.weight = shard.weight.saturating_sub(known.weight());
            evicted = evicted.saturating_add(known.weight());
        }
        self.evicted.fetch_add(evicted as u64, Relaxed);
    }

    /// Whether the whole had better be fetched.
    pub(crate) fn prefers_whole(&self, url: Url, now: Instant) -> bool {
        let shard = self.shard(url).lock();
        shard.urls.peek(&url).and_then(|known| known.whole_until).is_some_and(|until| now < until)
    }

    /// The newest part of the object that fits; counts as a use of the object. What is found gone on the way is taken
    /// off.
    pub(crate) fn find(&self, url: Url, fit: impl Fn(&Part) -> Fit) -> Option<Part> {
        let mut shard = self.shard(url).lock();
        shard.urls.get(&url)?;
        shard.change(url, |known| {
            let mut at = known.parts.len();
            while let Some(before) = at.checked_sub(1) {
                at = before;
                match fit(&known.parts[at]) {
                    Fit::Yes => return Some(known.parts[at]),
                    Fit::No => {}
                    Fit::Gone => {
                        known.parts.remove(at);
                    }
                }
            }
            None
        })
    }

    /// Takes off, and hands out, the parts that do not belong with `part`.
    pub(crate) fn take_others(&self, url: Url, part: &Part) -> Vec<Part> {
        let mut shard = self.shard(url).lock();
        if !shard.urls.contains(&url) {
            return Vec::new();
        }
        shard.change(url, |known| known.parts.extract_if(.., |old| !old.belongs_with(part)).collect())
    }

    /// The state at this moment.
    #[must_use]
    pub fn stats(&self) -> PartIndexStats {
        PartIndexStats {
            entries: self.shards.iter().map(|shard| shard.lock().weight as u64).sum(),
            capacity: self.per_shard.saturating_mul(SHARDS) as u64,
            evicted: self.evicted.load(Relaxed),
        }
    }
}
