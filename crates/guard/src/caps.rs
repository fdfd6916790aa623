//! How many connections are open, in all and per address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ahash::{AHashMap, RandomState};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use seawall_config::units::CidrSet;

use crate::Limits;

/// A cap is reached: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapReached {
    /// `max_connections`.
    Total,
    /// `max_connections_per_address`.
    PerAddress,
}

/// Counts open connections. The table per address holds an entry for each address with a connection open, so
/// `max_connections` bounds it.
#[derive(Debug)]
pub struct ConnectionCaps {
    total: AtomicU32,
    limits: ArcSwap<CapLimits>,
    hasher: RandomState,
    shards: [Mutex<AHashMap<AddressKey, u32>>; SHARDS],
}

#[derive(Debug)]
struct CapLimits {
    total: u32,
    per_address: u32,
    uncounted: CidrSet,
}

impl CapLimits {
    fn new(limits: &Limits) -> Self {
        Self {
            total: limits.max_connections,
            per_address: limits.max_connections_per_address,
            uncounted: limits.uncounted.clone(),
        }
    }
}

/// Enough that accepting threads seldom meet.
const SHARDS: usize = 32;

/// What counts as one client: an IPv4 address, or the /64 network that an IPv6 subscriber is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AddressKey {
    V4(u32),
    V6Network(u64),
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6Network((v6.to_bits() >> 64) as u64),
        }
    }
}

impl ConnectionCaps {
    /// Caps from resolved limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicU32::new(0),
            limits: ArcSwap::from_pointee(CapLimits::new(limits)),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        })
    }

    /// Other caps from now on. Connections that are open beyond a lower one stay.
    pub fn set(&self, limits: &Limits) {
        self.limits.store(Arc::new(CapLimits::new(limits)));
    }

    /// Counts a new connection from `address` (`None`: a unix socket, which no address caps). The place is
    /// given back when the [`Admission`] is dropped.
    ///
    /// # Errors
    /// When a cap is reached.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Admission, CapReached> {
        let limits = self.limits.load();
        self.total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < limits.total).then(|| open.saturating_add(1))
            })
            .map_err(|_| CapReached::Total)?;
        // From here on a drop gives the place in the total back.
        let mut admission = Admission { caps: Arc::clone(self), key: None };
        if let Some(address) = address.filter(|address| !limits.uncounted.contains(*address)) {
            let key = AddressKey::from(address);
            let mut shard = self.shard(key).lock();
            let open = shard.entry(key).or_insert(0);
            if *open >= limits.per_address {
                return Err(CapReached::PerAddress);
            }
            *open = open.saturating_add(1);
            admission.key = Some(key);
        }
        Ok(admission)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// The cap on [`Self::open`].
    #[must_use]
    pub fn max_open(&self) -> u32 {
        self.limits.load().total
    }

    /// Addresses with a connection open now. Walks all shards: for metrics, not for each connection.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn shard(&self, key: AddressKey) -> &Mutex<AHashMap<AddressKey, u32>> {
        let index = (self.hasher.hash_one(key) >> 32) as usize % SHARDS;
        &self.shards[index]
    }
}

/// A place among the open connections; dropping it gives the place back.
#[derive(Debug)]
pub struct Admission {
    caps: Arc<ConnectionCaps>,
    key: Option<AddressKey>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.caps.total.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = self.key {
            let mut shard = self.caps.shard(key).lock();
            if let Some(open) = shard.get_mut(&key) {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    shard.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CapReached, ConnectionCaps};
    use crate::{Limits, LimitsSettings};
    use std::net::IpAddr;
    use std::sync::Arc;

    fn caps(yaml: &str) -> Arc<ConnectionCaps> {
        let settings: LimitsSettings = serde_yaml::from_str(yaml).unwrap();
        ConnectionCaps::new(&Limits::new(&settings))
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn places_are_taken_and_given_back() {
        let caps = caps("{ max_connections: 2, max_connections_per_address: 2 }");
        let first = caps.admit(ip("192.0.2.1")).unwrap();
        let second = caps.admit(None).unwrap();
        assert_eq!(caps.admit(ip("192.0.2.3")).err(), Some(CapReached::Total));
        assert_eq!(caps.open(), 2);
        drop(first);
        let third = caps.admit(ip("192.0.2.3")).unwrap();
        drop((second, third));
        assert_eq!((caps.open(), caps.addresses()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn one_address_cannot_take_all() {
        let caps = caps("{ max_connections: 10, max_connections_per_address: 1 }");
        let held = caps.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(caps.admit(ip("192.0.2.1")).err(), Some(CapReached::PerAddress));
        assert_eq!(caps.admit(ip("::ffff:192.0.2.1")).err(), Some(CapReached::PerAddress));
        assert_eq!(caps.open(), 1, "a refused connection takes no place");
        assert!(caps.admit(ip("192.0.2.2")).is_ok());
        drop(held);
        assert!(caps.admit(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let caps = caps("{ max_connections: 10, max_connections_per_address: 1 }");
        let _held = caps.admit(ip("2001:db8:0:1::1")).unwrap();
        assert_eq!(caps.admit(ip("2001:db8:0:1:ffff::2")).err(), Some(CapReached::PerAddress));
        assert!(caps.admit(ip("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn some_addresses_are_not_counted() {
        let caps =
            caps("{ max_connections: 10, max_connections_per_address: 1, uncounted_addresses: 10.0.0.0/8 }");
        let _held: Vec<_> = (0..10).map(|_| caps.admit(ip("10.0.0.1")).unwrap()).collect();
        assert_eq!(caps.admit(ip("10.0.0.1")).err(), Some(CapReached::Total), "the total still holds");
    }

    #[test]
    fn counting_holds_under_contention() {
        let caps = caps("{ max_connections: 1000, max_connections_per_address: 500 }");
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let caps = &caps;
                scope.spawn(move || {
                    for round in 0..500u16 {
                        let address = format!("192.0.{}.{}", thread % 2, round % 7);
                        drop(caps.admit(ip(&address)));
                    }
                });
            }
        });
        assert_eq!((caps.open(), caps.addresses()), (0, 0));
    }
}
