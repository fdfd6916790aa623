//! One server as requests see it, and what is counted about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::HttpPeer;

use crate::overrides::Override;

/// Names one server of one pool for as long as it is in the pool. Never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub(crate) u32);

/// How a request to a server went, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever the status below 500.
    Answered,
    /// It answered with a status of 500 or above.
    ServerError,
    /// No connection came about.
    ConnectFailed,
    /// The connection broke or timed out after the request left.
    Broken,
}

/// What is counted about a server; outlives a change of the pool's membership.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) unhealthy: AtomicBool,
    pub(crate) in_flight: AtomicU32,
    pub(crate) selected: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) server_errors: AtomicU64,
    pub(crate) connect_failures: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) checks_passed: AtomicU64,
    pub(crate) checks_failed: AtomicU64,
    /// Why the latest check failed; only written by checks and read by snapshots.
    pub(crate) check_error: Mutex<Option<String>>,
}

/// One server of a pool.
pub(crate) struct Member {
    pub(crate) id: ServerId,
    /// Which of the settings' servers it comes from.
    pub(crate) source: usize,
    /// As it is written in the settings; many members share it when a DNS name has many addresses.
    pub(crate) name: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) weight: u32,
    pub(crate) backup: bool,
    pub(crate) drained: bool,
    /// What was ordered at run time and went into `weight` and `drained`.
    pub(crate) ordered: Override,
    /// Requests it may have in flight; `u32::MAX` for no limit.
    pub(crate) capacity: u32,
    pub(crate) live: Arc<Live>,
    /// Ready to be cloned for a request.
    pub(crate) peer: HttpPeer,
}

impl Member {
    pub(crate) fn healthy(&self) -> bool {
        !self.live.unhealthy.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.live.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() < self.capacity
    }

    /// Takes one of its places; whoever gets `true` gives it back with [`Member::leave`].
    pub(crate) fn enter(&self) -> bool {
        let entered = self
            .live
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.capacity).then(|| n + 1))
            .is_ok();
        if entered {
            self.live.selected.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    pub(crate) fn leave(&self) {
        self.live.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn record(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Answered => &self.live.answered,
            Outcome::ServerError => &self.live.server_errors,
            Outcome::ConnectFailed => &self.live.connect_failures,
            Outcome::Broken => &self.live.broken,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
