//! The limits that all listeners share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use seawall_guard::{Admission, CapReached, ConnectionCaps, Deadlines, Limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that wait for the last bytes of clients whose answer is sent. Each holds its place among the
/// open connections; this bounds how many of those may be idle in this way.
const MAX_LINGERING: u32 = 1024;

/// Caps and deadlines, shared by the listeners that serve the same clients.
#[derive(Debug)]
pub struct Gate {
    caps: Arc<ConnectionCaps>,
    handshakes: Arc<Semaphore>,
    max_handshakes: u32,
    lingering: AtomicU32,
    pub(crate) deadlines: Deadlines,
}

/// The numbers of a [`Gate`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateSnapshot {
    /// Connections open.
    pub connections: u32,
    /// Their cap.
    pub max_connections: u32,
    /// Client addresses with a connection open.
    pub addresses: usize,
    /// TLS handshakes in progress.
    pub handshakes: u32,
    /// Their cap.
    pub max_handshakes: u32,
    /// Connections that are over but for what the client still sends.
    pub lingering: u32,
}

impl Gate {
    /// A gate with the given limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            caps: ConnectionCaps::new(limits),
            handshakes: Arc::new(Semaphore::new(limits.max_handshakes as usize)),
            max_handshakes: limits.max_handshakes,
            lingering: AtomicU32::new(0),
            deadlines: limits.deadlines.clone(),
        })
    }

    /// The numbers now. Walks the table of addresses: for metrics, not for each connection.
    #[must_use]
    pub fn snapshot(&self) -> GateSnapshot {
        let free = u32::try_from(self.handshakes.available_permits()).unwrap_or(u32::MAX);
        GateSnapshot {
            connections: self.caps.open(),
            max_connections: self.caps.max_open(),
            addresses: self.caps.addresses(),
            handshakes: self.max_handshakes.saturating_sub(free),
            max_handshakes: self.max_handshakes,
            lingering: self.lingering.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<Admission, CapReached> {
        self.caps.admit(address)
    }

    /// A place among the handshakes in progress.
    pub(crate) fn begin_handshake(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handshakes).try_acquire_owned().ok()
    }

    /// A place among the connections that linger.
    pub(crate) fn begin_linger(self: &Arc<Self>) -> Option<Lingering> {
        self.lingering
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now < MAX_LINGERING).then(|| now.saturating_add(1))
            })
            .ok()
            .map(|_| Lingering(Arc::clone(self)))
    }
}

/// Gives the place back when dropped.
#[derive(Debug)]
pub(crate) struct Lingering(Arc<Gate>);

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.lingering.fetch_sub(1, Ordering::Relaxed);
    }
}
