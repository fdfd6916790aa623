//! The cache engine: where responses are kept, and what leaves when room is needed.
//!
//! [`MemoryStore`] and [`Store`] implement Pingora's [`Storage`](pingora_cache::storage::Storage). Memory holds
//! decoded headers and body pieces in memory, within one byte bound, and evicts by itself: no Pingora eviction
//! manager is needed (pass `None` to `HttpCache::enable`).
//!
//! # How it is laid out
//! - A *table* maps the 128-bit key to an [entry](entry::Entry). A hit reads it without a lock, clones one
//!   reference and adds to a two-bit counter that soon stops changing.
//! - *Shards*, chosen by the primary key, hold everything writers need under a mutex: the S3-FIFO
//!   [queues](queues), the variants of each URL, the purges of late. A URL and its variants share a shard,
//!   so that a purge of the URL takes one lock and one short list.
//! - The *ledger* is the bound. Bytes are charged before memory is taken; whoever needs room evicts.
//! - A *fill* is written by one request and read by any number while it runs.
//!
//! # Which table
//! Measured on two cores with 100,000 entries and a hash that costs nothing (nanoseconds per lookup with
//! the clone of an `Arc` and the counter; two runs):
//!
//! | table | 1 thread, 8 hot keys | 2 threads, 8 hot keys | 2 threads, all keys |
//! |---|---|---|---|
//! | `papaya::HashMap` | 20, 20 | 84, 30 | 128, 111 |
//! | `scc::HashIndex` | 23, 22 | 82, 30 | 130, 88 |
//! | `scc::HashMap` | 31, 31 | 187, 63 | 169, 101 |
//! | 32 × `RwLock<hashbrown>` | 24, 24 | 221, 67 | 178, 104 |
//! | 32 × `Mutex<hashbrown>` | 24, 23 | 187, 70 | 184, 101 |
//!
//! A shared read lock is two writes to a line that all readers of the shard fight over, and it shows as soon
//! as two cores ask for the same hot keys. The lock-free tables are level; papaya is taken for its plain
//! interface. It frees removed entries late, in batches, so entries hold their object in a pointer that is
//! cleared at removal: what waits to be freed are empty shells.
//!
//! # Below memory
//! [`Store`] is both tiers: [`MemoryStore`] above, any number of [disks](disk) below. Every fill begins in memory.
//! One that grows over `memory_object` goes on in a file of its own; the others are written to disk when they
//! are complete, behind everybody's back. What is read from disk for the second time is brought up.

mod body;
mod clock;
mod codec;
mod disk;
mod disks;
mod entry;
mod fill;
mod ghost;
mod head;
mod hit;
mod labels;
mod ledger;
mod memory;
mod miss;
mod object_key;
mod pinned;
mod purged;
mod purges;
mod queues;
mod ready;
mod settings;
mod shard;
#[cfg(feature = "simulation")]
mod simulation;
mod stats;
mod storage;
mod store;
mod sweep;
mod sync;

pub use codec::{ExtensionCodec, NoExtensions};
pub use disk::DiskError;
pub use disk::folder::FolderError;
pub use disk::health::DiskState;
pub use disk::inspect::{Record, Report, inspect};
pub use disk::stats::{DiskCounts, DiskStats};
pub use head::VariantLimit;
pub use hit::{
    DISK_READ_FAILED, FILL_FAILED, FillProgress, OUT_OF_RANGE, READER_TOO_SLOW, client_left, is_arriving,
    stored_length,
};
pub use labels::{Label, Labels, MAX_PREFIX_SEGMENTS};
#[cfg(feature = "simulation")]
pub use memory::simulation::Simulation;
pub use memory::{Epoch, MemoryStore, OrWhole, Refusal, StoreError};
pub use miss::{FILL_ABANDONED, WRONG_LENGTH};
pub use object_key::{NotObjectKey, ObjectKey};
pub use ready::Ready;
pub use settings::{DiskAdmission, DiskSettings, StoreSettings, machine_memory};
#[cfg(feature = "simulation")]
pub use simulation::{Choices, Tier, TierSimulation};
pub use stats::Stats;
pub use store::{PURGE_NOT_RECORDED, Peek, Store};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
