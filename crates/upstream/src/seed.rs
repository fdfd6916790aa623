//! Health that a new pool begins with.
//!
//! Pingora's registry begins with every server healthy and has no way to say otherwise but a check. So the first round
//! of checks of a pool that replaces another one asks nobody: it repeats what the old one knew.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt as _;
use parking_lot::Mutex;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::Backends;

use crate::member::Member;

/// Servers that were unhealthy in the pool before.
#[derive(Debug, Default)]
pub(crate) struct Seed(Mutex<Option<BTreeSet<SocketAddr>>>);

impl Seed {
    /// Notes who was unhealthy.
    pub(crate) fn take<'m>(&self, unhealthy: impl Iterator<Item = &'m Arc<Member>>) {
        let sick: BTreeSet<SocketAddr> = unhealthy.map(|member| member.address.clone()).collect();
        *self.0.lock() = (!sick.is_empty()).then_some(sick);
    }

    /// Runs the round that repeats it, once.
    pub(crate) fn sow(&self, backends: &Backends) {
        if self.is_sowing() {
            // One after the other and without a wait in it, so it is done at once.
            if backends.run_health_check(false).now_or_never().is_none() {
                log::error!("the health of the pool before was not taken over");
            }
            *self.0.lock() = None;
        }
    }

    pub(crate) fn is_sowing(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Whether a server was healthy; `None` when checks are real.
    pub(crate) fn says(&self, server: &SocketAddr) -> Option<bool> {
        self.0.lock().as_ref().map(|sick| !sick.contains(server))
    }
}
