//! Keys that were pushed out lately, or asked for lately, in a few bits each.
//!
//! Two Bloom filters take turns: a full one becomes the old one, and the old one is forgotten. Sixteen bits a key
//! make one newcomer in some hundreds pass for an old acquaintance, which only gives it a better place, or one at all.

use parking_lot::Mutex;

const BITS_PER_KEY: usize = 16;
const PROBES: u32 = 4;

#[derive(Debug)]
struct Filters {
    young: Vec<u64>,
    old: Vec<u64>,
    count: usize,
    /// Keys in the old one.
    before: usize,
}

impl Filters {
    fn put(&mut self, bits: impl Iterator<Item = (usize, u64)>, keys: usize) {
        if self.count >= keys {
            let young = std::mem::take(&mut self.young);
            let mut fresh = std::mem::replace(&mut self.old, young);
            fresh.fill(0);
            self.young = fresh;
            self.before = std::mem::take(&mut self.count);
        }
        for (word, bit) in bits {
            self.young[word] |= bit;
        }
        self.count += 1;
    }
}

fn all_in(filter: &[u64], mut bits: impl Iterator<Item = (usize, u64)>) -> bool {
    bits.all(|(word, bit)| filter[word] & bit != 0)
}

/// The filters. They remember between `keys` and twice `keys` keys.
#[derive(Debug)]
pub(crate) struct Ghosts {
    filters: Mutex<Filters>,
    keys: usize,
}

impl Ghosts {
    pub(crate) fn new(keys: usize) -> Self {
        let keys = keys.max(1024).next_power_of_two();
        let words = keys * BITS_PER_KEY / 64;
        let (young, old) = (vec![0; words], vec![0; words]);
        Self { filters: Mutex::new(Filters { young, old, count: 0, before: 0 }), keys }
    }

    fn bits(&self, key: u128) -> impl Iterator<Item = (usize, u64)> {
        let mask = (self.keys * BITS_PER_KEY - 1) as u128;
        (0..PROBES).map(move |probe| {
            // Keys are hashes, so their own bits are as good as a hash of them.
            let bit = (key.rotate_right(probe * 31) & mask) as usize;
            (bit / 64, 1 << (bit % 64))
        })
    }

    /// Remembers `key`.
    pub(crate) fn put(&self, key: u128) {
        self.filters.lock().put(self.bits(key), self.keys);
    }

    /// Remembers `key`. Whether it was remembered before: of two who ask at once one is told so.
    pub(crate) fn note(&self, key: u128) -> bool {
        let mut filters = self.filters.lock();
        if all_in(&filters.young, self.bits(key)) {
            // Asked for over and over, it does not make others forgotten sooner.
            return true;
        }
        let known = all_in(&filters.old, self.bits(key));
        filters.put(self.bits(key), self.keys);
        known
    }

    /// Keys remembered; those remembered twice count twice.
    pub(crate) fn len(&self) -> u64 {
        let filters = self.filters.lock();
        filters.count.saturating_add(filters.before) as u64
    }

    /// Whether `key` is remembered.
    pub(crate) fn has(&self, key: u128) -> bool {
        let filters = self.filters.lock();
        all_in(&filters.young, self.bits(key)) || all_in(&filters.old, self.bits(key))
    }
}

#[cfg(test)]
mod tests {
    use super::Ghosts;

    fn key(n: u32) -> u128 {
        u128::from_le_bytes(pingora_cache::key::hash_key(n.to_le_bytes()))
    }

    #[test]
    fn remembers_the_last_ones_and_forgets_the_first() {
        let ghosts = Ghosts::new(1024);
        for n in 0..10_240 {
            ghosts.put(key(n));
        }
        assert!((10_240 - 1024..10_240).all(|n| ghosts.has(key(n))));
        let wrong = (0..5000).filter(|n| ghosts.has(key(*n))).count();
        assert!(wrong < 100, "{wrong} of 5000 forgotten keys are remembered");
    }

    #[test]
    fn a_key_is_new_once() {
        let ghosts = Ghosts::new(1024);
        let new = (0..1024).filter(|n| !ghosts.note(key(*n))).count();
        assert!(new > 1000, "{new} of 1024 are new");
        assert!((0..1024).all(|n| ghosts.note(key(n))));
        // One that is asked for all the time makes nothing forgotten.
        for _ in 0..10_000 {
            ghosts.note(key(1));
        }
        assert!((0..1024).all(|n| ghosts.note(key(n))));
        assert_eq!(ghosts.len(), new as u64);
        // In the old filter it is known still, and from then on in the young one.
        for n in 1024..2000 {
            ghosts.note(key(n));
        }
        assert!(ghosts.note(key(5)) && ghosts.len() <= 2048);
    }
}
