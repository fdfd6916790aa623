//! What a listener counts about its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::family::{Families, Spec, Specs};
use super::labels::{TlsResult, TlsVersion};
use super::reasons::ReasonCounter;

/// The handle of one listener. Its series are exposed as long as a handle lives.
pub struct ListenerMetrics {
    name: String,
    open: AtomicI64,
    accepted: AtomicU64,
    refused: ReasonCounter,
    handshakes: [[AtomicU64; TlsVersion::ALL.len()]; TlsResult::ALL.len()],
}

impl ListenerMetrics {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            open: AtomicI64::new(0),
            accepted: AtomicU64::new(0),
            refused: ReasonCounter::default(),
            handshakes: Default::default(),
        }
    }

    /// Counts a connection that was let in; pair it with [`Self::closed`].
    pub fn opened(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the end of a connection.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection as [`Self::opened`] until the guard is dropped.
    #[must_use = "the connection counts as closed when the guard is dropped"]
    pub fn open(self: &Arc<Self>) -> OpenConnection {
        self.opened();
        OpenConnection(Arc::clone(self))
    }

    /// Shows these reasons for turning a connection away before one is.
    pub fn may_refuse(&self, reasons: impl IntoIterator<Item = &'static str>) {
        self.refused.expect(reasons);
    }

    /// Counts a connection that was turned away.
    pub fn refused(&self, reason: &'static str) {
        self.refused.inc(reason);
    }

    /// Counts a TLS handshake.
    pub fn handshake(&self, result: TlsResult, version: TlsVersion) {
        self.handshakes[result as usize][version as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// One open connection.
pub struct OpenConnection(Arc<ListenerMetrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.closed();
    }
}

static OPEN: Spec<1> = Spec::gauge("seawall_connections", "Connections open now.", ["listener"]);
static ACCEPTED: Spec<1> =
    Spec::counter("seawall_connections_accepted_total", "Connections let in.", ["listener"]);
static REFUSED: Spec<2> =
    Spec::counter("seawall_connections_refused_total", "Connections turned away.", ["listener", "reason"]);
static HANDSHAKES: Spec<3> = Spec::counter(
    "seawall_tls_handshakes_total",
    "TLS handshakes with clients.",
    ["listener", "result", "version"],
);

pub(super) fn specs() -> Specs {
    vec![&OPEN, &ACCEPTED, &REFUSED, &HANDSHAKES]
}

/// Reads the families of all listeners.
pub(super) fn read(listeners: &[Arc<ListenerMetrics>], out: &mut Families) {
    let mut family = out.family(&OPEN);
    for listener in listeners {
        family.sample([&listener.name], listener.open.load(Ordering::Relaxed));
    }
    let mut family = out.family(&ACCEPTED);
    for listener in listeners {
        family.sample([&listener.name], listener.accepted.load(Ordering::Relaxed));
    }
    let mut family = out.family(&REFUSED);
    for listener in listeners {
        listener.refused.read(&mut family, |reason| [&listener.name, reason]);
    }
    let mut family = out.family(&HANDSHAKES);
    for listener in listeners {
        for result in TlsResult::ALL {
            for version in TlsVersion::ALL {
                let count = listener.handshakes[result as usize][version as usize].load(Ordering::Relaxed);
                if count > 0 {
                    family.sample([&listener.name, result.label(), version.label()], count);
                }
            }
        }
    }
}
