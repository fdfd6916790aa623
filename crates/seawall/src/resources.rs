//! What the process may use, beside what its configuration may need.

use crate::settings::Settings;

/// Descriptors for logs, listeners, the runtime, files that are open for a moment.
const RESERVED: u64 = 256;
/// More servers than this are looked up and checked one after the other.
const CHECKS: u64 = 64;

/// File descriptors that a configuration may need at its limits.
pub(crate) struct Need {
    pub(crate) clients: u64,
    /// A connection to an origin for each client at work, and those kept idle.
    pub(crate) origins: u64,
    pub(crate) checks: u64,
}

impl Need {
    /// The need of `settings`, where `max_connections` is `clients`.
    pub(crate) fn new(settings: &Settings, threads: usize) -> Self {
        let limits = seawall_guard::Limits::new(&settings.limits);
        let clients = u64::from(limits.max_connections);
        let servers = settings.upstreams.values().map(|upstream| upstream.servers.len() as u64).sum::<u64>();
        let idle = (settings.server.upstream_connections as u64).saturating_mul(threads as u64);
        let origins = if servers == 0 { 0 } else { clients.saturating_add(idle.min(clients)) };
        Self { clients, origins, checks: servers.min(CHECKS) }
    }

    pub(crate) fn total(&self) -> u64 {
        self.clients.saturating_add(self.origins).saturating_add(self.checks).saturating_add(RESERVED)
    }

    /// What is wrong when only `limit` descriptors may be open.
    pub(crate) fn complaint(&self, limit: u64) -> Option<String> {
        (self.total() > limit).then(|| {
            format!(
                "{} file descriptors may be needed ({} clients, {} connections to origins, {RESERVED} besides) and {limit} may be open; \
                 raise the limit (LimitNOFILE=, ulimit -Hn) or lower limits.max_connections",
                self.total(),
                self.clients,
                self.origins + self.checks
            )
        })
    }
}

/// Tells the log when the descriptors may not do. A limit that was derived from them always does.
pub(crate) fn warn(settings: &Settings, limit: u64) {
    if let Some(complaint) = complaint(settings, limit) {
        log::warn!("{complaint}");
    }
}

/// The same for `seawall check`.
pub(crate) fn complaint(settings: &Settings, limit: u64) -> Option<String> {
    settings.limits.max_connections?;
    let threads = settings
        .server
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
    Need::new(settings, threads).complaint(limit)
}

#[cfg(test)]
mod tests {
    use super::complaint;
    use crate::settings::Settings;

    fn settings(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn clients_and_their_origins_count() {
        let folder = settings("limits: { max_connections: 1000 }");
        assert_eq!(complaint(&folder, 1256), None);
        assert!(complaint(&folder, 1255).unwrap().contains("1256 file descriptors"));
        let pool =
            settings("{ limits: { max_connections: 1000 }, upstreams: { a: { servers: ['10.0.0.1:1'] } } }");
        assert_eq!(complaint(&pool, 3257), None);
        assert!(complaint(&pool, 3256).is_some());
        assert_eq!(complaint(&settings("{}"), 64), None, "a derived limit fits by itself");
    }
}
