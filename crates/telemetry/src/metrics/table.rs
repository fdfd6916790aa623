//! Handles by name, held weakly.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Handles by name. A name whose handle nobody keeps any more is forgotten.
pub(super) struct Table<K, V>(Mutex<BTreeMap<K, Weak<V>>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<K: Ord, V> Table<K, V> {
    /// The living handle of `key`, or a new one.
    pub(super) fn get(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut handles = self.0.lock();
        let slot = handles.entry(key).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let made = Arc::new(make());
            *slot = Arc::downgrade(&made);
            made
        })
    }

    /// The living handles in the order of their names; forgets the others.
    pub(super) fn all(&self) -> Vec<Arc<V>> {
        let mut living = Vec::new();
        self.0.lock().retain(|_, handle| handle.upgrade().map(|handle| living.push(handle)).is_some());
        living
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use std::sync::Arc;

    #[test]
    fn lives_as_long_as_its_handles() {
        let table = Table::<&str, u32>::default();
        let one = table.get("one", || 1);
        assert!(Arc::ptr_eq(&one, &table.get("one", || 9)));
        drop(table.get("two", || 2));
        assert_eq!(table.all(), [Arc::clone(&one)]);
        assert_eq!(table.0.lock().len(), 1);
        drop(one);
        assert_eq!(*table.get("one", || 7), 7);
    }
}
