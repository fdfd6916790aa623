//! What the store takes from `crate::sync`, of loom.
//!
//! [`weaken`] makes every atomic of it relaxed. A model that holds then proves nothing about the orders that the store
//! asks for; one that fails shows that they are needed, and that it would notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool as Switch, Ordering as Plain};

/// Loom's locks, with the interface of `parking_lot`.
#[derive(Debug)]
pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self(loom::sync::RwLock::new(T::default()))
    }
}

#[allow(clippy::unwrap_used, reason = "a thread of a model that panics ends the model")]
impl<T> RwLock<T> {
    pub(crate) fn read(&self) -> loom::sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap()
    }

    pub(crate) fn write(&self) -> loom::sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap()
    }
}

/// The same.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[allow(clippy::unwrap_used, reason = "a thread of a model that panics ends the model")]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

/// An exchangeable reference: a number in an atomic that says which of those ever put in it is, so that loom knows who
/// may see it. Loads acquire, as those of `arc-swap` do.
#[derive(Debug)]
pub(crate) struct ArcSwapOption<T> {
    which: loom::sync::atomic::AtomicUsize,
    all: parking_lot::Mutex<Vec<Arc<T>>>,
}

impl<T> ArcSwapOption<T> {
    pub(crate) fn empty() -> Self {
        Self { which: loom::sync::atomic::AtomicUsize::new(0), all: parking_lot::Mutex::default() }
    }

    fn get(&self, which: usize) -> Option<Arc<T>> {
        self.all.lock().get(which.checked_sub(1)?).cloned()
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        let which = self.which.load(Plain::Acquire);
        self.get(which)
    }

    pub(crate) fn swap(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
        let number = new.map_or(0, |new| {
            let mut all = self.all.lock();
            all.push(new);
            all.len()
        });
        let before = self.which.swap(number, Plain::AcqRel);
        self.get(before)
    }

    pub(crate) fn store(&self, new: Option<Arc<T>>) {
        drop(self.swap(new));
    }
}

static WEAK: Switch = Switch::new(false);

/// From now on every atomic of the process is relaxed.
pub(crate) fn weaken() {
    WEAK.store(true, Plain::SeqCst);
}

fn order(asked: Plain) -> Plain {
    if WEAK.load(Plain::SeqCst) { Plain::Relaxed } else { asked }
}

pub(crate) mod atomic {
    use super::order;
    pub(crate) use std::sync::atomic::Ordering;

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            #[allow(dead_code, reason = "each has what any of them needs")]
            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, asked: Ordering) -> $value {
                    self.0.load(order(asked))
                }

                pub(crate) fn store(&self, value: $value, asked: Ordering) {
                    self.0.store(value, order(asked));
                }

                pub(crate) fn compare_exchange(
                    &self,
                    now: $value,
                    new: $value,
                    done: Ordering,
                    failed: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(now, new, order(done), order(failed))
                }
            }
        };
    }

    macro_rules! number {
        ($name:ident, $value:ty) => {
            atomic!($name, $value);

            #[allow(dead_code, reason = "each has what any of them needs")]
            impl $name {
                pub(crate) fn fetch_add(&self, value: $value, asked: Ordering) -> $value {
                    self.0.fetch_add(value, order(asked))
                }

                pub(crate) fn fetch_sub(&self, value: $value, asked: Ordering) -> $value {
                    self.0.fetch_sub(value, order(asked))
                }

                pub(crate) fn fetch_max(&self, value: $value, asked: Ordering) -> $value {
                    self.0.fetch_max(value, order(asked))
                }

                pub(crate) fn fetch_update(
                    &self,
                    done: Ordering,
                    failed: Ordering,
                    change: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    self.0.fetch_update(order(done), order(failed), change)
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    number!(AtomicU8, u8);
    number!(AtomicU64, u64);
    number!(AtomicUsize, usize);
}
