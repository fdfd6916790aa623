//! The server side of handshakes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use boring::ssl::{Ssl, SslRef};
use pingora_core::protocols::tls::SslStream;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::context::Contexts;
use crate::{CertificateInfo, TlsError, TlsSettings};

/// Runs handshakes with the certificates of one listener.
pub struct TlsAcceptor {
    contexts: ArcSwap<Contexts>,
}

impl std::fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsAcceptor").field("certificates", &self.contexts.load().certificates).finish()
    }
}

impl TlsAcceptor {
    /// Loads the certificates.
    ///
    /// # Errors
    /// When a certificate or key cannot be used, or the library refuses a setting.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        Ok(Self { contexts: ArcSwap::from_pointee(Contexts::load(settings)?) })
    }

    /// Loads the certificates anew and uses them for handshakes that begin from now on. Tickets from before are
    /// no longer taken: their clients do one full handshake.
    ///
    /// # Errors
    /// As [`Self::new`]; the certificates so far then stay in use.
    pub fn reload(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        self.contexts.store(Arc::new(Contexts::load(settings)?));
        Ok(())
    }

    /// The certificates in use, in the order of the configuration.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.contexts.load().certificates.clone()
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
