//! What a disk counts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::health::DiskState;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The running counters of a disk.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        /// The counters of a disk at one moment; they count since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct DiskCounts { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> DiskCounts {
                DiskCounts { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Lookups that found an object.
    hits,
    /// Lookups that found none.
    misses,
    /// Objects found that a purge forbids.
    purged,
    /// Objects put in.
    inserts,
    /// Headers refreshed by a 304.
    refreshed,
    /// Objects that were not put in because the queue to the disk was full.
    dropped_queue,
    /// Objects that were not put in because there was no space, or the disk does not take any.
    dropped_space,
    /// Bodies for files of their own that were not put in because the disk did not keep up.
    dropped_slow,
    /// Objects that were not put in because they were asked for for the first time.
    first_requests,
    /// Microseconds that those who read along were held up because the disk did not keep up.
    stalled_micros,
    /// Fills of bodies in files of their own that were taken off the disk after an error.
    detached,
    /// Objects pushed out of the small class.
    evicted_small,
    /// Objects pushed out of the main class, where they had been copied.
    evicted_main,
    /// Bodies in files of their own that were pushed out.
    evicted_files,
    /// Objects copied from a segment that was given up.
    copied,
    /// Bytes of these copies.
    copied_bytes,
    /// Bytes written for new objects and refreshed headers.
    written_bytes,
    /// Writes.
    writes,
    /// Reads answered by the page cache at once.
    reads_cached,
    /// Reads that went through the pool.
    reads_waited,
    /// Bytes read.
    read_bytes,
    /// Reads not begun because too many were waiting.
    reads_refused,
    /// Reads that failed.
    read_errors,
    /// Writes that failed.
    write_errors,
    /// How often the folder was begun anew because it had been removed.
    begun_anew,
    /// Records or chunks that were not what they should be.
    corrupt,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Adds `more`.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Relaxed);
}

/// The state of one disk.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskStats {
    /// Its folder.
    pub path: PathBuf,
    /// How it is used.
    pub state: DiskState,
    /// Objects that can be found.
    pub objects: u64,
    /// Bytes of disk taken.
    pub bytes: u64,
    /// The bound on `bytes`.
    pub capacity_bytes: u64,
    /// Bytes that may be taken now: fewer than `capacity_bytes` while the file system has fewer.
    pub limit_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Bodies in files of their own.
    pub files: u64,
    /// Memory of the index, in bytes.
    pub index_bytes: u64,
    /// Purges in force.
    pub purges: u64,
    /// First requests remembered, for the choice of what is put in.
    pub remembered: u64,
    /// Objects waiting to be written.
    pub queue: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Reads that wait for the pool, or run in it.
    pub reads_waiting: u64,
    /// Bytes of chunks that were read for clients who have not taken them yet.
    pub read_buffer_bytes: u64,
    /// Bytes of bodies on their way into files of their own that are not written yet.
    pub fill_bytes: u64,
    /// Bodies that have come as a whole and are not synced yet.
    pub fills_unfinished: u64,
    /// How much of what was there at the start has been looked through, from 0 to 1.
    pub recovered: f64,
    /// Counters.
    pub counts: DiskCounts,
}

impl DiskStats {
    /// A disk of `capacity_bytes` that could not be had.
    pub(crate) fn absent(path: &Path, capacity_bytes: u64) -> Self {
        Self {
            path: path.to_owned(),
            state: DiskState::Offline,
            objects: 0,
            bytes: 0,
            capacity_bytes,
            limit_bytes: 0,
            segments: 0,
            files: 0,
            index_bytes: 0,
            purges: 0,
            remembered: 0,
            queue: 0,
            queue_bytes: 0,
            reads_waiting: 0,
            read_buffer_bytes: 0,
            fill_bytes: 0,
            fills_unfinished: 0,
            recovered: 1.0,
            counts: DiskCounts::default(),
        }
    }

    /// Bytes written per byte of new content: 1 means that nothing was copied.
    #[must_use]
    pub fn write_amplification(&self) -> f64 {
        let new = self.counts.written_bytes;
        if new == 0 { 1.0 } else { (new + self.counts.copied_bytes) as f64 / new as f64 }
    }
}
