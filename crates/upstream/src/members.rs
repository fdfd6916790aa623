//! The servers of a pool at one moment, immutable, swapped as a whole.

use std::sync::Arc;

use pingora_core::protocols::l4::socket::SocketAddr;

use crate::member::Member;
use crate::select::{Ring, Wheel};

/// Servers that take requests together: the primaries, or the backups.
#[derive(Default)]
pub(crate) struct Tier {
    pub(crate) members: Vec<Arc<Member>>,
    pub(crate) wheel: Wheel,
    /// Only built for consistent hashing.
    pub(crate) ring: Option<Ring>,
}

impl Tier {
    fn new(members: Vec<Arc<Member>>, with_ring: bool) -> Self {
        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        let ring = with_ring.then(|| Ring::new(&members));
        Self { wheel: Wheel::new(&weights), ring, members }
    }
}

/// Every server of a pool, and the tiers that requests choose from.
#[derive(Default)]
pub(crate) struct Members {
    pub(crate) all: Vec<Arc<Member>>,
    /// The primaries, then the backups; drained servers are in neither.
    pub(crate) tiers: [Tier; 2],
}

impl Members {
    pub(crate) fn new(all: Vec<Arc<Member>>, with_ring: bool) -> Self {
        let tier = |backup: bool| {
            let members = all.iter().filter(|m| !m.drained && m.backup == backup).cloned().collect();
            Tier::new(members, with_ring)
        };
        Self { tiers: [tier(false), tier(true)], all }
    }

    pub(crate) fn find(&self, address: &SocketAddr) -> Option<&Arc<Member>> {
        self.all.iter().find(|member| member.address == *address)
    }
}
