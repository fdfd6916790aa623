//! Certificates as BoringSSL contexts: one for each certificate, and one that chooses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use boring::error::ErrorStack;
use boring::ssl::{
    AlpnError, NameType, SniError, SslAcceptor, SslAcceptorBuilder, SslAlert, SslContext, SslMethod,
    SslOptions, SslRef, SslSessionCacheMode, SslVerifyMode, SslVersion, select_next_proto,
};

use boring::x509::X509;
use boring::x509::store::X509StoreBuilder;

use crate::certificate::Certificate;
use crate::names::NameTable;
use crate::tickets::TicketKeys;
use crate::{LoadError, MinVersion, TlsSettings};

/// Suites for TLS 1.2 with forward secrecy and authenticated encryption only.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
                       ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
                       ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
const H2_THEN_H1: &[u8] = b"\x02h2\x08http/1.1";
const H1: &[u8] = b"\x08http/1.1";

/// Why TLS of a listener cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `certificates` is empty.
    #[error("TLS needs at least one certificate")]
    NoCertificates,
    /// A certificate cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file of `client_ca`.
    #[error("cannot use the authorities in `{path}`: {why}")]
    ClientAuthorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The keys of session tickets.
    #[error(transparent)]
    Tickets(#[from] crate::TicketError),
    /// The library refused a setting.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] ErrorStack),
}

/// The certificates of a listener, ready to shake hands with.
pub(crate) struct Contexts {
    /// The context every handshake begins with. It has the default certificate and, once the client has named a
    /// host, exchanges itself for that host's context.
    pub(crate) entry: SslContext,
    pub(crate) certificates: Vec<Arc<Certificate>>,
}

impl Contexts {
    /// Loads all certificates and builds their contexts.
    pub(crate) fn load(settings: &TlsSettings, tickets: &Arc<TicketKeys>) -> Result<Self, TlsError> {
        let certificates = settings.certificates.iter().map(|one| Certificate::load(one).map(Arc::new));
        Self::build(settings, certificates.collect::<Result<_, _>>()?, tickets)
    }

    /// The contexts of certificates that are loaded, in the order of the settings.
    pub(crate) fn build(
        settings: &TlsSettings,
        certificates: Vec<Arc<Certificate>>,
        tickets: &Arc<TicketKeys>,
    ) -> Result<Self, TlsError> {
        let default = settings.certificates.iter().position(|c| c.default).unwrap_or(0);
        let mut names = NameTable::new(default);
        let mut contexts = Vec::with_capacity(certificates.len());
        let mut entry = None;
        for (index, certificate) in certificates.iter().enumerate() {
            for name in &certificate.info.names {
                names.add(name, index);
            }
            contexts.push(context(settings, certificate, tickets)?.build().into_context());
            if index == default {
                entry = Some(context(settings, certificate, tickets)?);
            }
        }
        let mut entry = entry.ok_or(TlsError::NoCertificates)?;
        let table = Arc::new((names, contexts));
        entry.set_servername_callback(move |ssl, _: &mut SslAlert| choose(ssl, &table.0, &table.1));
        Ok(Self { entry: entry.build().into_context(), certificates })
    }
}

fn choose(ssl: &mut SslRef, names: &NameTable, contexts: &[SslContext]) -> Result<(), SniError> {
    let index = names.find(ssl.servername(NameType::HOST_NAME));
    match contexts.get(index) {
        Some(context) => ssl.set_ssl_context(context).map_err(|_| SniError::ALERT_FATAL),
        None => Err(SniError::ALERT_FATAL),
    }
}

/// A context with every setting of the listener and one certificate.
fn context(
    settings: &TlsSettings,
    certificate: &Certificate,
    tickets: &Arc<TicketKeys>,
) -> Result<SslAcceptorBuilder, TlsError> {
    let mut builder = builder(settings)?;
    if settings.session_tickets {
        tickets.install(&mut builder);
    }
    if let Some(authorities) = &settings.client_ca {
        ask_for_certificates(&mut builder, authorities)?;
    }
    if let Some(answer) = &certificate.ocsp {
        staple(&mut builder, answer);
    }
    let library = |source| TlsError::Load(LoadError::Library { path: certificate.info.path.clone(), source });
    builder.set_certificate(&certificate.leaf).map_err(library)?;
    builder.set_private_key(&certificate.key).map_err(library)?;
    for issuer in &certificate.chain {
        builder.add_extra_chain_cert(issuer.clone()).map_err(library)?;
    }
    Ok(builder)
}

fn builder(settings: &TlsSettings) -> Result<SslAcceptorBuilder, ErrorStack> {
    // Renegotiation needs no setting: a BoringSSL server has none.
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
    builder.set_min_proto_version(Some(match settings.min_version {
        MinVersion::Tls12 => SslVersion::TLS1_2,
        MinVersion::Tls13 => SslVersion::TLS1_3,
    }))?;
    if settings.ciphers.is_empty() {
        builder.set_strict_cipher_list(CIPHERS)?;
    } else {
        builder.set_strict_cipher_list(&settings.ciphers.join(":"))?;
    }
    let offer = if settings.http2 { H2_THEN_H1 } else { H1 };
    builder.set_alpn_select_callback(move |_, asked| {
        // No protocol in common: go on without one; such clients speak HTTP/1.1.
        select_next_proto(offer, asked).ok_or(AlpnError::NOACK)
    });
    // Tickets keep the session at the client; a cache here would be memory that strangers fill.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    if !settings.session_tickets {
        builder.set_options(SslOptions::NO_TICKET);
    }
    set_session_timeout(&mut builder, settings.session_timeout.duration().as_secs());
    Ok(builder)
}

/// Clients without a certificate of one of the authorities are refused in the handshake.
fn ask_for_certificates(builder: &mut SslAcceptorBuilder, authorities: &Path) -> Result<(), TlsError> {
    let load = |why| TlsError::ClientAuthorities { path: authorities.to_owned(), why };
    let pem = std::fs::read(authorities).map_err(|error| load(error.to_string()))?;
    let list = X509::stack_from_pem(&pem).map_err(|error| load(error.to_string()))?;
    if list.is_empty() {
        return Err(load("it holds no certificate in PEM form".into()));
    }
    let mut store = X509StoreBuilder::new()?;
    for authority in list {
        builder.add_client_ca(&authority)?;
        store.add_cert(authority)?;
    }
    builder.set_cert_store_builder(store);
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    // A session is resumed only where the same authorities were asked for (the library wants a name for that).
    builder.set_session_id_context(&boring::sha::sha256(&pem))?;
    Ok(())
}

/// The answer goes to clients that ask for one (RFC 6066 section 8).
fn staple(builder: &mut SslAcceptorBuilder, answer: &[u8]) {
    // SAFETY: the builder owns the context for the length of the call, and the library copies the bytes.
    let taken = unsafe {
        pingora_boringssl::ssl_sys::SSL_CTX_set_ocsp_response(builder.as_ptr(), answer.as_ptr(), answer.len())
    };
    if taken != 1 {
        log::warn!(
            "an OCSP answer of {} bytes is not stapled: the library has no memory for it",
            answer.len()
        );
    }
}

fn set_session_timeout(builder: &mut SslAcceptorBuilder, seconds: u64) {
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    // SAFETY: the builder owns the context for the length of the call, and both functions only store a number.
    unsafe {
        pingora_boringssl::ssl_sys::SSL_CTX_set_timeout(builder.as_ptr(), seconds);
        pingora_boringssl::ssl_sys::SSL_CTX_set_session_psk_dhe_timeout(builder.as_ptr(), seconds);
    }
}

/// Whether BoringSSL knows a TLS 1.2 suite by this name.
pub(crate) fn knows_cipher(name: &str) -> bool {
    // A name, not the language of cipher lists: `ALL`, `!aNULL` and `A:B` would pass as lists.
    name.contains('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())
            .and_then(|mut builder| builder.set_strict_cipher_list(name))
            .is_ok()
}
