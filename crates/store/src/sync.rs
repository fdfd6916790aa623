//! What threads share state with, under one name: `tests/models` compiles the files that use it with loom's in their place,
//! and tries every order in which the threads may run and see each other's writes.

pub(crate) use arc_swap::ArcSwapOption;
pub(crate) use parking_lot::{Mutex, RwLock};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
}
