//! Keys that were pushed out lately, in a few bits each.
//!
//! Two Bloom filters take turns: a full one becomes the old one, and the old one is forgotten. Sixteen bits a key
//! make one newcomer in some hundreds pass for an old acquaintance, which only gives it a better place.

use parking_lot::Mutex;

const BITS_PER_KEY: usize = 16;
const PROBES: u32 = 4;

#[derive(Debug)]
struct Filters {
    young: Vec<u64>,
    old: Vec<u64>,
    count: usize,
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
        Self { filters: Mutex::new(Filters { young: vec![0; words], old: vec![0; words], count: 0 }), keys }
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
        let mut filters = self.filters.lock();
        if filters.count >= self.keys {
            let young = std::mem::take(&mut filters.young);
            let mut fresh = std::mem::replace(&mut filters.old, young);
            fresh.fill(0);
            filters.young = fresh;
            filters.count = 0;
        }
        for (word, bit) in self.bits(key) {
            filters.young[word] |= bit;
        }
        filters.count += 1;
    }

    /// Whether `key` is remembered.
    pub(crate) fn has(&self, key: u128) -> bool {
        let filters = self.filters.lock();
        self.bits(key).all(|(word, bit)| filters.young[word] & bit != 0)
            || self.bits(key).all(|(word, bit)| filters.old[word] & bit != 0)
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
}
