//! What origins have said about query parameters (No-Vary-Search), shared by all requests.

use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use seawall_caching::no_vary_search::{Learned, SearchRule, SearchRules};

/// The latest rule of each path. Reading takes no lock; learning, which is seldom, copies.
#[derive(Debug)]
pub struct SearchMemory {
    rules: ArcSwap<SearchRules>,
    learning: Mutex<()>,
}

impl SearchMemory {
    /// Room for the rules of `capacity` paths. Lives as long as the process, like the store whose keys it makes.
    #[must_use]
    pub fn leak(capacity: usize) -> &'static Self {
        // Keys made in an earlier life of the process must not be made again.
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let rules = SearchRules::new(capacity, seed as u64);
        Box::leak(Box::new(Self { rules: ArcSwap::from_pointee(rules), learning: Mutex::new(()) }))
    }

    /// Paths with a rule.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.load().len()
    }

    /// Whether no path has a rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.load().is_empty()
    }

    /// The rule for a target as it is forwarded.
    pub(crate) fn find(&self, scheme: &str, authority: &str, target: &[u8]) -> Option<Learned> {
        self.rules.load().find(scheme, authority, target).cloned()
    }

    /// Remembers what a response for this target says.
    pub(crate) fn learn(&self, scheme: &str, authority: &str, target: &[u8], rule: &SearchRule) {
        if !self.rules.load().is_news(scheme, authority, target, rule) {
            return;
        }
        let _one_at_a_time = self.learning.lock();
        let mut rules = SearchRules::clone(&self.rules.load());
        rules.learn(scheme, authority, target, rule);
        self.rules.store(rules.into());
    }
}
