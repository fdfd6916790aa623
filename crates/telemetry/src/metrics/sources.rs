//! Reading what other crates keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::family::{Described, Families, Number as _, Spec, Specs};
use super::samples::{
    ByCause, CertificateSample, CertificateSource, NameSample, PartsSample, PoolSample, PoolSource,
    ServerSample, StoreSample, StoreSource, unix_seconds,
};
use crate::access_log::AccessLog;

/// Where a scrape finds them.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) pools: RwLock<Option<Arc<dyn PoolSource>>>,
    pub(super) store: RwLock<Option<Arc<dyn StoreSource>>>,
    pub(super) certificates: RwLock<Option<Arc<dyn CertificateSource>>>,
    pub(super) access_log: RwLock<Option<Arc<AccessLog>>>,
}

/// A family with one sample per row of a table.
struct Column<T, const N: usize> {
    spec: Spec<N>,
    read: fn(&T) -> f64,
}

impl<T, const N: usize> Column<T, N> {
    const fn new(spec: Spec<N>, read: fn(&T) -> f64) -> Self {
        Self { spec, read }
    }
}

/// A counter with one sample per cause and row; the cause is its last label.
struct Causes<T, const N: usize> {
    spec: Spec<N>,
    read: fn(&T) -> &ByCause,
}

static POOLS: [Column<PoolSample, 1>; 2] = [
    Column::new(
        Spec::gauge(
            "seawall_upstream_retries_available",
            "Retries that the budget allows now.",
            ["upstream"],
        ),
        |pool| pool.retries_available.real(),
    ),
    Column::new(
        Spec::counter(
            "seawall_upstream_full_total",
            "Requests for which every healthy server was full.",
            ["upstream"],
        ),
        |pool| pool.full.real(),
    ),
];

const SERVER: [&str; 2] = ["upstream", "server"];

static SERVERS: [Column<ServerSample, 2>; 7] = [
    Column::new(
        Spec::gauge("seawall_upstream_server_up", "Whether the server is healthy.", SERVER),
        |server| server.up.real(),
    ),
    Column::new(
        Spec::gauge("seawall_upstream_server_drained", "Whether the server was taken out.", SERVER),
        |server| server.drained.real(),
    ),
    Column::new(
        Spec::gauge("seawall_upstream_server_backup", "Whether the server is a backup.", SERVER),
        |server| server.backup.real(),
    ),
    Column::new(Spec::gauge("seawall_upstream_server_weight", "The server's share.", SERVER), |server| {
        server.weight.real()
    }),
    Column::new(Spec::gauge("seawall_upstream_in_flight", "Requests at the server now.", SERVER), |server| {
        server.in_flight.real()
    }),
    Column::new(
        Spec::counter("seawall_upstream_health_check_failures_total", "Health checks that failed.", SERVER),
        |server| server.checks_failed.real(),
    ),
    Column::new(
        Spec::counter("seawall_upstream_health_checks_total", "Health checks made.", SERVER),
        |server| server.checks.real(),
    ),
];
static SERVER_RESULTS: Causes<ServerSample, 3> = Causes {
    spec: Spec::counter(
        "seawall_upstream_server_requests_total",
        "Tries at the server, by how they ended.",
        ["upstream", "server", "result"],
    ),
    read: |server| &server.results,
};

const NAME: [&str; 2] = ["upstream", "name"];

static NAMES: [Column<NameSample, 2>; 4] = [
    Column::new(
        Spec::gauge("seawall_upstream_dns_addresses", "Addresses in use for the name.", NAME),
        |name| name.addresses.real(),
    ),
    Column::new(
        Spec::counter("seawall_upstream_dns_failures_total", "Lookups of the name that failed.", NAME),
        |name| name.failures.real(),
    ),
    Column::new(Spec::counter("seawall_upstream_dns_lookups_total", "Lookups of the name.", NAME), |name| {
        name.lookups.real()
    }),
    Column::new(
        Spec::gauge(
            "seawall_upstream_dns_addresses_left_out",
            "Addresses of the latest answer beyond `dns.max_addresses`.",
            NAME,
        ),
        |name| name.left_out.real(),
    ),
];
static RESOLVED_AT: Spec<2> = Spec::gauge(
    "seawall_upstream_dns_last_success_timestamp_seconds",
    "When the name was last resolved.",
    NAME,
);

const TIER: [&str; 2] = ["zone", "tier"];

static TIERS: [Column<StoreSample, 2>; 16] = [
    Column::new(Spec::gauge("seawall_cache_objects", "Objects stored.", TIER), |tier| tier.objects.real()),
    Column::new(Spec::gauge("seawall_cache_bytes", "Bytes used, bookkeeping included.", TIER), |tier| {
        tier.bytes.real()
    }),
    Column::new(Spec::gauge("seawall_cache_capacity_bytes", "Bytes that may be used.", TIER), |tier| {
        tier.capacity_bytes.real()
    }),
    Column::new(
        Spec::gauge("seawall_cache_fills_in_flight", "Responses on their way into the store.", TIER),
        |tier| tier.fills_in_flight.real(),
    ),
    Column::new(Spec::counter("seawall_cache_hits_total", "Lookups that found an object.", TIER), |tier| {
        tier.hits.real()
    }),
    Column::new(Spec::counter("seawall_cache_misses_total", "Lookups that found none.", TIER), |tier| {
        tier.misses.real()
    }),
    Column::new(Spec::counter("seawall_cache_inserts_total", "Objects put in.", TIER), |tier| {
        tier.inserts.real()
    }),
    Column::new(Spec::counter("seawall_cache_fills_total", "Fills begun.", TIER), |tier| tier.fills.real()),
    Column::new(
        Spec::counter("seawall_cache_fills_failed_total", "Fills that ended without an object.", TIER),
        |tier| tier.fills_failed.real(),
    ),
    Column::new(
        Spec::counter("seawall_cache_streamed_hits_total", "Lookups that joined a running fill.", TIER),
        |tier| tier.streamed_hits.real(),
    ),
    Column::new(
        Spec::counter("seawall_cache_evicted_bytes_total", "Bytes of the objects pushed out.", TIER),
        |tier| tier.evicted_bytes.real(),
    ),
    Column::new(
        Spec::counter(
            "seawall_cache_variants_dropped_total",
            "Objects pushed out because their URL had too many variants.",
            TIER,
        ),
        |tier| tier.variants_dropped.real(),
    ),
    Column::new(
        Spec::counter("seawall_cache_refreshed_total", "Objects that a 304 made fresh again.", TIER),
        |tier| tier.refreshed.real(),
    ),
    Column::new(
        Spec::gauge(
            "seawall_cache_fill_bytes",
            "Bytes that running fills use, part of the bytes used.",
            TIER,
        ),
        |tier| tier.fill_bytes.real(),
    ),
    Column::new(
        Spec::gauge(
            "seawall_cache_pinned_bytes",
            "Bytes of objects that are stored no more and still read, part of the bytes used.",
            TIER,
        ),
        |tier| tier.pinned_bytes.real(),
    ),
    Column::new(
        Spec::gauge(
            "seawall_cache_remembered_purges",
            "Purges remembered against fills that began before them.",
            TIER,
        ),
        |tier| tier.remembered_purges.real(),
    ),
];
static TIER_CAUSES: [Causes<StoreSample, 3>; 3] = [
    Causes {
        spec: Spec::counter(
            "seawall_cache_evictions_total",
            "Objects pushed out.",
            ["zone", "tier", "queue"],
        ),
        read: |tier| &tier.evictions,
    },
    Causes {
        spec: Spec::counter("seawall_cache_rejected_total", "Objects not taken.", ["zone", "tier", "reason"]),
        read: |tier| &tier.rejected,
    },
    Causes {
        spec: Spec::counter(
            "seawall_cache_purges_total",
            "Objects removed on demand.",
            ["zone", "tier", "kind"],
        ),
        read: |tier| &tier.purges,
    },
];

static PARTS: [Column<PartsSample, 1>; 3] = [
    Column::new(
        Spec::gauge(
            "seawall_cache_indexed_parts",
            "Stored parts whose bytes are known, and objects known to have none.",
            ["zone"],
        ),
        |parts| parts.entries.real(),
    ),
    Column::new(
        Spec::gauge(
            "seawall_cache_indexed_parts_capacity",
            "The most parts whose bytes can be known.",
            ["zone"],
        ),
        |parts| parts.capacity.real(),
    ),
    Column::new(
        Spec::counter(
            "seawall_cache_indexed_parts_evicted_total",
            "Parts forgotten to make room for others; they are found by their own range only.",
            ["zone"],
        ),
        |parts| parts.evicted.real(),
    ),
];

static CERTIFICATES: [Column<CertificateSample, 1>; 2] = [
    Column::new(
        Spec::gauge(
            "seawall_tls_certificate_not_after_timestamp_seconds",
            "When the certificate expires.",
            ["certificate"],
        ),
        |certificate| certificate.not_after.real(),
    ),
    Column::new(
        Spec::gauge(
            "seawall_tls_certificate_stale",
            "Whether its files hold something newer that cannot be used.",
            ["certificate"],
        ),
        |certificate| certificate.stale.real(),
    ),
];

static LINES: Spec<0> = Spec::counter("seawall_access_log_lines_total", "Lines written.", []);
static DROPPED: Spec<0> = Spec::counter(
    "seawall_access_log_dropped_lines_total",
    "Lines lost: no room in memory, or a stuck disk.",
    [],
);
static WRITE_ERRORS: Spec<0> =
    Spec::counter("seawall_access_log_write_errors_total", "Writes that failed; they are tried again.", []);
static REOPEN_FAILURES: Spec<0> = Spec::counter(
    "seawall_access_log_reopen_failures_total",
    "Times the file could not be opened anew, so that the old one is still written.",
    [],
);
static BUFFERED: Spec<0> =
    Spec::gauge("seawall_access_log_buffered_bytes", "Bytes waiting to be written.", []);

pub(super) fn specs() -> Specs {
    let mut specs: Specs = vec![&SERVER_RESULTS.spec, &RESOLVED_AT];
    specs.extend(
        [&LINES, &DROPPED, &WRITE_ERRORS, &REOPEN_FAILURES, &BUFFERED].map(|spec| spec as &dyn Described),
    );
    specs.extend(PARTS.iter().map(|column| &column.spec as &dyn Described));
    specs.extend(POOLS.iter().map(|column| &column.spec as &dyn Described));
    specs.extend(SERVERS.iter().map(|column| &column.spec as &dyn Described));
    specs.extend(NAMES.iter().map(|column| &column.spec as &dyn Described));
    specs.extend(TIERS.iter().map(|column| &column.spec as &dyn Described));
    specs.extend(TIER_CAUSES.iter().map(|causes| &causes.spec as &dyn Described));
    specs.extend(super::disks::specs());
    specs.extend(super::refreshes::specs());
    specs.extend(CERTIFICATES.iter().map(|column| &column.spec as &dyn Described));
    specs
}

pub(super) fn read(sources: &Sources, out: &mut Families) {
    // Each is taken out of its lock first: it may take its time.
    let pools = sources.pools.read().clone();
    if let Some(pools) = pools {
        read_pools(pools.as_ref(), out);
    }
    let store = sources.store.read().clone();
    if let Some(store) = store {
        read_store(store.as_ref(), out);
        super::disks::read(store.as_ref(), out);
        super::refreshes::read(store.as_ref(), out);
    }
    let certificates = sources.certificates.read().clone();
    if let Some(certificates) = certificates {
        table(&unique(certificates.certificates(), |c| [c.certificate.clone()]), &CERTIFICATES, out);
    }
    let access_log = sources.access_log.read().clone();
    if let Some(access_log) = access_log {
        let stats = access_log.stats();
        out.single(&LINES, stats.written);
        out.single(&DROPPED, stats.dropped);
        out.single(&WRITE_ERRORS, stats.write_errors);
        out.single(&REOPEN_FAILURES, stats.reopen_failures);
        out.single(&BUFFERED, stats.buffered_bytes);
    }
}

type Rows<T, const N: usize> = BTreeMap<[String; N], T>;

/// Prometheus refuses a scrape that names a series twice, so rows are unique by key.
fn unique<T, const N: usize>(rows: Vec<T>, key: impl Fn(&T) -> [String; N]) -> Rows<T, N> {
    rows.into_iter().map(|row| (key(&row), row)).collect()
}

/// Writes one family per column.
fn table<T, const N: usize>(rows: &Rows<T, N>, columns: &[Column<T, N>], out: &mut Families) {
    for column in columns {
        let mut family = out.family(&column.spec);
        for (key, row) in rows {
            family.sample(std::array::from_fn(|i| key[i].as_str()), (column.read)(row));
        }
    }
}

/// Writes a family with a sample per cause, each cause once.
fn by_cause<T, const K: usize, const N: usize>(rows: &Rows<T, K>, causes: &Causes<T, N>, out: &mut Families) {
    let mut family = out.family(&causes.spec);
    for (key, row) in rows {
        let counts: BTreeMap<_, _> = (causes.read)(row).iter().copied().collect();
        for (cause, count) in counts {
            family.sample(std::array::from_fn(|i| key.get(i).map_or(cause, String::as_str)), count);
        }
    }
}

fn read_pools(source: &dyn PoolSource, out: &mut Families) {
    table(&unique(source.pools(), |pool| [pool.upstream.clone()]), &POOLS, out);
    let servers = unique(source.servers(), |server| [server.upstream.clone(), server.server.clone()]);
    table(&servers, &SERVERS, out);
    by_cause(&servers, &SERVER_RESULTS, out);
    let names = unique(source.names(), |name| [name.upstream.clone(), name.name.clone()]);
    table(&names, &NAMES, out);
    let mut family = out.family(&RESOLVED_AT);
    for ([upstream, name], sample) in &names {
        if let Some(time) = sample.last_success {
            family.sample([upstream, name], unix_seconds(time));
        }
    }
}

fn read_store(source: &dyn StoreSource, out: &mut Families) {
    let tiers = unique(source.tiers(), |tier| [tier.zone.clone(), tier.tier.to_owned()]);
    table(&tiers, &TIERS, out);
    for causes in &TIER_CAUSES {
        by_cause(&tiers, causes, out);
    }
    table(&unique(source.parts(), |parts| [parts.zone.clone()]), &PARTS, out);
}
