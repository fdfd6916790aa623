//! The limits that all listeners share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use seawall_guard::{Admission, CapReached, ConnectionCaps, Deadlines, Limits};

/// Connections that wait for the last bytes of clients whose answer is sent. Each holds its place among the
/// open connections; this bounds how many of those may be idle in this way.
const MAX_LINGERING: u32 = 1024;

/// Caps and deadlines, shared by the listeners that serve the same clients.
#[derive(Debug)]
pub struct Gate {
    caps: Arc<ConnectionCaps>,
    handshakes: AtomicU32,
    max_handshakes: AtomicU32,
    lingering: AtomicU32,
    deadlines: ArcSwap<Deadlines>,
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
            handshakes: AtomicU32::new(0),
            max_handshakes: AtomicU32::new(limits.max_handshakes),
            lingering: AtomicU32::new(0),
            deadlines: ArcSwap::from_pointee(limits.deadlines.clone()),
        })
    }

    /// Other limits from now on. A connection keeps the deadlines it began with.
    pub fn set_limits(&self, limits: &Limits) {
        self.caps.set(limits);
        self.max_handshakes.store(limits.max_handshakes, Ordering::Relaxed);
        self.deadlines.store(Arc::new(limits.deadlines.clone()));
    }

    /// The numbers now. Walks the table of addresses: for metrics, not for each connection.
    #[must_use]
    pub fn snapshot(&self) -> GateSnapshot {
        GateSnapshot {
            connections: self.caps.open(),
            max_connections: self.caps.max_open(),
            addresses: self.caps.addresses(),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            max_handshakes: self.max_handshakes.load(Ordering::Relaxed),
            lingering: self.lingering.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<Admission, CapReached> {
        self.caps.admit(address)
    }

    /// A place among the handshakes in progress.
    pub(crate) fn begin_handshake(self: &Arc<Self>) -> Option<Handshaking> {
        let most = self.max_handshakes.load(Ordering::Relaxed);
        self.handshakes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now < most).then(|| now.saturating_add(1))
            })
            .ok()
            .map(|_| Handshaking(Arc::clone(self)))
    }

    /// The deadlines for a connection that begins now.
    pub(crate) fn deadlines(&self) -> Arc<Deadlines> {
        self.deadlines.load_full()
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
pub(crate) struct Handshaking(Arc<Gate>);

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
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
