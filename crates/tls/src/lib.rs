//! Certificates: loading, checking, choosing by SNI, and the handshake itself.
//!
//! [`TlsSettings`] is what `tls:` of a listener says. [`TlsAcceptor`] is built from it and runs handshakes; the
//! certificates behind it can be exchanged while it runs ([`TlsAcceptor::reload`]). Connections in progress keep
//! the certificate they began with.

mod acceptor;
mod certificate;
mod check;
mod context;
mod names;
mod settings;
mod tickets;
mod watched;

pub use acceptor::{HandshakeFailure, HandshakeInfo, PreparedTls, TlsAcceptor, handshake_info};
pub use certificate::{CertificateInfo, LoadError};
pub use context::TlsError;
pub use settings::{CertificateSettings, MinVersion, TlsCommonSettings, TlsSettings};
pub use tickets::{TicketError, TicketKeys};
pub use watched::CertificateChange;
