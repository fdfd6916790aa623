//! Certificates for a test, made on the spot.

use crate::wait::OrDie;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A certificate and its key, as PEM files that live as long as their [`Pki`].
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, followed by its issuer's when that is not the same.
    pub cert: PathBuf,
    /// The private key (PKCS#8, ECDSA P-256).
    pub key: PathBuf,
}

/// A certificate authority in a temporary folder.
pub struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca: PathBuf,
    made: AtomicU32,
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Pki {
    /// A new authority that nobody else trusts.
    ///
    /// # Panics
    /// The temporary folder cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let folder = crate::folder();
        let key = KeyPair::generate().or_die("make a key");
        let mut params = named("seawall test authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).or_die("sign the authority");
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, cert.pem()).or_die("write the authority");
        Self { folder, issuer: Issuer::new(params, key), ca, made: AtomicU32::new(0) }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// The folder that holds all files of this authority.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A server certificate for these DNS names and addresses.
    ///
    /// # Panics
    /// One of them is neither.
    #[track_caller]
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Identity {
        self.issue(server_params(names))
    }

    /// A client certificate with this common name.
    #[must_use]
    pub fn client(&self, name: &str) -> Identity {
        let mut params = named(name, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A server certificate that was valid in 2020 and 2021 only.
    #[must_use]
    pub fn expired(&self, names: &[&str]) -> Identity {
        let mut params = server_params(names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 12, 31);
        self.issue(params)
    }

    /// A server certificate that this authority did not sign.
    #[must_use]
    pub fn self_signed(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().or_die("make a key");
        let cert = server_params(names).self_signed(&key).or_die("sign a certificate");
        self.write(&cert.pem(), &key)
    }

    fn issue(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().or_die("make a key");
        let cert = params.signed_by(&key, &self.issuer).or_die("sign a certificate");
        let authority = fs::read_to_string(&self.ca).or_die("read the authority");
        self.write(&format!("{}{authority}", cert.pem()), &key)
    }

    fn write(&self, chain: &str, key: &KeyPair) -> Identity {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| self.folder.path().join(format!("{number}.{end}"));
        let identity = Identity { cert: file("pem"), key: file("key") };
        fs::write(&identity.cert, chain).or_die("write a certificate");
        fs::write(&identity.key, key.serialize_pem()).or_die("write a key");
        identity
    }
}

fn named(common: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
    let mut params = CertificateParams::new(names).or_die("name a certificate");
    params.distinguished_name.push(DnType::CommonName, common);
    params
}

fn server_params(names: &[&str]) -> CertificateParams {
    let mut params = named(names.first().copied().unwrap_or("nameless"), names);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
