//! The latest rule of each path.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::SearchRule;
use crate::key;

/// A rule as it was learned for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// The rule; never the default one.
    pub rule: Arc<SearchRule>,
    /// Counts what was learned. It is part of every key made by the rule, so that a rule that comes back finds
    /// nothing that was stored, and perhaps missed by a purge, in its earlier time.
    generation: u64,
}

impl Learned {
    /// The framed key of `target` under this rule. Longer than the frame of any target ([`key::frame`]), and so
    /// equal to none.
    pub(crate) fn frame(&self, scheme: &str, authority: &str, target: &[u8]) -> Vec<u8> {
        let mut out = key::frame(scheme, authority, &self.rule.canonical(target));
        out.extend_from_slice(&self.generation.to_le_bytes());
        out
    }

    /// What a variant must have in its name ([`crate::vary::Selection::realm`]) for a stored response that itself
    /// states the rule `stored`: nothing when that is the rule of the key, else the request's own target.
    #[must_use]
    pub fn realm<'a>(&self, stored: &SearchRule, target: &'a str) -> &'a str {
        if *self.rule == *stored { "" } else { target }
    }
}

/// The latest rule of each path, of at most so many paths: the one learned first is forgotten first, and then its
/// path has exact keys again.
#[derive(Debug, Clone)]
pub struct SearchRules {
    capacity: usize,
    generation: u64,
    rules: HashMap<Arc<[u8]>, Learned>,
    pub(super) order: VecDeque<Arc<[u8]>>,
}

impl SearchRules {
    /// Room for `capacity` paths. `seed` must differ between runs that share a store on disk (the time will do).
    #[must_use]
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self { capacity, generation: seed, rules: HashMap::new(), order: VecDeque::new() }
    }

    /// How many paths have a rule.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether no path has one; then no look-up is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rule for a target, as forwarded, if one was learned for its path.
    #[must_use]
    pub fn find(&self, scheme: &str, authority: &str, target: &[u8]) -> Option<&Learned> {
        if self.rules.is_empty() {
            return None;
        }
        self.rules.get(path_key(scheme, authority, target).as_slice())
    }

    /// Whether [`Self::learn`] would change anything: a response without a rule, or with the known one, does not.
    #[must_use]
    pub fn is_news(&self, scheme: &str, authority: &str, target: &[u8], rule: &SearchRule) -> bool {
        !rule.is_exact() && self.find(scheme, authority, target).is_none_or(|known| *known.rule != *rule)
    }

    /// Remembers the rule that a response for this target states.
    pub fn learn(&mut self, scheme: &str, authority: &str, target: &[u8], rule: &SearchRule) {
        if self.capacity == 0 || !self.is_news(scheme, authority, target, rule) {
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let learned = Learned { rule: Arc::new(rule.clone()), generation: self.generation };
        let path: Arc<[u8]> = path_key(scheme, authority, target).into();
        if self.rules.insert(Arc::clone(&path), learned).is_some() {
            return;
        }
        self.order.push_back(path);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.rules.remove(&oldest);
        }
    }
}

fn path_key(scheme: &str, authority: &str, target: &[u8]) -> Vec<u8> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or(target);
    key::frame(scheme, authority, path)
}
