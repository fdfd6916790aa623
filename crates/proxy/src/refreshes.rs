//! How many stale responses are refreshed in the background at once.
//!
//! A soft purge makes a million responses stale in one moment, and whoever asks for one of them has it refreshed. Pingora
//! bounds that by one refresh for each key; this table bounds it for all of them, and for each upstream, so that a slow
//! one does not take all places. Who finds no place gets the stale response all the same, and a later request refreshes it.
//!
//! Pingora starts a refresh as a request of its own, and hands nothing on to it but the lock of its key. So the request
//! that found the stale response leaves its place behind under that key, and the refresh takes it from there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pingora_cache::CacheKey;
use pingora_cache::key::{CacheHashKey, HashBinary};

/// How long a place waits for its refresh to begin. One that never does (the configuration has changed meanwhile, and
/// the URL leads elsewhere) must not hold it for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many refreshes there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshLimits {
    /// In all.
    pub all: u32,
    /// For one upstream.
    pub upstream: u32,
}

/// The refreshes under way.
#[derive(Debug, Default)]
pub struct Refreshes {
    table: Mutex<Table>,
}

/// What is known of them. Counts run since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefreshStats {
    /// Under way now.
    pub running: u64,
    /// Begun.
    pub begun: u64,
    /// Stale responses served without a refresh, since there were too many in all.
    pub refused_all: u64,
    /// The same, since there were too many for their upstream.
    pub refused_upstream: u64,
}

/// The names of a response in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    primary: HashBinary,
    variance: Option<HashBinary>,
}

#[derive(Debug, Default)]
struct Table {
    running: HashMap<Name, Running, ahash::RandomState>,
    upstreams: HashMap<Arc<str>, u32, ahash::RandomState>,
    /// Places that were left behind for a refresh which has not begun yet.
    left: Vec<(Name, Instant)>,
    /// Of the latest place given.
    number: u64,
    begun: u64,
    refused_all: u64,
    refused_upstream: u64,
}

#[derive(Debug)]
struct Running {
    number: u64,
    upstream: Arc<str>,
}

/// What came of the wish to refresh a response.
#[derive(Debug)]
pub(crate) enum Wish {
    /// There is a place.
    Granted(Place),
    /// It is being refreshed.
    UnderWay,
    /// There are as many as there may be.
    Refused,
}

/// A place among the refreshes, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: &'static Refreshes,
    name: Name,
    /// A place that was given up for lost may have been given to another.
    number: u64,
}

impl Refreshes {
    /// An empty table. It lives as long as the process, over all configurations.
    #[must_use]
    pub fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Asks for a place to refresh the response under `key` from `upstream`.
    pub(crate) fn wish(&'static self, key: &CacheKey, upstream: &Arc<str>, limits: RefreshLimits) -> Wish {
        let name = Name { primary: key.primary_bin(), variance: key.variance_bin() };
        self.table
            .lock()
            .wish(name, upstream, limits, Instant::now())
            .map_or_else(|refused| refused, |number| Wish::Granted(Place { of: self, name, number }))
    }

    /// The place that was left for a refresh of the object of `key`.
    pub(crate) fn take(&'static self, key: &CacheKey) -> Option<Place> {
        let mut table = self.table.lock();
        let primary = key.primary_bin();
        let at = table.left.iter().position(|(name, _)| name.primary == primary)?;
        let (name, _) = table.left.swap_remove(at);
        let number = table.running.get(&name)?.number;
        Some(Place { of: self, name, number })
    }

    /// The numbers now.
    #[must_use]
    pub fn stats(&self) -> RefreshStats {
        let table = self.table.lock();
        RefreshStats {
            running: table.running.len() as u64,
            begun: table.begun,
            refused_all: table.refused_all,
            refused_upstream: table.refused_upstream,
        }
    }
}

impl Table {
    fn wish(
        &mut self,
        name: Name,
        upstream: &Arc<str>,
        limits: RefreshLimits,
        now: Instant,
    ) -> Result<u64, Wish> {
        if self.running.contains_key(&name) {
            return Err(Wish::UnderWay);
        }
        if !self.has_room(upstream, limits) {
            self.give_up(now);
        }
        if self.running.len() >= limits.all as usize {
            self.refused_all += 1;
            return Err(Wish::Refused);
        }
        if !self.has_room(upstream, limits) {
            self.refused_upstream += 1;
            return Err(Wish::Refused);
        }
        self.number += 1;
        self.running.insert(name, Running { number: self.number, upstream: Arc::clone(upstream) });
        *self.upstreams.entry(Arc::clone(upstream)).or_default() += 1;
        Ok(self.number)
    }

    fn has_room(&self, upstream: &str, limits: RefreshLimits) -> bool {
        let there = self.upstreams.get(upstream).copied().unwrap_or(0);
        self.running.len() < limits.all as usize && there < limits.upstream
    }

    /// Frees the places that no refresh has come for.
    fn give_up(&mut self, now: Instant) {
        while let Some(at) = self.left.iter().position(|(_, since)| now.duration_since(*since) > PATIENCE) {
            let (name, _) = self.left.swap_remove(at);
            self.free(&name);
        }
    }

    fn free(&mut self, name: &Name) {
        let Some(running) = self.running.remove(name) else { return };
        // Kept only while there are any: names come and go with configurations.
        if let Entry::Occupied(mut count) = self.upstreams.entry(running.upstream) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Place {
    /// Leaves it for the refresh that is about to be started.
    pub(crate) fn leave(self) {
        let mut table = self.of.table.lock();
        table.begun += 1;
        table.left.push((self.name, Instant::now()));
        drop(table);
        std::mem::forget(self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.of.table.lock();
        if table.running.get(&self.name).is_some_and(|running| running.number == self.number) {
            table.free(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RefreshLimits = RefreshLimits { all: 3, upstream: 2 };

    fn key(name: &str) -> CacheKey {
        CacheKey::new(name, "")
    }

    fn granted(wish: Wish) -> Place {
        match wish {
            Wish::Granted(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn there_is_room_for_so_many_in_all_and_for_each_upstream() {
        let (refreshes, a, b) = (Refreshes::leak(), Arc::from("a"), Arc::from("b"));
        let wish = |name: &str, upstream: &Arc<str>| refreshes.wish(&key(name), upstream, LIMITS);
        let first = granted(wish("1", &a));
        assert!(matches!(wish("1", &a), Wish::UnderWay));
        let _second = granted(wish("2", &a));
        assert!(matches!(wish("3", &a), Wish::Refused));
        let _third = granted(wish("3", &b));
        assert!(matches!(wish("4", &b), Wish::Refused));
        let stats = refreshes.stats();
        assert_eq!((stats.running, stats.refused_upstream, stats.refused_all), (3, 1, 1));
        drop(first);
        let _fourth = granted(wish("4", &b));
        assert!(matches!(wish("5", &a), Wish::Refused), "the other one took the place");
    }

    #[test]
    fn variants_are_refreshed_apart() {
        let (refreshes, upstream) = (Refreshes::leak(), Arc::from("a"));
        let mut variant = key("1");
        variant.set_variance_key([7; 16]);
        granted(refreshes.wish(&key("1"), &upstream, LIMITS)).leave();
        granted(refreshes.wish(&variant, &upstream, LIMITS)).leave();
        assert!(refreshes.take(&key("2")).is_none());
        // Which of the two a refresh takes makes no difference: both are of one upstream.
        let places = [refreshes.take(&key("1")), refreshes.take(&variant)];
        assert!(places.iter().all(Option::is_some) && refreshes.take(&key("1")).is_none());
        assert_eq!(refreshes.stats(), RefreshStats { running: 2, begun: 2, ..RefreshStats::default() });
        drop(places);
        assert_eq!(refreshes.stats().running, 0);
        assert!(refreshes.table.lock().upstreams.is_empty());
    }

    #[test]
    fn a_place_whose_refresh_never_comes_is_given_up_when_it_is_wanted() {
        let (refreshes, upstream) = (Refreshes::leak(), Arc::from("a"));
        let limits = RefreshLimits { all: 1, upstream: 1 };
        granted(refreshes.wish(&key("1"), &upstream, limits)).leave();
        let late = Name { primary: key("2").primary_bin(), variance: None };
        let in_a_while = |seconds| Instant::now() + Duration::from_secs(seconds);
        let at = |moment| refreshes.table.lock().wish(late, &upstream, limits, moment);
        assert!(matches!(at(in_a_while(20)), Err(Wish::Refused)));
        assert!(at(in_a_while(40)).is_ok());
        assert!(refreshes.take(&key("1")).is_none());
        assert_eq!(refreshes.stats().running, 1);
    }
}
