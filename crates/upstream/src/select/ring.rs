use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv6Addr;
use std::sync::Arc;

use http::Extensions;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::consistent::{KetamaHashing, OwnedNodeIterator};
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use crate::member::Member;

/// Points Ketama puts on the ring for each unit of weight (pingora-ketama, `DEFAULT_POINT_MULTIPLE`).
const POINTS: usize = 160;

/// Which member of its tier a point belongs to.
#[derive(Clone, Copy)]
struct Place(u16);

/// Pingora's Ketama ring over the members of one tier.
pub(crate) struct Ring {
    ketama: Arc<KetamaHashing>,
    points: usize,
}

impl Ring {
    pub(crate) fn new(members: &[Arc<Member>]) -> Self {
        let backends: BTreeSet<Backend> = members
            .iter()
            .zip(0u16..)
            .map(|(member, index)| {
                let mut ext = Extensions::new();
                ext.insert(Place(index));
                Backend { addr: on_ring(&member.address), weight: member.weight as usize, ext }
            })
            .collect();
        let points = members.iter().map(|member| member.weight as usize).sum::<usize>() * POINTS;
        Self { ketama: Arc::new(KetamaHashing::build(&backends)), points }
    }

    /// The members in the order in which they would take `key`, with repetitions, once around the ring.
    pub(crate) fn walk(&self, key: &[u8]) -> Walk {
        Walk { points: self.ketama.iter(key), left: self.points }
    }
}

/// See [`Ring::walk`].
pub(crate) struct Walk {
    points: OwnedNodeIterator,
    left: usize,
}

impl Iterator for Walk {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        self.points.next()?.ext.get::<Place>().map(|place| usize::from(place.0))
    }
}

/// Pingora's ring leaves out everything but IP addresses (selection/consistent.rs:50), so a unix socket stands there as
/// an address made of its path, in the discard-only block of RFC 6666, where no server can be.
fn on_ring(address: &SocketAddr) -> SocketAddr {
    let SocketAddr::Unix(unix) = address else { return address.clone() };
    let mut hasher = DefaultHasher::new();
    unix.as_pathname().hash(&mut hasher);
    let hash = hasher.finish();
    let bits = (0x0100_u128 << 112) | u128::from(hash);
    SocketAddr::Inet((Ipv6Addr::from_bits(bits), 1).into())
}
