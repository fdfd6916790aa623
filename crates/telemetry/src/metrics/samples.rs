//! Values that other crates keep and a scrape asks for. The binary implements the sources.

use std::time::{SystemTime, UNIX_EPOCH};

/// The state of one server of a pool.
#[derive(Debug, Clone, Default)]
pub struct ServerSample {
    /// The pool's name in the configuration.
    pub upstream: String,
    /// The server as configured or resolved.
    pub server: String,
    /// Whether it would be chosen: healthy (drained servers may still be up).
    pub up: bool,
    /// Whether an operator took it out.
    pub drained: bool,
    /// Whether it is asked only when all others are down.
    pub backup: bool,
    /// Its share of the requests.
    pub weight: u64,
    /// Requests at it now.
    pub in_flight: u64,
    /// Health checks made so far.
    pub checks: u64,
    /// Health checks that failed so far.
    pub checks_failed: u64,
    /// Tries at it so far, by how they ended.
    pub results: ByCause,
}

/// The state of a pool as a whole.
#[derive(Debug, Clone, Default)]
pub struct PoolSample {
    /// The pool's name in the configuration.
    pub upstream: String,
    /// Retries that its budget allows now.
    pub retries_available: u64,
    /// Requests so far for which every healthy server was full.
    pub full: u64,
}

/// The state of a name that a pool resolves.
#[derive(Debug, Clone, Default)]
pub struct NameSample {
    /// The pool's name in the configuration.
    pub upstream: String,
    /// The DNS name as configured.
    pub name: String,
    /// Addresses in use.
    pub addresses: u64,
    /// Addresses of the latest answer that are not used, being too many.
    pub left_out: u64,
    /// Lookups so far.
    pub lookups: u64,
    /// Lookups that failed so far.
    pub failures: u64,
    /// When a lookup last succeeded.
    pub last_success: Option<SystemTime>,
}

/// Where a scrape finds the pools.
pub trait PoolSource: Send + Sync {
    /// Every pool now.
    fn pools(&self) -> Vec<PoolSample>;
    /// Every server of every pool now. A second sample with the same names is left out.
    fn servers(&self) -> Vec<ServerSample>;
    /// Every name of every pool now.
    fn names(&self) -> Vec<NameSample>;
}

/// A count by one of a fixed list of causes.
pub type ByCause = Vec<(&'static str, u64)>;

/// The state of one tier of a zone's store. Counts run since the start.
#[derive(Debug, Clone, Default)]
pub struct StoreSample {
    /// The zone of the cache.
    pub zone: String,
    /// The tier, such as `memory`.
    pub tier: &'static str,
    /// Objects stored now.
    pub objects: u64,
    /// Bytes used now, bookkeeping included.
    pub bytes: u64,
    /// Bytes that may be used.
    pub capacity_bytes: u64,
    /// Lookups that found an object.
    pub hits: u64,
    /// Lookups that joined an object on its way in.
    pub streamed_hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Objects put in.
    pub inserts: u64,
    /// Objects pushed out, by queue.
    pub evictions: ByCause,
    /// Bytes of the objects pushed out.
    pub evicted_bytes: u64,
    /// Objects pushed out because their URL had too many variants.
    pub variants_dropped: u64,
    /// Objects that a 304 made fresh again.
    pub refreshed: u64,
    /// Objects not taken, by reason.
    pub rejected: ByCause,
    /// Fills running now.
    pub fills_in_flight: u64,
    /// Bytes that running fills use, contained in `bytes`.
    pub fill_bytes: u64,
    /// Bytes of objects that are stored no more and still read, contained in `bytes`.
    pub pinned_bytes: u64,
    /// Fills begun.
    pub fills: u64,
    /// Fills that ended without an object.
    pub fills_failed: u64,
    /// Objects removed on demand, by kind of purge.
    pub purges: ByCause,
    /// Purges remembered against fills that began before them.
    pub remembered_purges: u64,
}

/// The state of a zone's index of parts.
#[derive(Debug, Clone, Default)]
pub struct PartsSample {
    /// The zone of the cache.
    pub zone: String,
    /// Entries now.
    pub entries: u64,
    /// The most there can be.
    pub capacity: u64,
    /// Entries forgotten for want of room.
    pub evicted: u64,
}

/// Refreshes of stale responses in the background. Counts run since the start.
#[derive(Debug, Clone, Default)]
pub struct RefreshSample {
    /// Under way now.
    pub running: u64,
    /// Begun.
    pub begun: u64,
    /// Stale responses served without one, by the limit that was reached.
    pub refused: ByCause,
}

/// The state of one disk of the cache store. Counts run since the start.
#[derive(Debug, Clone, Default)]
pub struct DiskSample {
    /// The zone of the cache.
    pub zone: String,
    /// Its folder, from the configuration.
    pub path: String,
    /// 0: used, 1: only read, 2: not used.
    pub state: u8,
    /// Bytes that it may take now.
    pub limit_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Bodies in files of their own.
    pub files: u64,
    /// Memory of the index in bytes.
    pub index_bytes: u64,
    /// Purges remembered.
    pub purges: u64,
    /// First requests remembered, for the choice of what is taken.
    pub remembered_requests: u64,
    /// Objects waiting to be written.
    pub queue: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Reads waiting or running.
    pub reads_waiting: u64,
    /// Bytes read for clients who have not taken them yet.
    pub read_buffer_bytes: u64,
    /// Bytes of large responses on their way in that are not written yet.
    pub fill_bytes: u64,
    /// Large responses that are there as a whole and not synced yet.
    pub fills_unfinished: u64,
    /// Seconds that clients were held up because the disk did not keep up.
    pub fill_stall_seconds: f64,
    /// How much of what was there at the start has been found again, from 0 to 1.
    pub recovered: f64,
    /// Bytes written per byte of new content.
    pub write_amplification: f64,
    /// Writes.
    pub writes: u64,
    /// Bytes written for new content.
    pub written_bytes: u64,
    /// Bytes copied to keep what was read.
    pub copied_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Reads, by how they came off.
    pub reads: ByCause,
    /// Failures, by kind.
    pub errors: ByCause,
}

/// Where a scrape finds the cache store.
pub trait StoreSource: Send + Sync {
    /// Every tier of every zone now.
    fn tiers(&self) -> Vec<StoreSample>;
    /// Each zone's index of the parts that are stored.
    fn parts(&self) -> Vec<PartsSample>;
    /// The refreshes in the background.
    fn refreshes(&self) -> RefreshSample {
        RefreshSample::default()
    }
    /// Every disk now.
    fn disks(&self) -> Vec<DiskSample> {
        Vec::new()
    }
}

/// The end of a certificate's life.
#[derive(Debug, Clone)]
pub struct CertificateSample {
    /// Its file or first name, from the configuration.
    pub certificate: String,
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
    /// Whether its files hold something newer that cannot be used.
    pub stale: bool,
}

/// Where a scrape finds the certificates in use.
pub trait CertificateSource: Send + Sync {
    /// Every certificate now.
    fn certificates(&self) -> Vec<CertificateSample>;
}

/// Seconds since 1970 as Prometheus counts them.
pub(super) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
