//! The TLS files of an upstream: authorities, our certificate, its key.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::sync::Arc;

use pingora_core::protocols::tls::CaType;
use pingora_core::tls::pkey::{PKey, Private};
use pingora_core::tls::x509::X509;
use pingora_core::utils::tls::CertKey;

use crate::settings::TlsSettings;

/// A bundle of all public authorities has about 250 KiB; more is a slip, and a FIFO or device must not be read for ever.
const MAX_FILE: u64 = 4 << 20;

/// What is wrong with one TLS file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tls.{key}: {message}; {hint}")]
pub struct CredentialProblem {
    /// The key of the settings that names the file.
    pub key: &'static str,
    /// What is wrong, without full stop.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// The TLS files of an upstream, read and checked.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    /// Who may have signed the servers' certificates; the system's authorities when `None`.
    pub(crate) authorities: Option<Arc<CaType>>,
    /// What we show to servers.
    pub(crate) client: Option<Arc<CertKey>>,
    /// Differs when any certificate differs: connections opened with others must not be shared.
    pub(crate) fingerprint: u64,
}

impl Credentials {
    /// Reads the files that `settings` name. Reads each once, so that what was checked is what is used.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, Vec<CredentialProblem>> {
        let mut problems = Vec::new();
        let mut hasher = DefaultHasher::new();
        let authorities = settings
            .ca
            .as_deref()
            .and_then(|path| certificates("ca", path).map_err(|p| problems.push(p)).ok());
        let client = client_pair(settings, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        for certificate in authorities.iter().flatten().chain(client.iter().flat_map(|(chain, _)| chain)) {
            certificate.to_der().unwrap_or_default().hash(&mut hasher);
        }
        (authorities.is_some(), client.is_some()).hash(&mut hasher);
        Ok(Self {
            authorities: authorities.map(|list| Arc::new(list.into_boxed_slice())),
            client: client.map(|(chain, key)| Arc::new(CertKey::new(chain, key))),
            fingerprint: hasher.finish(),
        })
    }
}

fn client_pair(
    settings: &TlsSettings,
    problems: &mut Vec<CredentialProblem>,
) -> Option<(Vec<X509>, PKey<Private>)> {
    let (certificate, key) = match (settings.certificate.as_deref(), settings.key.as_deref()) {
        (None, None) => return None,
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            problems.push(problem("certificate", "a certificate without its key".into(), "add `key:`"));
            return None;
        }
        (None, Some(_)) => {
            problems.push(problem("key", "a key without its certificate".into(), "add `certificate:`"));
            return None;
        }
    };
    let chain = certificates("certificate", certificate).map_err(|p| problems.push(p)).ok();
    let private = private_key(key).map_err(|p| problems.push(p)).ok();
    let (chain, private) = (chain?, private?);
    let matches =
        chain.first().and_then(|leaf| leaf.public_key().ok()).is_some_and(|p| p.public_eq(&private));
    if !matches {
        let message = format!("`{key}` is not the key of the first certificate in `{certificate}`");
        problems.push(problem("key", message, "give the key that was made for this certificate"));
        return None;
    }
    Some((chain, private))
}

fn problem(key: &'static str, message: String, hint: &'static str) -> CredentialProblem {
    CredentialProblem { key, message, hint }
}

fn certificates(key: &'static str, path: &str) -> Result<Vec<X509>, CredentialProblem> {
    let list = X509::stack_from_pem(&read(key, path)?).map_err(|_| {
        problem(key, format!("`{path}` holds a certificate that cannot be read"), "write it again as PEM")
    })?;
    if list.is_empty() {
        let message = format!("`{path}` holds no certificate");
        return Err(problem(key, message, "a PEM file has `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(list)
}

fn private_key(path: &str) -> Result<PKey<Private>, CredentialProblem> {
    // A callback that gives no passphrase: the default one may ask on the terminal.
    PKey::private_key_from_pem_callback(&read("key", path)?, |_| Ok(0)).map_err(|_| {
        let message = format!("`{path}` holds no private key that can be read");
        problem("key", message, "give an unencrypted PEM key, `-----BEGIN PRIVATE KEY-----`")
    })
}

fn read(key: &'static str, path: &str) -> Result<Vec<u8>, CredentialProblem> {
    let unreadable = |error: std::io::Error| {
        problem(key, format!("`{path}` cannot be read: {error}"), "check the path and its permissions")
    };
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(problem(key, format!("`{path}` is larger than 4 MiB"), "give a PEM file"));
    }
    Ok(bytes)
}
