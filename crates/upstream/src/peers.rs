//! What Pingora needs to know to connect to a server.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use pingora_core::protocols::l4::ext::TcpKeepalive;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::tls::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions, Scheme};

use crate::credentials::{CredentialProblem, Credentials};
use crate::settings::{Protocol, TlsSettings, UpstreamSettings};

/// Between two questions of TCP whether the server is there, and how many go unanswered before it counts as gone.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: usize = 3;

/// Makes the peers of one pool; all of them have the same options.
pub(crate) struct PeerFactory {
    tls: bool,
    credentials: Credentials,
    options: PeerOptions,
    group_key: u64,
}

impl PeerFactory {
    pub(crate) fn new(pool: &str, settings: &UpstreamSettings) -> Result<Self, Vec<CredentialProblem>> {
        let tls = settings.tls();
        let credentials = tls.map(Credentials::load).transpose()?.unwrap_or_default();
        let mut options = options(settings);
        options.ca = credentials.authorities.clone();
        options.verify_cert = tls.is_some_and(|tls| tls.verify);
        options.verify_hostname = options.verify_cert;
        let group_key = group_key(pool, settings.protocol, tls, credentials.fingerprint);
        Ok(Self { tls: tls.is_some(), credentials, options, group_key })
    }

    /// Whether the TLS files that `settings` name hold what they held when this was made.
    pub(crate) fn has_credentials_of(&self, settings: &UpstreamSettings) -> bool {
        let now = settings.tls().map(Credentials::load).transpose();
        now.is_ok_and(|now| now.unwrap_or_default().fingerprint == self.credentials.fingerprint)
    }

    /// A peer at a resolved address. `name` is what its certificate must be for: without one Pingora sends no SNI and
    /// checks nothing (connectors/tls/boringssl_openssl/mod.rs:176), so the pool refuses to be built.
    pub(crate) fn peer(&self, address: SocketAddr, name: Option<&str>) -> HttpPeer {
        HttpPeer {
            _address: address,
            scheme: Scheme::from_tls_bool(self.tls),
            sni: name.unwrap_or_default().to_owned(),
            proxy: None,
            client_cert_key: self.credentials.client.clone(),
            group_key: self.group_key,
            options: self.options.clone(),
        }
    }
}

fn options(settings: &UpstreamSettings) -> PeerOptions {
    let timeouts = &settings.timeouts;
    let mut options = PeerOptions::new();
    // Pingora applies the first to TCP and to TLS each, the second to both together.
    options.connection_timeout = Some(timeouts.connect.duration());
    options.total_connection_timeout = Some(timeouts.connect.duration());
    // One value for every read; where the two differ the shorter one is kept by a `SilenceWatch`.
    options.read_timeout = Some(timeouts.first_byte.max(timeouts.read).duration());
    options.write_timeout = Some(timeouts.write.duration());
    options.idle_timeout = Some(timeouts.idle.duration());
    options.tcp_keepalive = (!timeouts.tcp_keepalive.is_zero()).then(|| TcpKeepalive {
        idle: timeouts.tcp_keepalive.duration(),
        interval: KEEPALIVE_INTERVAL,
        count: KEEPALIVE_COUNT,
        user_timeout: Duration::ZERO,
    });
    options.alpn = match settings.protocol {
        Protocol::Http1 => ALPN::H1,
        Protocol::Http2 => ALPN::H2,
        // Without TLS there is nobody to negotiate with, and Pingora then takes HTTP/1.1 too.
        Protocol::Auto if settings.tls().is_none() => ALPN::H1,
        Protocol::Auto => ALPN::H2H1,
    };
    options.max_h2_streams = settings.max_h2_streams as usize;
    options
}

/// Connections are shared only between peers of one group. Pingora's own hash of a peer leaves out its authorities and
/// its protocol, and of a client certificate takes only the serial number (upstreams/peer.rs:716).
fn group_key(pool: &str, protocol: Protocol, tls: Option<&TlsSettings>, fingerprint: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (pool, protocol, fingerprint).hash(&mut hasher);
    tls.map(|tls| (tls.verify, tls.min_version.to_string())).hash(&mut hasher);
    hasher.finish()
}
