//! Counters by reason, where the reasons are other crates' fixed lists.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::family::Family;

/// More reasons than all the lists have today; beyond it they count as `other`.
const MOST: usize = 64;

/// Counts by reason. The reasons are `&'static str`, so that no text from a client can become one.
#[derive(Default)]
pub struct ReasonCounter(RwLock<Vec<(&'static str, AtomicU64)>>);

impl ReasonCounter {
    /// Counts one. Cheap enough for a flood: a shared lock and a walk over a short list.
    pub fn inc(&self, reason: &'static str) {
        if self.0.read().iter().find(|(known, _)| *known == reason).is_some_and(add_one) {
            return;
        }
        let mut known = self.0.write();
        // Somebody may have added it since; and the last place is kept for `other`.
        let name = if known.len() + 1 < MOST { reason } else { "other" };
        if !known.iter().find(|(known, _)| *known == reason || *known == name).is_some_and(add_one) {
            known.push((name, AtomicU64::new(1)));
        }
    }

    /// Shows these reasons from the start: of a counter that appears with its first count Prometheus cannot tell
    /// that it grew.
    pub fn expect(&self, reasons: impl IntoIterator<Item = &'static str>) {
        let mut known = self.0.write();
        for reason in reasons {
            if known.len() + 1 < MOST && !known.iter().any(|(name, _)| *name == reason) {
                known.push((reason, AtomicU64::new(0)));
            }
        }
    }

    /// The count of one reason.
    #[must_use]
    pub fn get(&self, reason: &str) -> u64 {
        let known = self.0.read();
        known.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| count.load(Ordering::Relaxed))
    }

    /// Writes a sample for each reason; `labels` puts it among the others.
    pub(crate) fn read<'a, const N: usize>(
        &self,
        family: &mut Family<'_, N>,
        labels: impl Fn(&'static str) -> [&'a str; N],
    ) {
        for (reason, count) in self.0.read().iter() {
            family.sample(labels(reason), count.load(Ordering::Relaxed));
        }
    }
}

fn add_one((_, count): &(&'static str, AtomicU64)) -> bool {
    count.fetch_add(1, Ordering::Relaxed);
    true
}

#[cfg(test)]
mod tests {
    use super::{MOST, ReasonCounter};

    #[test]
    fn counts_from_many_threads() {
        let counter = ReasonCounter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| ["a", "b"].into_iter().for_each(|r| counter.inc(r))));
            }
        });
        assert_eq!((counter.get("a"), counter.get("b"), counter.get("c")), (2000, 2000, 0));
    }

    #[test]
    fn what_is_expected_is_there_at_zero() {
        let counter = ReasonCounter::default();
        counter.inc("a");
        counter.expect(["a", "b", "b"]);
        counter.inc("b");
        let names: Vec<_> = counter.0.read().iter().map(|(name, _)| *name).collect();
        assert_eq!((names, counter.get("a"), counter.get("b")), (vec!["a", "b"], 1, 1));
    }

    #[test]
    fn the_list_is_bounded() {
        let counter = ReasonCounter::default();
        counter.expect((0..2 * MOST).map(|i| &*Box::leak(format!("expected {i}").into_boxed_str())));
        assert_eq!(counter.0.read().len(), MOST - 1, "there is room for `other`");
        let counter = ReasonCounter::default();
        for i in 0..3 * MOST {
            counter.inc(Box::leak(format!("reason {i}").into_boxed_str()));
        }
        counter.inc("reason 0");
        assert_eq!(counter.0.read().len(), MOST);
        assert_eq!(counter.get("reason 0"), 2);
        assert_eq!(counter.get("other"), (3 * MOST - (MOST - 1)) as u64);
    }
}
