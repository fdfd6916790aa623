//! Where the capabilities' numbers meet the metrics: telemetry knows no pool and no store, so the binary
//! translates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use seawall_listen::{AcceptFault, Cut, DoorObserver, Refusal};
use seawall_proxy::{Refreshes, Zone};
use seawall_store::DiskStats;
use seawall_telemetry::metrics::{
    CertificateSample, CertificateSource, DiskSample, ListenerMetrics, Metrics, NameSample, PartsSample,
    PoolSample, PoolSource, RefreshSample, ServerSample, StoreSample, StoreSource, TlsResult, TlsVersion,
};
use seawall_tls::{HandshakeFailure, HandshakeInfo, TlsAcceptor};
use seawall_upstream::Pool;
use tokio::sync::watch;

use crate::plan::Upstreams;

/// The pools, for a scrape.
pub(crate) struct Pools(pub(crate) watch::Receiver<Arc<Upstreams>>);

impl PoolSource for Pools {
    fn pools(&self) -> Vec<PoolSample> {
        self.snapshots()
            .map(|(upstream, snapshot)| PoolSample {
                upstream,
                retries_available: snapshot.retries_available,
                full: snapshot.full,
            })
            .collect()
    }

    fn servers(&self) -> Vec<ServerSample> {
        self.snapshots()
            .flat_map(|(upstream, snapshot)| {
                snapshot.servers.into_iter().map(move |server| {
                    // One configured name may have several addresses: both tell the server.
                    let name = if server.name == server.address {
                        server.name
                    } else {
                        format!("{} ({})", server.name, server.address)
                    };
                    ServerSample {
                        upstream: upstream.clone(),
                        server: name,
                        up: server.healthy,
                        drained: server.drained,
                        backup: server.backup,
                        weight: server.weight.into(),
                        in_flight: server.in_flight.into(),
                        checks: server.checks_passed + server.checks_failed,
                        checks_failed: server.checks_failed,
                        results: vec![
                            ("answered", server.answered),
                            ("server_error", server.server_errors),
                            ("connect_failed", server.connect_failures),
                            ("broken", server.broken),
                        ],
                    }
                })
            })
            .collect()
    }

    fn names(&self) -> Vec<NameSample> {
        self.snapshots()
            .flat_map(|(upstream, snapshot)| {
                snapshot.names.into_iter().map(move |name| NameSample {
                    upstream: upstream.clone(),
                    name: name.host,
                    addresses: name.addresses as u64,
                    left_out: name.left_out as u64,
                    lookups: name.lookups,
                    failures: name.failures,
                    last_success: name
                        .age_seconds
                        .and_then(|age| SystemTime::now().checked_sub(Duration::from_secs(age))),
                })
            })
            .collect()
    }
}

impl Pools {
    fn snapshots(&self) -> impl Iterator<Item = (String, seawall_upstream::PoolSnapshot)> {
        // Taken out first: a reload must not wait for a scrape.
        let pools: Vec<Arc<Pool>> =
            self.0.borrow().values().filter_map(|upstream| upstream.pool().cloned()).collect();
        pools.into_iter().map(|pool| (pool.name().to_owned(), pool.snapshot()))
    }
}

/// The stores of all zones, for a scrape.
pub(crate) struct Stores {
    pub(crate) zones: Arc<[&'static Zone]>,
    pub(crate) refreshes: &'static Refreshes,
}

impl StoreSource for Stores {
    fn tiers(&self) -> Vec<StoreSample> {
        self.zones.iter().flat_map(|zone| tiers(zone)).collect()
    }

    fn disks(&self) -> Vec<DiskSample> {
        let of = |zone: &Zone| {
            let name = zone.name.to_string();
            let disks = zone.store.disk_stats();
            disks
                .iter()
                .map(|disk| DiskSample { zone: name.clone(), ..disk_sample(disk) })
                .collect::<Vec<_>>()
        };
        self.zones.iter().flat_map(|zone| of(zone)).collect()
    }

    fn refreshes(&self) -> RefreshSample {
        let stats = self.refreshes.stats();
        let refused = vec![("all", stats.refused_all), ("upstream", stats.refused_upstream)];
        RefreshSample { running: stats.running, begun: stats.begun, refused }
    }

    fn parts(&self) -> Vec<PartsSample> {
        let of = |zone: &Zone| {
            let stats = zone.parts.stats();
            PartsSample {
                zone: zone.name.to_string(),
                entries: stats.entries,
                capacity: stats.capacity,
                evicted: stats.evicted,
            }
        };
        self.zones.iter().map(|zone| of(zone)).collect()
    }
}

fn tiers(zone: &Zone) -> Vec<StoreSample> {
    let stats = zone.store.stats();
    let memory = StoreSample {
        zone: zone.name.to_string(),
        tier: "memory",
        objects: stats.objects,
        bytes: stats.bytes,
        capacity_bytes: stats.capacity_bytes,
        hits: stats.hits,
        streamed_hits: stats.streamed_hits,
        misses: stats.misses,
        inserts: stats.inserts,
        evictions: vec![("small", stats.evicted_small), ("main", stats.evicted_main)],
        evicted_bytes: stats.evicted_bytes,
        variants_dropped: stats.variants_dropped,
        refreshed: stats.refreshed,
        rejected: vec![
            ("too_large", stats.rejected_too_large),
            ("no_room", stats.rejected_no_room),
            ("overtaken", stats.fills_overtaken),
            ("purged", stats.fills_purged),
        ],
        fills_in_flight: stats.fills_in_flight,
        fill_bytes: stats.fill_bytes,
        pinned_bytes: stats.pinned_bytes,
        fills: stats.fills_started,
        fills_failed: stats.fills_failed,
        purges: vec![("hard", stats.purged_objects), ("soft", stats.expired_objects)],
        remembered_purges: stats.remembered_purges,
    };
    let disks = zone.store.disk_stats();
    let mut tiers = vec![memory];
    if !disks.is_empty() {
        tiers.push(StoreSample { zone: zone.name.to_string(), ..disk_tier(&disks) });
    }
    tiers
}

/// All disks as one tier.
fn disk_tier(disks: &[DiskStats]) -> StoreSample {
    let sum = |read: fn(&DiskStats) -> u64| disks.iter().map(read).sum();
    StoreSample {
        tier: "disk",
        objects: sum(|disk| disk.objects),
        bytes: sum(|disk| disk.bytes),
        capacity_bytes: sum(|disk| disk.capacity_bytes),
        hits: sum(|disk| disk.counts.hits),
        misses: sum(|disk| disk.counts.misses),
        inserts: sum(|disk| disk.counts.inserts),
        evictions: vec![
            ("small", sum(|disk| disk.counts.evicted_small)),
            ("main", sum(|disk| disk.counts.evicted_main)),
            ("file", sum(|disk| disk.counts.evicted_files)),
        ],
        rejected: vec![
            ("queue_full", sum(|disk| disk.counts.dropped_queue)),
            ("slow", sum(|disk| disk.counts.dropped_slow)),
            ("no_room", sum(|disk| disk.counts.dropped_space)),
            ("first_request", sum(|disk| disk.counts.first_requests)),
        ],
        // Fills on their way in are counted once, in memory, where each begins.
        fills: sum(|disk| disk.counts.inserts),
        fills_failed: sum(|disk| disk.counts.detached),
        purges: vec![("hard", sum(|disk| disk.counts.purged))],
        // One table for all disks.
        remembered_purges: disks.first().map_or(0, |disk| disk.purges),
        refreshed: sum(|disk| disk.counts.refreshed),
        ..StoreSample::default()
    }
}

fn disk_sample(disk: &DiskStats) -> DiskSample {
    let counts = disk.counts;
    DiskSample {
        path: disk.path.display().to_string(),
        state: disk.state as u8,
        limit_bytes: disk.limit_bytes,
        segments: disk.segments,
        files: disk.files,
        index_bytes: disk.index_bytes,
        purges: disk.purges,
        remembered_requests: disk.remembered,
        queue: disk.queue,
        queue_bytes: disk.queue_bytes,
        reads_waiting: disk.reads_waiting,
        read_buffer_bytes: disk.read_buffer_bytes,
        fill_bytes: disk.fill_bytes,
        fills_unfinished: disk.fills_unfinished,
        fill_stall_seconds: counts.stalled_micros as f64 / 1e6,
        recovered: disk.recovered,
        write_amplification: disk.write_amplification(),
        writes: counts.writes,
        written_bytes: counts.written_bytes,
        copied_bytes: counts.copied_bytes,
        read_bytes: counts.read_bytes,
        reads: vec![
            ("cached", counts.reads_cached),
            ("waited", counts.reads_waited),
            ("refused", counts.reads_refused),
        ],
        errors: vec![
            ("read", counts.read_errors),
            ("write", counts.write_errors),
            ("corrupt", counts.corrupt),
            ("lost", counts.begun_anew),
        ],
        ..DiskSample::default()
    }
}

/// The certificates of all listeners, for a scrape.
pub(crate) struct Certificates(pub(crate) Vec<Arc<TlsAcceptor>>);

impl CertificateSource for Certificates {
    fn certificates(&self) -> Vec<CertificateSample> {
        self.0
            .iter()
            .flat_map(|acceptor| acceptor.certificates())
            .map(|info| CertificateSample {
                stale: info.stale,
                certificate: info.path.display().to_string(),
                not_after: info
                    .not_after
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
            })
            .collect()
    }
}

/// Connections open over all listeners, for a shutdown that waits for them.
#[derive(Default)]
pub(crate) struct OpenConnections(AtomicU64);

impl OpenConnections {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts what happens at one listener.
pub(crate) struct Watch {
    listener: Arc<ListenerMetrics>,
    metrics: Arc<Metrics>,
    open: Arc<OpenConnections>,
}

impl Watch {
    /// Counts for one listener, with all reasons shown from the start.
    pub(crate) fn new(
        listener: Arc<ListenerMetrics>,
        metrics: &Arc<Metrics>,
        open: &Arc<OpenConnections>,
    ) -> Self {
        listener.may_refuse(
            Refusal::ALL.map(Refusal::label).into_iter().chain(AcceptFault::ALL.map(AcceptFault::label)),
        );
        metrics.refused().expect(Cut::ALL.into_iter().filter(is_trouble).map(Cut::label));
        Self { listener, metrics: Arc::clone(metrics), open: Arc::clone(open) }
    }
}

/// The ordinary end of a kept connection is no trouble.
fn is_trouble(why: &Cut) -> bool {
    *why != Cut::Idle
}

impl DoorObserver for Watch {
    fn opened(&self) {
        self.open.0.fetch_add(1, Ordering::Relaxed);
        self.listener.opened();
    }
    fn closed(&self) {
        self.open.0.fetch_sub(1, Ordering::Relaxed);
        self.listener.closed();
    }
    fn refused(&self, why: Refusal) {
        self.listener.refused(why.label());
    }
    fn handshake(&self, outcome: Result<HandshakeInfo, HandshakeFailure>) {
        match outcome {
            Ok(info) => self.listener.handshake(TlsResult::Ok, TlsVersion::from_name(info.version)),
            Err(HandshakeFailure::Timeout) => self.listener.handshake(TlsResult::TimedOut, TlsVersion::None),
            Err(_) => self.listener.handshake(TlsResult::Failed, TlsVersion::None),
        }
    }
    fn cut(&self, why: Cut) {
        if is_trouble(&why) {
            self.metrics.refused().inc(why.label());
        }
    }
    fn accept_failed(&self, why: AcceptFault) {
        self.listener.refused(why.label());
    }
}
