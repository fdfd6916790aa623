//! One cache key in memory: its object, its running fill, how often it was hit, where it queues.

use std::sync::Arc;

use crate::body::Body;
use crate::fill::Fill;
use crate::head::Head;
use crate::sync::ArcSwapOption;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// Hits are counted up to here (S3-FIFO needs two bits); after that a hit writes nothing.
const MAX_HITS: u8 = 3;

/// What an object costs beside its header and body: the entry, the object, their map node and slot, the
/// queue ticket, the allowance for one ghost, and the allocator's rounding.
pub(crate) const OBJECT_OVERHEAD: u64 =
    (size_of::<Entry>() + size_of::<Object>() + size_of::<Body>()) as u64 + 256;
/// What a variant adds: its place in its family's list, and its share of that family.
pub(crate) const VARIANT_OVERHEAD: u64 = 96;

/// A complete response. Immutable: a refresh or a soft purge puts a new one in its place that shares the body.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) head: Arc<Head>,
    pub(crate) body: Arc<Body>,
    /// The fill that brought it; larger is newer.
    pub(crate) fill: u64,
    /// Bytes charged for it.
    pub(crate) weight: u64,
    /// The moment in the history of purges up to which it is known to be valid.
    pub(crate) epoch: u64,
    /// The generation of purges in which it was last judged; 0 when never.
    pub(crate) judged: AtomicU64,
}

impl Object {
    /// The same with another header.
    pub(crate) fn with_head(&self, head: Head, weight: u64, epoch: u64) -> Self {
        let (head, body) = (Arc::new(head), Arc::clone(&self.body));
        Self { head, body, fill: self.fill, weight, epoch, judged: AtomicU64::new(0) }
    }

    /// What `head` and `body` weigh together, in bytes.
    pub(crate) fn weigh(head: &Head, body: &Body, variant: bool) -> u64 {
        OBJECT_OVERHEAD.saturating_add(head.bytes()).saturating_add(body.bytes()).saturating_add(if variant {
            VARIANT_OVERHEAD
        } else {
            0
        })
    }
}

/// Where an entry queues. Changed only under its shard's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Nowhere = 0,
    Small = 1,
    Main = 2,
}

/// A slot of the table. Readers take what they need with atomic loads; everything else happens under the
/// lock of the shard that the entry belongs to.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The combined hash of primary key and variance.
    pub(crate) key: u128,
    /// The hash of the primary key: what a purge of the URL names.
    pub(crate) family: u128,
    object: ArcSwapOption<Object>,
    fill: ArcSwapOption<Fill>,
    filling: AtomicBool,
    hits: AtomicU8,
    place: AtomicU8,
    /// The disk waits for the second request for it.
    on_trial: AtomicBool,
    ticket: AtomicU64,
}

impl Entry {
    pub(crate) fn new(key: u128, family: u128) -> Self {
        Self {
            key,
            family,
            object: ArcSwapOption::empty(),
            fill: ArcSwapOption::empty(),
            filling: AtomicBool::new(false),
            hits: AtomicU8::new(0),
            place: AtomicU8::new(Place::Nowhere as u8),
            on_trial: AtomicBool::new(false),
            ticket: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_variant(&self) -> bool {
        self.key != self.family
    }

    /// The complete object, if there is one.
    pub(crate) fn object(&self) -> Option<Arc<Object>> {
        self.object.load_full()
    }

    /// Puts `object` in, and hands out what was there.
    pub(crate) fn swap_object(&self, object: Option<Arc<Object>>) -> Option<Arc<Object>> {
        self.object.swap(object)
    }

    /// The newest running fill, if there is one. Costs a plain load when there is none.
    pub(crate) fn fill(&self) -> Option<Arc<Fill>> {
        if self.filling.load(SeqCst) { self.fill.load_full() } else { None }
    }

    /// Shows `fill` to lookups.
    pub(crate) fn show_fill(&self, fill: Option<Arc<Fill>>) {
        self.filling.store(fill.is_some(), SeqCst);
        self.fill.store(fill);
    }

    /// Notes a hit. Racing hits may count as one; the counter only ranks. Whether the disk has waited for it.
    pub(crate) fn touch(&self) -> bool {
        let hits = self.hits.load(Relaxed);
        if hits >= MAX_HITS {
            return false;
        }
        self.hits.store(hits + 1, Relaxed);
        self.on_trial.load(Relaxed)
    }

    /// Whether the disk waits for the next request for its object. The caller holds the shard.
    pub(crate) fn set_trial(&self, on: bool) {
        self.on_trial.store(on, Relaxed);
    }

    pub(crate) fn is_on_trial(&self) -> bool {
        self.on_trial.load(Relaxed)
    }

    pub(crate) fn hits(&self) -> u8 {
        self.hits.load(Relaxed)
    }

    pub(crate) fn set_hits(&self, hits: u8) {
        self.hits.store(hits, Relaxed);
    }

    pub(crate) fn place(&self) -> Place {
        match self.place.load(Relaxed) {
            1 => Place::Small,
            2 => Place::Main,
            _ => Place::Nowhere,
        }
    }

    /// Queues the entry: from now on only the queue item with `ticket` stands for it.
    pub(crate) fn set_place(&self, place: Place, ticket: u64) {
        self.place.store(place as u8, Relaxed);
        self.ticket.store(ticket, Relaxed);
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.ticket.load(Relaxed)
    }
}
