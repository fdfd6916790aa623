//! The server side of handshakes.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use boring::ssl::{Ssl, SslRef};
use parking_lot::Mutex;
use pingora_core::protocols::tls::SslStream;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::certificate::Certificate;
use crate::context::Contexts;
use crate::tickets::TicketKeys;
use crate::watched::{CertificateChange, Watched};
use crate::{CertificateInfo, TlsCommonSettings, TlsError, TlsSettings};

/// Runs handshakes with the certificates of one listener.
pub struct TlsAcceptor {
    contexts: ArcSwap<Contexts>,
    tickets: Arc<TicketKeys>,
    files: Mutex<Watched>,
}

/// Certificates that were loaded for a reload, not yet in use.
pub struct PreparedTls {
    contexts: Contexts,
    files: Watched,
}

impl std::fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsAcceptor").field("certificates", &self.certificates()).finish_non_exhaustive()
    }
}

impl TlsAcceptor {
    /// Loads the certificates. The keys of session tickets are its own.
    ///
    /// # Errors
    /// When a certificate or key cannot be used, or the library refuses a setting.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let rotation = TlsCommonSettings::default().ticket_rotation.duration();
        let tickets = TicketKeys::in_memory(rotation, settings.session_timeout.duration())?;
        Self::with_tickets(settings, tickets)
    }

    /// Loads the certificates; tickets are sealed with these keys.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_tickets(settings: &TlsSettings, tickets: Arc<TicketKeys>) -> Result<Self, TlsError> {
        let PreparedTls { contexts, files } = prepare(settings, &tickets)?;
        Ok(Self { contexts: ArcSwap::from_pointee(contexts), tickets, files: Mutex::new(files) })
    }

    /// Loads the certificates anew, for [`Self::apply`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn prepare(&self, settings: &TlsSettings) -> Result<PreparedTls, TlsError> {
        prepare(settings, &self.tickets)
    }

    /// Uses what was prepared for handshakes that begin from now on.
    pub fn apply(&self, prepared: PreparedTls) {
        let mut files = self.files.lock();
        *files = prepared.files;
        self.contexts.store(Arc::new(prepared.contexts));
    }

    /// Both at once.
    ///
    /// # Errors
    /// As [`Self::new`]; the certificates so far then stay in use.
    pub fn reload(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        self.prepare(settings).map(|prepared| self.apply(prepared))
    }

    /// Looks whether the files changed and uses what is valid. A certificate whose files are not stays as it was.
    /// Reads files: keep it off the threads that serve. Returns what is new to tell.
    pub fn refresh(&self) -> Vec<CertificateChange> {
        let mut files = self.files.lock();
        let now = self.contexts.load_full();
        let Some((certificates, changes)) = files.look(&now.certificates, SystemTime::now()) else {
            return Vec::new();
        };
        match Contexts::build(&files.settings, certificates, &self.tickets) {
            Ok(contexts) => {
                self.contexts.store(Arc::new(contexts));
                changes
            }
            Err(error) => {
                log::error!("the new certificates are not used: {error}");
                Vec::new()
            }
        }
    }

    /// The certificates in use, in the order of the configuration.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        let stale = self.files.lock().stale();
        let contexts = self.contexts.load();
        let with_state =
            |(one, stale): (&Arc<Certificate>, bool)| CertificateInfo { stale, ..one.info.clone() };
        contexts.certificates.iter().zip(stale).map(with_state).collect()
    }

    /// Runs one handshake. It has no deadline of its own.
    ///
    /// # Errors
    /// Why it failed, as a metric label.
    pub async fn accept<S>(&self, io: S) -> Result<SslStream<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ssl = Ssl::new(&self.contexts.load().entry).map_err(|_| HandshakeFailure::Internal)?;
        let mut stream = SslStream::new(ssl, io).map_err(|_| HandshakeFailure::Internal)?;
        stream.accept().await.map_err(|error| HandshakeFailure::of(&error))?;
        Ok(stream)
    }
}

fn prepare(settings: &TlsSettings, tickets: &Arc<TicketKeys>) -> Result<PreparedTls, TlsError> {
    // Looked at before they are read: what changes in between is then seen as a change.
    let files = Watched::new(settings);
    Ok(PreparedTls { contexts: Contexts::load(settings, tickets)?, files })
}

/// What was agreed in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// Whether it went on with an earlier session.
    pub resumed: bool,
    /// Whether HTTP/2 was agreed (ALPN).
    pub http2: bool,
}

/// What was agreed in the handshake of `ssl`.
#[must_use]
pub fn handshake_info(ssl: &SslRef) -> HandshakeInfo {
    HandshakeInfo {
        version: ssl.version_str(),
        resumed: ssl.session_reused(),
        http2: ssl.selected_alpn_protocol() == Some(b"h2"),
    }
}

/// Why a handshake failed. Few and fixed: they are metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFailure {
    /// The client took longer than `handshake_timeout`.
    #[error("it took too long")]
    Timeout,
    /// The client left.
    #[error("the client left")]
    Closed,
    /// The client speaks plain HTTP to a TLS port.
    #[error("the client speaks plain HTTP")]
    PlainHttp,
    /// The client speaks only TLS versions below `min_version`.
    #[error("the client speaks no TLS version that is allowed here")]
    Version,
    /// No cipher suite in common.
    #[error("no cipher suite in common")]
    Cipher,
    /// The client sent an alert, for instance because it does not trust the certificate.
    #[error("the client refused")]
    Alert,
    /// What the client sent is not TLS or breaks its rules.
    #[error("the client broke the protocol")]
    Protocol,
    /// Nothing the client did.
    #[error("the handshake could not be started")]
    Internal,
}

impl HandshakeFailure {
    /// The label for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::PlainHttp => "plain_http",
            Self::Version => "version",
            Self::Cipher => "cipher",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }

    fn of(error: &boring::ssl::Error) -> Self {
        let Some(stack) = error.ssl_error() else {
            // No word from the library: the socket ended.
            return Self::Closed;
        };
        let Some(reason) = stack.errors().first().and_then(|e| e.reason()) else {
            return Self::Closed;
        };
        match reason {
            "HTTP_REQUEST" | "HTTPS_PROXY_REQUEST" => Self::PlainHttp,
            "UNSUPPORTED_PROTOCOL" | "WRONG_VERSION_NUMBER" | "INAPPROPRIATE_FALLBACK" => Self::Version,
            "NO_SHARED_CIPHER" => Self::Cipher,
            _ if reason.contains("ALERT") => Self::Alert,
            _ => Self::Protocol,
        }
    }
}
