//! Keys remembered after their content has gone.

use std::collections::{HashSet, VecDeque};

/// A bounded set of key fingerprints, the oldest forgotten first.
///
/// 64 bits of the key are enough: a collision only lets a newcomer into the main queue. Taken keys leave
/// their place in the order behind; [`trim`](Self::trim) clears such places as it meets them.
#[derive(Debug, Default)]
pub(crate) struct Ghost {
    order: VecDeque<u64>,
    keys: HashSet<u64, ahash::RandomState>,
}

#[allow(clippy::cast_possible_truncation, reason = "a fingerprint is meant to be the low half")]
const fn fingerprint(key: u128) -> u64 {
    key as u64
}

impl Ghost {
    /// Remembers `key`.
    pub(crate) fn put(&mut self, key: u128) {
        let key = fingerprint(key);
        if self.keys.insert(key) {
            self.order.push_back(key);
        }
    }

    /// Whether `key` is remembered; it is forgotten.
    pub(crate) fn take(&mut self, key: u128) -> bool {
        self.keys.remove(&fingerprint(key))
    }

    /// Whether `key` is remembered.
    pub(crate) fn has(&self, key: u128) -> bool {
        self.keys.contains(&fingerprint(key))
    }

    /// Forgets the oldest until at most `max` places are left.
    pub(crate) fn trim(&mut self, max: usize) {
        while self.order.len() > max {
            if let Some(oldest) = self.order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }

    /// How many keys are remembered.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Ghost;

    #[test]
    fn forgets_the_oldest_first() {
        let mut ghost = Ghost::default();
        for key in 0..10u128 {
            ghost.put(key);
        }
        ghost.trim(4);
        assert_eq!(ghost.len(), 4);
        assert!(!ghost.has(5));
        assert!(ghost.has(6));
        assert!(ghost.take(6));
        assert!(!ghost.take(6), "a ghost is seen once");
    }

    #[test]
    fn places_of_taken_keys_do_not_pile_up() {
        let mut ghost = Ghost::default();
        for round in 0..1000u128 {
            ghost.put(round % 3);
            ghost.take(round % 3);
            ghost.trim(8);
        }
        assert!(ghost.order.len() <= 8);
    }
}
