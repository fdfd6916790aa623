//! One certificate chain with its key, read from files and looked at.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pingora_boringssl::error::ErrorStack;
use pingora_boringssl::pkey::{PKey, Private};
use pingora_boringssl::x509::{X509, X509Ref};

use crate::CertificateSettings;
use crate::names::normal_name;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The certificate file cannot be read.
    #[error("cannot read certificate file `{path}`: {source}")]
    ReadCertificate {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file cannot be read.
    #[error("cannot read key file `{path}`: {source}")]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate file holds no certificate in PEM.
    #[error("`{0}` holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    /// The key file holds no private key in PEM.
    #[error("`{0}` holds no unencrypted private key in PEM form")]
    NoKey(PathBuf),
    /// The two do not belong together.
    #[error("the key in `{key}` does not belong to the certificate in `{cert}`")]
    Mismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// It is not valid at this time, and the one before is.
    #[error("the certificate in `{path}` {}", if *.expired { "has expired" } else { "is not valid yet" })]
    Dates {
        /// The certificate file.
        path: PathBuf,
        /// Whether it was valid before.
        expired: bool,
    },
    /// The library refused what the files hold.
    #[error("the certificate in `{path}` cannot be used: {source}")]
    Library {
        /// The certificate file.
        path: PathBuf,
        /// What the library said.
        source: ErrorStack,
    },
}

impl LoadError {
    /// Whether it is about the key rather than the certificate.
    #[must_use]
    pub fn is_about_key(&self) -> bool {
        matches!(self, Self::ReadKey { .. } | Self::NoKey(_) | Self::Mismatch { .. })
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::ReadCertificate { .. } | Self::ReadKey { .. } => {
                "check the path and that the user Seawall runs as may read the file"
            }
            Self::NoCertificate(_) => {
                "the file must hold `-----BEGIN CERTIFICATE-----` blocks, the server's first"
            }
            Self::NoKey(_) => "the file must hold a `-----BEGIN PRIVATE KEY-----` block without a passphrase",
            Self::Mismatch { .. } => {
                "one of the two files is from another certificate, or the chain is not in order"
            }
            Self::Dates { .. } => "renew it, or check the clock of this machine",
            Self::Library { .. } => "issue the certificate anew",
        }
    }
}

/// What metrics and the status page tell about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The certificate file.
    pub path: PathBuf,
    /// The host names it is for, lower case, wildcards as `*.example.com`.
    pub names: Vec<String>,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid to.
    pub not_after: SystemTime,
    /// Whether an OCSP answer is stapled.
    pub stapled: bool,
    /// Whether its files meanwhile hold something that cannot be used, so that this one stayed.
    pub stale: bool,
}

impl CertificateInfo {
    /// Whether it is valid at `time`.
    #[must_use]
    pub fn is_valid_at(&self, time: SystemTime) -> bool {
        self.not_before <= time && time <= self.not_after
    }
}

/// A certificate chain whose key has been shown to match.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) ocsp: Option<Vec<u8>>,
    pub(crate) leaf: X509,
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
    pub(crate) info: CertificateInfo,
}

impl Certificate {
    /// Reads and checks both files. Each is read once, so that a pair that is exchanged meanwhile is either
    /// the old one, the new one or a mismatch that is reported.
    pub(crate) fn load(settings: &CertificateSettings) -> Result<Self, LoadError> {
        let (leaf, chain) = read_chain(&settings.cert)?;
        let key = read_key(&settings.key)?;
        let library = |source| LoadError::Library { path: settings.cert.clone(), source };
        let public = leaf.public_key().map_err(library)?;
        if !public.public_eq(&key) {
            return Err(LoadError::Mismatch { cert: settings.cert.clone(), key: settings.key.clone() });
        }
        let ocsp = settings.ocsp.as_deref().and_then(read_ocsp);
        let info = CertificateInfo {
            stapled: ocsp.is_some(),
            stale: false,
            path: settings.cert.clone(),
            names: host_names(&leaf),
            not_before: to_system_time(leaf.not_before()).map_err(library)?,
            not_after: to_system_time(leaf.not_after()).map_err(library)?,
        };
        Ok(Self { ocsp, leaf, chain, key, info })
    }

    /// Whether the two are the same to a client.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let der = |all: &Self| -> Vec<Vec<u8>> {
            std::iter::once(&all.leaf).chain(&all.chain).map(|one| one.to_der().unwrap_or_default()).collect()
        };
        self.ocsp == other.ocsp && der(self) == der(other)
    }
}

/// The largest OCSP answer that is stapled; real ones have about 2 KiB, and each handshake carries it.
const MAX_OCSP: usize = 32 * 1024;

/// The answer in the file when it is a successful one (RFC 6960 section 4.2.1: a sequence that begins with the
/// enumeration 0). Its signature is the client's to check.
pub(crate) fn read_ocsp(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok().filter(|bytes| bytes.len() <= MAX_OCSP)?;
    let content = match bytes.as_slice() {
        [0x30, length, content @ ..] if usize::from(*length) == content.len() && *length < 0x80 => content,
        [0x30, 0x81, length, content @ ..] if usize::from(*length) == content.len() => content,
        [0x30, 0x82, high, low, content @ ..]
            if usize::from(*high) << 8 | usize::from(*low) == content.len() =>
        {
            content
        }
        _ => return None,
    };
    (content.len() > 3 && content.starts_with(&[0x0a, 0x01, 0x00])).then_some(bytes)
}

fn read_chain(path: &Path) -> Result<(X509, Vec<X509>), LoadError> {
    let pem =
        std::fs::read(path).map_err(|source| LoadError::ReadCertificate { path: path.to_owned(), source })?;
    let mut chain = X509::stack_from_pem(&pem).map_err(|_| LoadError::NoCertificate(path.to_owned()))?;
    if chain.is_empty() {
        return Err(LoadError::NoCertificate(path.to_owned()));
    }
    let leaf = chain.remove(0);
    Ok((leaf, chain))
}

fn read_key(path: &Path) -> Result<PKey<Private>, LoadError> {
    let pem = std::fs::read(path).map_err(|source| LoadError::ReadKey { path: path.to_owned(), source })?;
    PKey::private_key_from_pem(&pem).map_err(|_| LoadError::NoKey(path.to_owned()))
}

/// The DNS names of the subjectAltName. The common name is not looked at: no client does any more (RFC 9525).
fn host_names(leaf: &X509Ref) -> Vec<String> {
    let mut names: Vec<String> = leaf
        .subject_alt_names()
        .iter()
        .flatten()
        .filter_map(|name| name.dnsname().map(normal_name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn to_system_time(time: &boring::asn1::Asn1TimeRef) -> Result<SystemTime, ErrorStack> {
    let epoch = boring::asn1::Asn1Time::from_unix(0)?;
    let since = epoch.diff(time)?;
    let day = Duration::from_secs(86_400);
    let days = u32::try_from(since.days).unwrap_or(0);
    let secs = u64::try_from(since.secs).unwrap_or(0);
    Ok(SystemTime::UNIX_EPOCH + day.saturating_mul(days) + Duration::from_secs(secs))
}
