//! The state of a pool, for metrics and for people.

use std::path::Path;
use std::sync::atomic::Ordering;

use pingora_core::protocols::l4::socket::SocketAddr;

use crate::member::Member;
use crate::names::Name;
use crate::overrides::Override;
use crate::pool::Pool;

/// The state of a pool at one moment.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PoolSnapshot {
    /// The name of the upstream.
    pub name: String,
    /// Its servers; at most 4096.
    pub servers: Vec<ServerSnapshot>,
    /// Its servers given by DNS name.
    pub names: Vec<NameSnapshot>,
    /// Retries that could be made now.
    pub retries_available: u64,
    /// Retries made since the start.
    pub retries_spent: u64,
    /// Retries refused by the budget since the start.
    pub retries_denied: u64,
    /// Requests since the start for which no server was healthy.
    pub no_server: u64,
    /// Requests since the start for which every healthy server was full.
    pub full: u64,
}

/// The state of one server.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ServerSnapshot {
    /// As it is written in the settings.
    pub name: String,
    /// Where it is; differs from `name` when that is a DNS name.
    pub address: String,
    /// What health checks say; `true` without checks.
    pub healthy: bool,
    /// Whether it takes no new requests.
    pub drained: bool,
    /// Whether it takes requests only when no other can.
    pub backup: bool,
    /// Its share.
    pub weight: u32,
    /// What was ordered at run time, over the settings.
    pub ordered: Override,
    /// Requests in flight.
    pub in_flight: u32,
    /// Times it was chosen since the start.
    pub selected: u64,
    /// Tries it answered with a status below 500.
    pub answered: u64,
    /// Tries it answered with a status of 500 or above.
    pub server_errors: u64,
    /// Tries that got no connection.
    pub connect_failures: u64,
    /// Tries whose connection broke or timed out after the request left.
    pub broken: u64,
    /// Health checks it passed.
    pub checks_passed: u64,
    /// Health checks it failed.
    pub checks_failed: u64,
    /// Why the latest check failed; `None` when it passed.
    pub check_error: Option<String>,
}

/// The state of one DNS name.
#[derive(Debug, Clone, serde::Serialize)]
pub struct NameSnapshot {
    /// The name.
    pub host: String,
    /// Addresses in use.
    pub addresses: usize,
    /// Addresses of the latest answer left out, beyond `dns.max_addresses`.
    pub left_out: usize,
    /// Seconds since the latest good answer; `None` before the first.
    pub age_seconds: Option<u64>,
    /// Lookups since the start.
    pub lookups: u64,
    /// Lookups that failed since the start.
    pub failures: u64,
    /// Lookups that failed since the latest good answer.
    pub failing: u32,
    /// Why the latest lookup failed; `None` when it did not.
    pub last_error: Option<String>,
}

impl Pool {
    /// The state now. For metrics and status pages, not for every request.
    #[must_use]
    pub fn snapshot(&self) -> PoolSnapshot {
        PoolSnapshot {
            name: self.name.to_string(),
            servers: self.members.load().all.iter().map(|member| server(member)).collect(),
            names: self.names.iter().map(name).collect(),
            retries_available: self.budget.available(),
            retries_spent: self.budget.spent(),
            retries_denied: self.budget.denied(),
            no_server: self.no_server.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
        }
    }
}

fn server(member: &Member) -> ServerSnapshot {
    let live = &member.live;
    ServerSnapshot {
        name: member.name.to_string(),
        address: match &member.address {
            // As it is written, so that it is no second name.
            SocketAddr::Unix(path) => {
                format!("unix:{}", path.as_pathname().unwrap_or(Path::new("")).display())
            }
            inet => inet.to_string(),
        },
        healthy: member.healthy(),
        drained: member.drained,
        backup: member.backup,
        weight: member.weight,
        ordered: member.ordered,
        in_flight: member.in_flight(),
        selected: live.selected.load(Ordering::Relaxed),
        answered: live.answered.load(Ordering::Relaxed),
        server_errors: live.server_errors.load(Ordering::Relaxed),
        connect_failures: live.connect_failures.load(Ordering::Relaxed),
        broken: live.broken.load(Ordering::Relaxed),
        checks_passed: live.checks_passed.load(Ordering::Relaxed),
        checks_failed: live.checks_failed.load(Ordering::Relaxed),
        check_error: live.check_error.lock().clone(),
    }
}

fn name(name: &Name) -> NameSnapshot {
    let state = name.state();
    NameSnapshot {
        host: name.host.clone(),
        addresses: state.addresses.len(),
        left_out: state.left_out,
        age_seconds: state.last_success.map(|at| at.elapsed().as_secs()),
        lookups: state.lookups,
        failures: state.failures,
        failing: state.failing,
        last_error: state.last_error,
    }
}
