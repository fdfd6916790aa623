//! A server that was chosen for one try of a request.

use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::tls::ALPN;
use pingora_core::upstreams::peer::HttpPeer;

use crate::member::{Member, Outcome, ServerId};
use crate::patient::{self, PatientConnector};

/// A server chosen for one try of a request. While it lives, the request counts as in flight there.
#[must_use = "the request counts as in flight only while this lives"]
pub struct Selected {
    member: Arc<Member>,
    upgrade: OnceLock<Arc<PatientConnector>>,
}

impl Selected {
    /// `None` when the server filled up in the meantime.
    pub(crate) fn take(member: &Arc<Member>) -> Option<Self> {
        member.enter().then(|| Self { member: Arc::clone(member), upgrade: OnceLock::new() })
    }

    /// What to put into `tried` when this try fails.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.member.id
    }

    /// The server as it is written in the settings; from a bounded set, so fit for a metric.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.member.name
    }

    /// Where the connection goes.
    #[must_use]
    pub fn address(&self) -> &SocketAddr {
        &self.member.address
    }

    /// Whether it is a backup.
    #[must_use]
    pub fn is_backup(&self) -> bool {
        self.member.backup
    }

    /// What Pingora needs to connect, with every option and timeout set.
    #[must_use]
    pub fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.member.peer.clone())
    }

    /// The same for a request that upgrades (WebSocket): HTTP/1.1, the only version Pingora can upgrade, also where
    /// HTTP/2 would be preferred, and without a time for each read, since [`crate::SilenceWatch`] keeps them all. A
    /// server that is told to speak only HTTP/2 stays so.
    #[must_use]
    pub fn peer_for_upgrade(&self) -> Box<HttpPeer> {
        let mut peer = self.peer();
        if peer.options.alpn != ALPN::H2 {
            peer.options.alpn = ALPN::H1;
            peer.options.read_timeout = None;
            // `files:` brings its own, which cannot upgrade.
            if peer.options.custom_l4.is_none() {
                let timeout = peer.options.connection_timeout;
                let connector = self.upgrade.get_or_init(|| Arc::new(PatientConnector::new(timeout)));
                peer.options.custom_l4 = Some(Arc::<PatientConnector>::clone(connector));
                peer.group_key = patient::group_of_one();
                // Nobody else finds it; should it not become a tunnel there is no reason to keep it.
                peer.options.idle_timeout = Some(Duration::from_millis(1));
            }
        }
        peer
    }

    /// The descriptor of the connection that [`Self::peer_for_upgrade`] led to, which Pingora does not see. Valid while
    /// Pingora holds that connection.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        self.upgrade.get()?.descriptor()
    }

    /// Counts how it went. Once for each try.
    pub fn report(&self, outcome: Outcome) {
        self.member.record(outcome);
    }
}

impl Drop for Selected {
    fn drop(&mut self) {
        self.member.leave();
    }
}
