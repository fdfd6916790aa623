//! The store's own files.

#[path = "../../../crates/store/src/clock.rs"]
pub(crate) mod clock;
#[path = "../../../crates/store/src/entry.rs"]
pub(crate) mod entry;
#[path = "../../../crates/store/src/ledger.rs"]
pub(crate) mod ledger;
#[path = "../../../crates/store/src/purged.rs"]
pub(crate) mod purged;
#[path = "../../../crates/store/src/purges.rs"]
pub(crate) mod purges;
