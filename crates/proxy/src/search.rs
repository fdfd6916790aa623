//! What origins have said about query parameters (No-Vary-Search), shared by all requests.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::RwLock;
use seawall_caching::no_vary_search::{Learned, SearchRule, SearchRules};

/// So that paths rarely meet. The bound is kept in each.
const SHARDS: usize = 16;

/// The latest rule of each path.
#[derive(Debug)]
pub struct SearchMemory {
    shards: Box<[RwLock<SearchRules>]>,
    hasher: ahash::RandomState,
    /// Paths with a rule: where no origin states one, nobody looks further.
    paths: AtomicUsize,
}

impl SearchMemory {
    /// Room for the rules of `capacity` paths.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        // Keys made in an earlier life of the process must not be made again.
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self::seeded(capacity, seed as u64)
    }

    fn seeded(capacity: usize, seed: u64) -> Self {
        let per_shard = capacity.div_ceil(SHARDS);
        Self {
            shards: (0..SHARDS).map(|_| RwLock::new(SearchRules::new(per_shard, seed))).collect(),
            hasher: ahash::RandomState::new(),
            paths: AtomicUsize::new(0),
        }
    }

    /// Paths with a rule.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paths.load(Relaxed)
    }

    /// Whether no path has a rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shard of the path of `target`.
    fn shard(&self, authority: &str, target: &[u8]) -> &RwLock<SearchRules> {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or(target);
        &self.shards[self.hasher.hash_one((authority, path)) as usize % SHARDS]
    }

    /// The rule for a target as it is forwarded.
    pub(crate) fn find(&self, scheme: &str, authority: &str, target: &[u8]) -> Option<Learned> {
        if self.is_empty() {
            return None;
        }
        self.shard(authority, target).read().find(scheme, authority, target).cloned()
    }

    /// Remembers what a response for this target says.
    pub(crate) fn learn(&self, scheme: &str, authority: &str, target: &[u8], rule: &SearchRule) {
        let shard = self.shard(authority, target);
        if !shard.read().is_news(scheme, authority, target, rule) {
            return;
        }
        let mut rules = shard.write();
        let before = rules.len();
        rules.learn(scheme, authority, target, rule);
        // It never shrinks: a path that goes makes room for one that comes.
        self.paths.fetch_add(rules.len().saturating_sub(before), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};
    use seawall_caching::no_vary_search::NO_VARY_SEARCH;

    fn rule(value: &'static str) -> SearchRule {
        SearchRule::of(&HeaderMap::from_iter([(NO_VARY_SEARCH, HeaderValue::from_static(value))]))
    }

    #[test]
    fn the_latest_rule_of_a_path_is_found_by_any_query() {
        let memory = SearchMemory::seeded(100, 1);
        memory.learn("http", "a", b"/x?q=1", &SearchRule::default());
        assert!(memory.is_empty() && memory.find("http", "a", b"/x?q=1").is_none());
        memory.learn("http", "a", b"/x?q=1", &rule("key-order"));
        memory.learn("http", "a", b"/x?q=2", &rule("params=(\"a\")"));
        assert_eq!(memory.len(), 1);
        assert_eq!(*memory.find("http", "a", b"/x").unwrap().rule, rule("params=(\"a\")"));
        for (scheme, authority, target) in [("https", "a", "/x"), ("http", "b", "/x"), ("http", "a", "/y")] {
            assert!(
                memory.find(scheme, authority, target.as_bytes()).is_none(),
                "{scheme} {authority} {target}"
            );
        }
    }

    #[test]
    fn the_bound_holds_and_the_count_is_right() {
        let memory = SearchMemory::seeded(160, 1);
        for number in 0..2000 {
            memory.learn("http", "a", format!("/{number}").as_bytes(), &rule("params=(\"a\")"));
        }
        let counted: usize = memory.shards.iter().map(|shard| shard.read().len()).sum();
        assert_eq!((memory.len(), counted), (160, 160));
        let none = SearchMemory::seeded(0, 1);
        none.learn("http", "a", b"/", &rule("params=(\"a\")"));
        assert!(none.is_empty());
    }
}
