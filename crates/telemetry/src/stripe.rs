//! Values kept once per group of threads, so that threads on different cores do not write the same line.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::race::OnceBox;
use once_cell::sync::Lazy;

/// More stripes cost memory per route and buy little: eight already make a collision of two writers rare.
const MOST: usize = 8;

/// The number of stripes on this machine: the cores rounded up to a power of two, at most [`MOST`].
pub(crate) fn count() -> usize {
    static COUNT: Lazy<usize> = Lazy::new(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores.next_power_of_two().clamp(1, MOST)
    });
    *COUNT
}

/// The stripe of the calling thread: threads are dealt out in turn.
pub(crate) fn index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const UNSET: usize = usize::MAX;
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(UNSET) };
    }
    MINE.with(|mine| {
        if mine.get() == UNSET {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % count());
        }
        mine.get()
    })
}

/// Two cache lines: the prefetcher of current processors pulls lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// A `T` per stripe, each made when a thread first needs it: what nobody uses costs a pointer. Two threads that
/// need it at once both make one and the first stays, so that nobody ever waits.
pub(crate) struct Striped<T>(Box<[OnceBox<Padded<T>>]>);

impl<T> Default for Striped<T> {
    fn default() -> Self {
        Self((0..count()).map(|_| OnceBox::new()).collect())
    }
}

impl<T: Default> Striped<T> {
    /// The calling thread's value.
    pub(crate) fn mine(&self) -> &T {
        &self.0[index()].get_or_init(Box::default).0
    }
}

impl<T> Striped<T> {
    /// The values made so far.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceBox::get).map(|padded| &padded.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Striped, count};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn nothing_is_lost_between_stripes() {
        let cells = Striped::<AtomicU64>::default();
        assert_eq!(cells.iter().count(), 0, "unused stripes are not made");
        std::thread::scope(|scope| {
            for _ in 0..2 * count() {
                scope.spawn(|| (0..1000).for_each(|_| _ = cells.mine().fetch_add(1, Ordering::Relaxed)));
            }
        });
        let sum: u64 = cells.iter().map(|cell| cell.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, 2000 * count() as u64);
        assert!(cells.iter().count() <= count());
    }
}
