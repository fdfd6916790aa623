//! From DNS names to addresses.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::{Resolver, TokioResolver};
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

/// The system's name servers and hosts file. One may serve all pools.
///
/// Its connections live on the runtime that first asks, so pools that share one must run on one runtime.
#[derive(Default)]
pub struct SystemResolver {
    /// By family, since the resolver takes it as an option. Made at the first lookup: the name servers may come up after us.
    by_family: [OnceCell<TokioResolver>; 3],
}

impl SystemResolver {
    fn resolver(&self, family: Family) -> Result<&TokioResolver, ResolveError> {
        let (slot, strategy) = match family {
            Family::Any => (&self.by_family[0], LookupIpStrategy::Ipv4AndIpv6),
            Family::Ipv4 => (&self.by_family[1], LookupIpStrategy::Ipv4Only),
            Family::Ipv6 => (&self.by_family[2], LookupIpStrategy::Ipv6Only),
        };
        slot.get_or_try_init(|| {
            let mut builder = Resolver::builder_tokio().map_err(|error| {
                ResolveError(format!("the system's DNS settings cannot be read: {error}"))
            })?;
            builder.options_mut().ip_strategy = strategy;
            // We ask again when the answer has run out; a cache in between could only make it staler.
            builder.options_mut().cache_size = 0;
            builder.build().map_err(|error| ResolveError(error.to_string()))
        })
    }
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
