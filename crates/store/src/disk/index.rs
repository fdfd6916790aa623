//! Where objects are: a compact map from key to place, 16 bytes a slot.
//!
//! 256 shards, each an open-addressed table of its own with linear probing. A slot keeps 32 bits of the key; with
//! the shard that makes 40. Two keys that agree in them displace each other, which costs a hit once in some
//! hundred thousand lookups at 10 million objects, and never a wrong body: the record has the whole key.
//!
//! The home of a slot follows from the stored bits alone, so a shard grows by a quarter at a time without reading
//! a record. At the fullest (85 %) an object costs 18.8 bytes, right after growing 23.5.

use parking_lot::Mutex;

use super::record::UNIT;

const SHARDS: usize = 256;
const FIRST: usize = 16;
/// Reads counted per object, for the choice of what to keep.
const MAX_READS: u64 = 3;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of its segment in this process.
    pub(crate) segment: u32,
    /// In bytes.
    pub(crate) offset: u64,
}

/// What the index knows of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    /// The record's length on disk, in bytes.
    pub(crate) len: u64,
    /// Reads since it was written, up to 3.
    pub(crate) reads: u8,
    pub(crate) kind: Kind,
}

/// What lies at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record with its body.
    Whole = 0,
    /// The metadata of a body in a file of its own.
    File = 1,
    /// The metadata of a body in another record.
    Link = 2,
}

impl Kind {
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::File,
            2 => Self::Link,
            _ => Self::Whole,
        }
    }
}

/// fingerprint 32, length 22, reads 2, kind 2, free 6 | segment 24, offset 26, free 14.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    what: u64,
    place: u64,
}

const LEN_BITS: u64 = (1 << 22) - 1;
const KIND_SHIFT: u64 = 56;
/// The largest number of a segment.
pub(crate) const MAX_SEGMENT: u32 = (1 << 24) - 1;
const OFFSET_BITS: u64 = (1 << 26) - 1;

impl Slot {
    fn new(fingerprint: u32, found: Found) -> Self {
        let what = u64::from(fingerprint)
            | (((found.len / UNIT) & LEN_BITS) << 32)
            | (u64::from(found.reads).min(MAX_READS) << 54)
            | ((found.kind as u64) << KIND_SHIFT);
        Self { what, place: pack(found.place) }
    }

    /// Segments are numbered from 1, so a place is never 0.
    fn is_free(self) -> bool {
        self.place == 0
    }

    #[allow(clippy::cast_possible_truncation, reason = "the low half is the fingerprint")]
    fn fingerprint(self) -> u32 {
        self.what as u32
    }

    #[allow(clippy::cast_possible_truncation, reason = "both are masked to fewer bits")]
    fn found(self) -> Found {
        Found {
            place: Place {
                segment: (self.place & u64::from(MAX_SEGMENT)) as u32,
                offset: ((self.place >> 24) & OFFSET_BITS) * UNIT,
            },
            len: ((self.what >> 32) & LEN_BITS) * UNIT,
            reads: ((self.what >> 54) & MAX_READS) as u8,
            kind: Kind::from_bits(((self.what >> KIND_SHIFT) & 3) as u8),
        }
    }
}

fn pack(place: Place) -> u64 {
    u64::from(place.segment & MAX_SEGMENT) | (((place.offset / UNIT) & OFFSET_BITS) << 24)
}

#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Slot>,
    used: usize,
}

impl Shard {
    fn home(&self, fingerprint: u32) -> usize {
        usize::try_from((u64::from(fingerprint) * self.slots.len() as u64) >> 32).unwrap_or(0)
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// The slot of `fingerprint`, or the free one where it would go.
    fn seek(&self, fingerprint: u32) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(fingerprint);
        while !self.slots[at].is_free() && self.slots[at].fingerprint() != fingerprint {
            at = self.next(at);
        }
        Some(at)
    }

    fn find(&self, fingerprint: u32) -> Option<usize> {
        self.seek(fingerprint).filter(|at| !self.slots[*at].is_free())
    }

    fn put(&mut self, slot: Slot) {
        if self.used.saturating_add(1).saturating_mul(100) > self.slots.len().saturating_mul(85) {
            self.grow();
        }
        if let Some(at) = self.seek(slot.fingerprint()) {
            if self.slots[at].is_free() {
                self.used += 1;
            }
            self.slots[at] = slot;
        }
    }

    fn grow(&mut self) {
        let len = self.slots.len();
        let more = len.saturating_add(len / 4).max(FIRST);
        let mut slots = Vec::new();
        slots.reserve_exact(more);
        slots.resize(more, Slot::default());
        let old = std::mem::replace(&mut self.slots, slots);
        for slot in old.into_iter().filter(|slot| !slot.is_free()) {
            if let Some(at) = self.seek(slot.fingerprint()) {
                self.slots[at] = slot;
            }
        }
    }

    /// Frees a slot, and moves up those behind it that would no longer be found.
    fn free(&mut self, mut hole: usize) {
        self.used -= 1;
        let mut at = hole;
        loop {
            self.slots[hole] = Slot::default();
            loop {
                at = self.next(at);
                if self.slots[at].is_free() {
                    return;
                }
                let home = self.home(self.slots[at].fingerprint());
                // Whether the home lies cyclically outside of (hole, at]: then the slot may move into the hole.
                let between = if hole <= at { hole < home && home <= at } else { hole < home || home <= at };
                if !between {
                    break;
                }
            }
            self.slots[hole] = self.slots[at];
            hole = at;
        }
    }
}

/// The map.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[Mutex<Shard>]>,
}

#[allow(clippy::cast_possible_truncation, reason = "parts of a hash")]
fn split(key: u128) -> (usize, u32) {
    ((key as u8) as usize, (key >> 32) as u32)
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Where `key` is, without counting a read.
    pub(crate) fn get(&self, key: u128) -> Option<Found> {
        let (shard, fingerprint) = split(key);
        let shard = self.shards[shard].lock();
        shard.find(fingerprint).map(|at| shard.slots[at].found())
    }

    /// Counts a read of `key`.
    pub(crate) fn touch(&self, key: u128) {
        let (shard, fingerprint) = split(key);
        let mut shard = self.shards[shard].lock();
        if let Some(at) = shard.find(fingerprint)
            && shard.slots[at].found().reads < MAX_READS as u8
        {
            shard.slots[at].what += 1 << 54;
        }
    }

    /// Puts `key` at a place, and hands out what it displaces.
    pub(crate) fn insert(&self, key: u128, found: Found) -> Option<Found> {
        let (shard, fingerprint) = split(key);
        let mut shard = self.shards[shard].lock();
        let before = shard.find(fingerprint).map(|at| shard.slots[at].found());
        shard.put(Slot::new(fingerprint, found));
        before
    }

    /// Puts `key` at a place unless it has one. Whether it was put.
    pub(crate) fn insert_absent(&self, key: u128, found: Found) -> bool {
        let (shard, fingerprint) = split(key);
        let mut shard = self.shards[shard].lock();
        let absent = shard.find(fingerprint).is_none();
        if absent {
            shard.put(Slot::new(fingerprint, found));
        }
        absent
    }

    /// Moves `key` from one place to another, if that is where it is.
    pub(crate) fn replace(&self, key: u128, from: Place, found: Found) -> bool {
        let (shard, fingerprint) = split(key);
        let mut shard = self.shards[shard].lock();
        match shard.find(fingerprint) {
            Some(at) if shard.slots[at].place == pack(from) => {
                shard.slots[at] = Slot::new(fingerprint, found);
                true
            }
            _ => false,
        }
    }

    /// Takes `key` out, wherever it is.
    pub(crate) fn remove(&self, key: u128) -> Option<Found> {
        let (shard, fingerprint) = split(key);
        let mut shard = self.shards[shard].lock();
        let at = shard.find(fingerprint)?;
        let found = shard.slots[at].found();
        shard.free(at);
        Some(found)
    }

    /// Takes `key` out if it is at `place`.
    pub(crate) fn remove_at(&self, key: u128, place: Place) -> bool {
        let (shard, fingerprint) = split(key);
        let mut shard = self.shards[shard].lock();
        match shard.find(fingerprint) {
            Some(at) if shard.slots[at].place == pack(place) => {
                shard.free(at);
                true
            }
            _ => false,
        }
    }

    /// Takes out everything in segments that `keep` does not name.
    pub(crate) fn retain_segments(&self, keep: impl Fn(u32) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let mut at = 0;
            while at < shard.slots.len() {
                let slot = shard.slots[at];
                if slot.is_free() || keep(slot.found().place.segment) {
                    at += 1;
                } else {
                    // What moves up into the hole is looked at next.
                    shard.free(at);
                }
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }

    /// Objects known.
    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().used as u64).sum()
    }

    /// Memory taken, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let slots: usize = self.shards.iter().map(|shard| shard.lock().slots.capacity()).sum();
        (slots * size_of::<Slot>() + SHARDS * size_of::<Mutex<Shard>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn found(n: u64) -> Found {
        Found {
            place: Place { segment: (n % 1000) as u32 + 1, offset: n * UNIT },
            len: (n + 1) * UNIT,
            reads: 0,
            kind: Kind::from_bits((n % 3) as u8),
        }
    }

    #[test]
    fn a_slot_holds_the_largest_numbers() {
        assert_eq!(size_of::<Slot>(), 16);
        let largest = Found {
            place: Place { segment: MAX_SEGMENT, offset: OFFSET_BITS * UNIT },
            len: LEN_BITS * UNIT,
            reads: 3,
            kind: Kind::Link,
        };
        let slot = Slot::new(u32::MAX, largest);
        assert_eq!((slot.found(), slot.fingerprint()), (largest, u32::MAX));
    }

    #[test]
    fn reads_are_counted_to_three() {
        let index = Index::new();
        index.insert(5, found(1));
        for expected in [0, 1, 2, 3, 3] {
            assert_eq!(index.get(5).unwrap().reads, expected);
            index.touch(5);
        }
        assert_eq!(index.get(5).unwrap().kind, found(1).kind);
    }

    #[test]
    fn segments_can_be_forgotten() {
        let index = Index::new();
        let key = |n: u64| (u128::from(n) << 32) | u128::from(n % 256);
        for n in 0..20_000 {
            index.insert(key(n), found(n));
        }
        index.retain_segments(|segment| segment % 2 == 0);
        for n in 0..20_000 {
            assert_eq!(index.get(key(n)).is_some(), found(n).place.segment.is_multiple_of(2), "{n}");
        }
        index.clear();
        assert_eq!(index.len(), 0);
    }

    #[derive(Debug, Clone)]
    enum Op {
        Insert(u8, u64),
        Absent(u8, u64),
        Replace(u8, u64, u64),
        Remove(u8),
        RemoveAt(u8, u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (key, n) = (any::<u8>(), 0..8u64);
        prop_oneof![
            4 => (key, n.clone()).prop_map(|(k, n)| Op::Insert(k, n)),
            2 => (key, n.clone()).prop_map(|(k, n)| Op::Absent(k, n)),
            2 => (key, n.clone(), n.clone()).prop_map(|(k, n, m)| Op::Replace(k, n, m)),
            2 => key.prop_map(Op::Remove),
            1 => (key, n).prop_map(|(k, n)| Op::RemoveAt(k, n)),
        ]
    }

    /// Few homes, so that runs of neighbours wrap around and holes have to be closed.
    fn key(n: u8) -> u128 {
        let home: u32 = [0, 1, u32::MAX / 2, u32::MAX - 1][usize::from(n % 4)].wrapping_add(u32::from(n / 4));
        u128::from(home) << 32
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(ops in prop::collection::vec(op(), 1..400)) {
            let (index, mut map) = (Index::new(), HashMap::<u128, Found, ahash::RandomState>::default());
            for op in ops {
                match op {
                    Op::Insert(k, n) => {
                        prop_assert_eq!(index.insert(key(k), found(n)), map.insert(key(k), found(n)));
                    }
                    Op::Absent(k, n) => {
                        prop_assert_eq!(index.insert_absent(key(k), found(n)), !map.contains_key(&key(k)));
                        map.entry(key(k)).or_insert(found(n));
                    }
                    Op::Replace(k, n, m) => {
                        let hit = map.get(&key(k)).is_some_and(|now| now.place == found(n).place);
                        prop_assert_eq!(index.replace(key(k), found(n).place, found(m)), hit);
                        if hit { map.insert(key(k), found(m)); }
                    }
                    Op::Remove(k) => prop_assert_eq!(index.remove(key(k)), map.remove(&key(k))),
                    Op::RemoveAt(k, n) => {
                        let hit = map.get(&key(k)).is_some_and(|now| now.place == found(n).place);
                        prop_assert_eq!(index.remove_at(key(k), found(n).place), hit);
                        if hit { map.remove(&key(k)); }
                    }
                }
                prop_assert_eq!(index.len(), map.len() as u64);
                for k in 0..=255u8 {
                    prop_assert_eq!(index.get(key(k)), map.get(&key(k)).copied());
                }
            }
        }
    }

    /// Run with `--ignored --nocapture` in release for the number in docs/store.md.
    #[test]
    #[ignore = "a measurement: 10 million objects"]
    fn memory_of_ten_million_objects() {
        let index = Index::new();
        let mut most = 0f64;
        for n in 0..10_000_000u64 {
            let key = u128::from_le_bytes(pingora_cache::key::hash_key(n.to_le_bytes()));
            index.insert(key, found(n % 4_000_000));
            if n > 1_000_000 && n.is_multiple_of(100_000) {
                most = most.max(index.bytes() as f64 / index.len() as f64);
            }
        }
        let each = index.bytes() as f64 / index.len() as f64;
        println!(
            "{} objects, {} bytes, {each:.1} bytes each, {most:.1} at worst",
            index.len(),
            index.bytes()
        );
        assert!(most <= 32.0);
    }
}
