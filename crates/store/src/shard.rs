//! What writers share under one lock: queues, families of variants, running fills, recent purges.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};

use crate::fill::Fill;
use crate::ghost::Ghost;
use crate::purged::Purged;
use crate::queues::Queues;

/// URLs of unknown length remembered by a shard because they outgrew `max_object`.
const OUTGROWN: usize = 1024;

/// The part of a shard behind its lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) queues: Queues,
    pub(crate) purged: Purged,
    pub(crate) fills: HashMap<u64, Arc<Fill>, ahash::RandomState>,
    /// The stored variants of each URL, oldest first.
    families: HashMap<u128, Vec<u128>, ahash::RandomState>,
    outgrown: Ghost,
}

impl State {
    /// Lists `variant` under `family`; hands out those that are now too many, the oldest ones.
    pub(crate) fn join_family(&mut self, family: u128, variant: u128, max: usize) -> Vec<u128> {
        let members = self.families.entry(family).or_default();
        if !members.contains(&variant) {
            members.push(variant);
        }
        let surplus = members.len().saturating_sub(max);
        members.drain(..surplus).collect()
    }

    /// Takes `variant` off the list of `family`.
    pub(crate) fn leave_family(&mut self, family: u128, variant: u128) {
        if let Some(members) = self.families.get_mut(&family) {
            members.retain(|member| *member != variant);
            if members.is_empty() {
                self.families.remove(&family);
            }
        }
    }

    /// The stored variants of `family`.
    pub(crate) fn family(&self, family: u128) -> Vec<u128> {
        self.families.get(&family).cloned().unwrap_or_default()
    }

    /// Remembers that `key` outgrew `max_object`.
    pub(crate) fn outgrew(&mut self, key: u128) {
        self.outgrown.put(key);
        self.outgrown.trim(OUTGROWN);
    }

    /// Whether `key` outgrew `max_object` before.
    pub(crate) fn is_outgrown(&self, key: u128) -> bool {
        self.outgrown.has(key)
    }

    /// `key` gets another chance.
    pub(crate) fn forget_outgrown(&mut self, key: u128) {
        self.outgrown.take(key);
    }
}

/// One part of the store: the keys of certain URLs and all their variants.
#[derive(Debug)]
pub(crate) struct Shard {
    state: Mutex<State>,
    /// Bytes of its objects, for choosing where to evict without taking the lock.
    load: AtomicU64,
}

impl Shard {
    /// A shard that is meant to hold `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            state: Mutex::new(State {
                queues: Queues::new(bytes),
                purged: Purged::default(),
                fills: HashMap::default(),
                families: HashMap::default(),
                outgrown: Ghost::default(),
            }),
            load: AtomicU64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn load(&self) -> u64 {
        self.load.load(Relaxed)
    }

    /// Its objects grew by `bytes`.
    pub(crate) fn loaded(&self, bytes: u64) {
        self.load.fetch_add(bytes, Relaxed);
    }

    /// Its objects shrank by `bytes`.
    pub(crate) fn unloaded(&self, bytes: u64) {
        self.load.fetch_sub(bytes, Relaxed);
    }
}
