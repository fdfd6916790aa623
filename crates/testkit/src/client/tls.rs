//! TLS from the client's side.

use super::raw::RawClient;
use super::wire::Wire;
use crate::pki::Identity;
use crate::tls::{TlsInfo, alpn_wire, version};
use crate::wait::{DEADLINE, OrDie};
use parking_lot::Mutex;
use pingora_boringssl::ssl::{
    Ssl, SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslSession, SslSessionCacheMode,
    SslVerifyMode,
};
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// How to speak TLS to a server. Built once, then [`TlsClient::connect`] as often as the test likes; the
/// last session is remembered for [`TlsClient::resume`].
#[derive(Clone)]
pub struct TlsClient {
    name: String,
    connector: SslConnector,
    verify: bool,
    session: Arc<Mutex<Option<SslSession>>>,
    resuming: bool,
}

/// The choices for a [`TlsClient`].
pub struct TlsClientBuilder {
    name: String,
    context: SslConnectorBuilder,
    verify: bool,
}

impl TlsClient {
    /// A client that sends this server name (none if it is empty) and trusts what is in this CA file.
    ///
    /// # Panics
    /// The file cannot be read.
    #[track_caller]
    #[must_use]
    pub fn new(name: &str, ca: &Path) -> Self {
        Self::builder(name).ca(ca).build()
    }

    /// A client with choices of its own.
    ///
    /// # Panics
    /// BoringSSL has no memory.
    #[must_use]
    pub fn builder(name: &str) -> TlsClientBuilder {
        let context = SslConnector::builder(SslMethod::tls()).or_die("make a TLS context");
        TlsClientBuilder { name: name.into(), context, verify: true }
    }

    /// The same client, offering the last session it got.
    #[must_use]
    pub fn resume(&self) -> Self {
        Self { resuming: true, ..self.clone() }
    }

    /// Whether there is a session to offer. With TLS 1.3 it comes after the handshake, with the first read.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session.lock().is_some()
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The connection is refused, or the handshake fails or outlasts [`DEADLINE`]; the message is BoringSSL's.
    pub fn connect(&self, address: impl Display) -> io::Result<RawClient> {
        let address: SocketAddr = address.to_string().parse().map_err(io::Error::other)?;
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let ssl = self.ssl().map_err(io::Error::other)?;
        let finished = ssl.setup_connect(stream).handshake();
        let stream = finished.map_err(|error| io::Error::other(format!("TLS handshake: {error}")))?;
        let info = TlsInfo::of(stream.ssl());
        Ok(RawClient::over(Wire::Tls(Box::new(stream)), Some(info)))
    }

    /// One connection's worth of state.
    pub(super) fn ssl(&self) -> Result<Ssl, pingora_boringssl::error::ErrorStack> {
        let mut configuration = self.connector.configure()?;
        configuration.set_use_server_name_indication(!self.name.is_empty());
        configuration.set_verify_hostname(self.verify && !self.name.is_empty());
        let mut ssl = configuration.into_ssl(&self.name)?;
        if self.resuming
            && let Some(session) = self.session.lock().as_ref()
        {
            // SAFETY: the session came from this connector's own callback, so it belongs to the same
            // SslContext, which is what the function requires.
            unsafe { ssl.set_session(session)? };
        }
        Ok(ssl)
    }
}

impl TlsClientBuilder {
    /// Trusts the certificates in this PEM file.
    ///
    /// # Panics
    /// It cannot be read.
    #[track_caller]
    #[must_use]
    pub fn ca(mut self, file: &Path) -> Self {
        self.context.set_ca_file(file).or_die(&format!("read {}", file.display()));
        self
    }

    /// Takes any certificate.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.context.set_verify(SslVerifyMode::NONE);
        self.verify = false;
        self
    }

    /// Offers these protocols, in this order.
    ///
    /// # Panics
    /// One of them is empty or longer than 255 bytes.
    #[track_caller]
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        let names: Vec<String> = protocols.iter().map(|name| (*name).into()).collect();
        self.context.set_alpn_protos(&alpn_wire(&names)).or_die("set ALPN");
        self
    }

    /// Offers the versions from `lowest` to `highest`, each one of `1.0`, `1.1`, `1.2`, `1.3`.
    ///
    /// # Panics
    /// One of them is not a version.
    #[track_caller]
    #[must_use]
    pub fn versions(mut self, lowest: &str, highest: &str) -> Self {
        self.context.set_min_proto_version(Some(version(lowest))).or_die("set the lowest version");
        self.context.set_max_proto_version(Some(version(highest))).or_die("set the highest version");
        self
    }

    /// Offers only these ciphers of TLS 1.2 and below (OpenSSL's names).
    ///
    /// # Panics
    /// There is no such cipher.
    #[track_caller]
    #[must_use]
    pub fn ciphers(mut self, list: &str) -> Self {
        self.context.set_cipher_list(list).or_die("set the ciphers");
        self
    }

    /// Shows this certificate when the server asks for one.
    ///
    /// # Panics
    /// Its files cannot be read, or do not match.
    #[track_caller]
    #[must_use]
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.context.set_certificate_chain_file(&identity.cert).or_die("load the client certificate");
        self.context.set_private_key_file(&identity.key, SslFiletype::PEM).or_die("load the client key");
        self
    }

    /// The client.
    #[must_use]
    pub fn build(mut self) -> TlsClient {
        let session = Arc::new(Mutex::new(None));
        let latest = Arc::clone(&session);
        let _ = self
            .context
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        self.context.set_new_session_callback(move |_ssl, session| *latest.lock() = Some(session));
        let connector = self.context.build();
        TlsClient { name: self.name, connector, verify: self.verify, session, resuming: false }
    }
}
