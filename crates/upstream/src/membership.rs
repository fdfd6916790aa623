//! Who is in a pool: the servers that are written down, and those that names resolve to now.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::FutureExt as _;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;

use crate::Address;
use crate::member::{Member, ServerId};
use crate::members::Members;
use crate::names::Name;
use crate::pool::Pool;
use crate::settings::Balance;

/// Servers of one pool, resolved names included. Tables count them in 16 bits, and every one costs health checks.
const MAX_MEMBERS: usize = 4096;

/// The servers as Pingora's health registry is to see them.
#[derive(Clone, Default)]
pub(crate) struct Listed(Arc<ArcSwap<BTreeSet<Backend>>>);

#[async_trait]
impl ServiceDiscovery for Listed {
    async fn discover(&self) -> pingora_error::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        Ok((BTreeSet::clone(&self.0.load()), HashMap::default()))
    }
}

impl Pool {
    /// Takes over what the names resolve to now. Servers that stay keep their counters and their health.
    pub(crate) fn refresh(&self) {
        self.refresh_from(&self.members.load_full());
    }

    /// The same, with what `old` knew of the servers.
    pub(crate) fn refresh_from(&self, old: &Members) {
        let _one_at_a_time = self.refreshing.lock();
        let all: Vec<Arc<Member>> = self
            .wanted()
            .into_iter()
            .map(|(source, address)| Arc::new(self.member(source, address, old)))
            .collect();
        self.listed.0.store(Arc::new(all.iter().map(|member| backend(member)).collect()));
        // Our discovery only reads a list, so this never waits and never fails.
        if !matches!(self.backends.update(|_| ()).now_or_never(), Some(Ok(()))) {
            log::error!("upstream {}: the health registry did not take the new servers", self.name);
        }
        self.seed.sow(&self.backends);
        let with_ring = self.settings.balance == Balance::ConsistentHash;
        self.members.store(Arc::new(Members::new(all, with_ring)));
        self.take_over_health();
    }

    /// Makes the flags that requests read agree with Pingora's registry, which starts anew for a server whose weight
    /// changed or that was away.
    pub(crate) fn take_over_health(&self) {
        for member in &self.members.load().all {
            member.live.unhealthy.store(!self.backends.ready(&backend(member)), Ordering::Relaxed);
        }
    }

    /// Every server there should be now, each address once: the first to name it has it.
    fn wanted(&self) -> Vec<(usize, SocketAddr)> {
        let mut seen = BTreeSet::new();
        let mut wanted = Vec::new();
        for (source, server) in self.settings.servers.iter().enumerate() {
            for address in self.addresses(source, &server.address) {
                if seen.insert(address.clone()) {
                    wanted.push((source, address));
                }
            }
        }
        if wanted.len() > MAX_MEMBERS {
            log::warn!("upstream {}: only {MAX_MEMBERS} of {} servers are used", self.name, wanted.len());
            wanted.truncate(MAX_MEMBERS);
        }
        wanted
    }

    fn addresses(&self, source: usize, address: &Address) -> Vec<SocketAddr> {
        match address {
            Address::Socket(address) => vec![SocketAddr::Inet(*address)],
            // `Address` lets no path through that is too long for a socket.
            Address::Unix(path) => UnixAddr::from_pathname(path).map(SocketAddr::Unix).into_iter().collect(),
            Address::Name { .. } => {
                let name = self.names.iter().find(|name| name.source == source);
                name.map(Name::addresses).unwrap_or_default().into_iter().map(SocketAddr::Inet).collect()
            }
        }
    }

    fn member(&self, source: usize, address: SocketAddr, old: &Members) -> Member {
        let server = &self.settings.servers[source];
        let capacity = self.settings.max_connections;
        let name: Arc<str> = server.address.to_string().into();
        let ordered = self.overrides.of(&name, &address);
        let known = old.find(&address);
        // The same server of the same pool keeps its number, so that a request that goes on does not try it twice.
        let id = known.filter(|member| member.source == source).map(|member| member.id);
        Member {
            id: id.unwrap_or_else(|| ServerId(self.next_id.fetch_add(1, Ordering::Relaxed))),
            source,
            peer: self.factory.peer(address.clone(), self.settings.server_name(&server.address)),
            name,
            address,
            weight: ordered.weight.unwrap_or(server.weight).max(1),
            backup: server.backup,
            drained: ordered.drain.unwrap_or(server.drain),
            ordered,
            capacity: if capacity == 0 { u32::MAX } else { capacity },
            live: known.map_or_else(Arc::default, |member| Arc::clone(&member.live)),
        }
    }
}

/// The registry only keeps health: with the weight in it, a server would count as new whenever that changes.
fn backend(member: &Member) -> Backend {
    Backend { addr: member.address.clone(), weight: 1, ext: http::Extensions::new() }
}
