//! Values that other crates keep and a scrape asks for. The binary implements the sources.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::exposition::{Exposition, Labels, Value};

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
    /// Health checks that failed so far.
    pub checks_failed: u64,
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
    /// Lookups that failed so far.
    pub failures: u64,
    /// When a lookup last succeeded.
    pub last_success: Option<SystemTime>,
}

/// Where a scrape finds the pools.
pub trait PoolSource: Send + Sync {
    /// Every server of every pool now. A second sample with the same names is left out.
    fn servers(&self) -> Vec<ServerSample>;
    /// Every name of every pool now.
    fn names(&self) -> Vec<NameSample>;
}

/// A count by one of a fixed list of causes.
pub type ByCause = Vec<(&'static str, u64)>;

/// The state of one tier of the cache store. Counts run since the start.
#[derive(Debug, Clone, Default)]
pub struct StoreSample {
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
    /// Lookups that found none.
    pub misses: u64,
    /// Objects put in.
    pub inserts: u64,
    /// Objects pushed out, by queue.
    pub evictions: ByCause,
    /// Objects not taken, by reason.
    pub rejected: ByCause,
    /// Fills running now.
    pub fills_in_flight: u64,
    /// Fills finished.
    pub fills: u64,
    /// Fills that ended without an object.
    pub fills_failed: u64,
    /// Objects removed on demand, by kind of purge.
    pub purges: ByCause,
}

/// Where a scrape finds the cache store.
pub trait StoreSource: Send + Sync {
    /// Every tier now.
    fn tiers(&self) -> Vec<StoreSample>;
}

/// The end of a certificate's life.
#[derive(Debug, Clone)]
pub struct CertificateSample {
    /// Its file or first name, from the configuration.
    pub certificate: String,
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
}

/// Where a scrape finds the certificates in use.
pub trait CertificateSource: Send + Sync {
    /// Every certificate now.
    fn certificates(&self) -> Vec<CertificateSample>;
}

/// A column of a table of samples: name, help, value.
type Column<T> = (&'static str, &'static str, fn(&T) -> Value);

/// The name, the help, the label and the values of a counter by cause.
type Causes = (&'static str, &'static str, &'static str, fn(&StoreSample) -> &ByCause);

/// Writes one family per column. Prometheus refuses a scrape that names a series twice, so rows are unique by key.
fn table<T, const N: usize>(
    rows: &BTreeMap<[String; N], T>,
    labels: [&'static str; N],
    gauges: &[Column<T>],
    counters: &[Column<T>],
    out: &mut Exposition,
) {
    let mut write = |is_counter: bool, (name, help, read): &Column<T>| {
        let mut family = if is_counter { out.counter(name, help) } else { out.gauge(name, help) };
        for (key, row) in rows {
            let pairs: [(&'static str, &str); N] = std::array::from_fn(|i| (labels[i], key[i].as_str()));
            family.sample(&pairs, read(row));
        }
    };
    gauges.iter().for_each(|column| write(false, column));
    counters.iter().for_each(|column| write(true, column));
}

pub(super) fn write_pools(source: &dyn PoolSource, out: &mut Exposition) {
    let servers: BTreeMap<_, _> =
        source.servers().into_iter().map(|s| ([s.upstream.clone(), s.server.clone()], s)).collect();
    table(
        &servers,
        ["upstream", "server"],
        &[
            ("seawall_upstream_server_up", "Whether the server is healthy.", |s| s.up.into()),
            ("seawall_upstream_server_drained", "Whether the server was taken out.", |s| s.drained.into()),
            ("seawall_upstream_server_backup", "Whether the server is a backup.", |s| s.backup.into()),
            ("seawall_upstream_server_weight", "The server's share.", |s| s.weight.into()),
            ("seawall_upstream_in_flight", "Requests at the server now.", |s| s.in_flight.into()),
        ],
        &[("seawall_upstream_health_check_failures_total", "Health checks that failed.", |s| {
            s.checks_failed.into()
        })],
        out,
    );
    let names: BTreeMap<_, _> =
        source.names().into_iter().map(|n| ([n.upstream.clone(), n.name.clone()], n)).collect();
    table(
        &names,
        ["upstream", "name"],
        &[("seawall_upstream_dns_addresses", "Addresses in use for the name.", |n| n.addresses.into())],
        &[("seawall_upstream_dns_failures_total", "Lookups of the name that failed.", |n| n.failures.into())],
        out,
    );
    let mut family =
        out.gauge("seawall_upstream_dns_last_success_timestamp_seconds", "When the name was last resolved.");
    for (key, name) in &names {
        if let Some(time) = name.last_success {
            family.sample(&[("upstream", &key[0]), ("name", &key[1])], unix_seconds(time));
        }
    }
}

pub(super) fn write_store(source: &dyn StoreSource, out: &mut Exposition) {
    let tiers: BTreeMap<_, _> = source.tiers().into_iter().map(|t| ([t.tier.to_owned()], t)).collect();
    table(
        &tiers,
        ["tier"],
        &[
            ("seawall_cache_objects", "Objects stored.", |t| t.objects.into()),
            ("seawall_cache_bytes", "Bytes used, bookkeeping included.", |t| t.bytes.into()),
            ("seawall_cache_capacity_bytes", "Bytes that may be used.", |t| t.capacity_bytes.into()),
            ("seawall_cache_fills_in_flight", "Responses on their way into the store.", |t| {
                t.fills_in_flight.into()
            }),
        ],
        &[
            ("seawall_cache_hits_total", "Lookups that found an object.", |t| t.hits.into()),
            ("seawall_cache_misses_total", "Lookups that found none.", |t| t.misses.into()),
            ("seawall_cache_inserts_total", "Objects put in.", |t| t.inserts.into()),
            ("seawall_cache_fills_total", "Fills that ended with an object.", |t| t.fills.into()),
            ("seawall_cache_fills_failed_total", "Fills that ended without one.", |t| t.fills_failed.into()),
        ],
        out,
    );
    let causes: [Causes; 3] = [
        ("seawall_cache_evictions_total", "Objects pushed out.", "queue", |t| &t.evictions),
        ("seawall_cache_rejected_total", "Objects not taken.", "reason", |t| &t.rejected),
        ("seawall_cache_purges_total", "Objects removed on demand.", "kind", |t| &t.purges),
    ];
    for (name, help, label, read) in causes {
        let mut family = out.counter(name, help);
        for ([tier], sample) in &tiers {
            let by_cause: BTreeMap<_, _> = read(sample).iter().copied().collect();
            for (cause, count) in by_cause {
                let labels: Labels<'_> = &[("tier", tier), (label, cause)];
                family.sample(labels, count);
            }
        }
    }
}

pub(super) fn write_certificates(source: &dyn CertificateSource, out: &mut Exposition) {
    let certificates: BTreeMap<_, _> =
        source.certificates().into_iter().map(|c| ([c.certificate.clone()], c)).collect();
    table(
        &certificates,
        ["certificate"],
        &[("seawall_tls_certificate_not_after_timestamp_seconds", "When the certificate expires.", |c| {
            c.not_after.into()
        })],
        &[],
        out,
    );
}

/// Seconds since 1970 as Prometheus counts them.
pub(super) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
