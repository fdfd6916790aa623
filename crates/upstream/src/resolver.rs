//! From DNS names to addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, ResolverBuilder, TokioResolver};
use once_cell::sync::OnceCell;

use crate::settings::Family;

/// What a name resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The addresses, in any order. None is a failure: the last good ones stay.
    pub addresses: Vec<IpAddr>,
    /// How long the answer holds.
    pub ttl: Duration,
}

/// Why a name does not resolve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResolveError(pub String);

/// Something that resolves names; a trait so that tests decide what DNS says.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of `host`.
    ///
    /// # Errors
    /// When there is no answer or none with an address. The caller bounds the time.
    async fn lookup(&self, host: &str, family: Family) -> Result<Answer, ResolveError>;
}

/// The system's name servers, or those it is given, and the system's hosts file. One may serve many pools.
///
/// Its connections live on the runtime that first asks, so pools that share one must run on one runtime.
#[derive(Default)]
pub struct SystemResolver {
    /// Asked instead of the system's when there are any.
    servers: Vec<SocketAddr>,
    /// By family, since the resolver takes it as an option. Made at the first lookup: the name servers may come up after us.
    by_family: [OnceCell<TokioResolver>; 3],
}

impl SystemResolver {
    /// Asks these servers, in this order, instead of the system's.
    #[must_use]
    pub fn asking(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { servers: servers.into_iter().collect(), ..Self::default() }
    }

    fn resolver(&self, family: Family) -> Result<&TokioResolver, ResolveError> {
        let (slot, strategy) = match family {
            Family::Any => (&self.by_family[0], LookupIpStrategy::Ipv4AndIpv6),
            Family::Ipv4 => (&self.by_family[1], LookupIpStrategy::Ipv4Only),
            Family::Ipv6 => (&self.by_family[2], LookupIpStrategy::Ipv6Only),
        };
        slot.get_or_try_init(|| {
            let mut builder = self.builder()?;
            builder.options_mut().ip_strategy = strategy;
            // We ask again when the answer has run out; a cache in between could only make it staler.
            builder.options_mut().cache_size = 0;
            builder.build().map_err(|error| ResolveError(error.to_string()))
        })
    }

    fn builder(&self) -> Result<ResolverBuilder<TokioRuntimeProvider>, ResolveError> {
        if self.servers.is_empty() {
            return Resolver::builder_tokio()
                .map_err(|error| ResolveError(format!("the system's DNS settings cannot be read: {error}")));
        }
        let servers = self.servers.iter().map(|server| at(*server)).collect();
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        Ok(builder)
    }
}

/// A server that is asked over UDP, and over TCP when the answer is too long for that.
fn at(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    // What one server does not know another may: with split views that is the reason to list two.
    NameServerConfig::new(server.ip(), false, connections.into())
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn lookup(&self, host: &str, family: Family) -> Result<Answer, ResolveError> {
        let found =
            self.resolver(family)?.lookup_ip(host).await.map_err(|error| ResolveError(error.to_string()))?;
        let ttl = found.valid_until().saturating_duration_since(Instant::now());
        Ok(Answer { addresses: found.iter().collect(), ttl })
    }
}

#[cfg(test)]
mod tests {
    use super::{Resolve as _, SystemResolver};
    use crate::settings::Family;

    #[tokio::test]
    async fn the_hosts_file_counts() {
        let answer = SystemResolver::default().lookup("localhost", Family::Ipv4).await.unwrap();
        assert_eq!(answer.addresses, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    }
}
