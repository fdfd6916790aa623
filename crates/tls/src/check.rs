//! `seawall check` for `tls:`: the files are read and looked at before anything starts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use seawall_config::{Diagnostics, Path};

use crate::certificate::Certificate;
use crate::context::knows_cipher;
use crate::{CertificateInfo, MinVersion, TlsCommonSettings, TlsSettings};

/// RFC 8446 section 4.6.1.
const LONGEST_SESSION: Duration = Duration::from_secs(7 * 86_400);
/// Time enough to notice a renewal that does not work.
const SOON: Duration = Duration::from_secs(7 * 86_400);

impl TlsSettings {
    /// Reports every problem, those of the certificate files too.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        self.check_at_time(at, out, SystemTime::now());
    }

    fn check_at_time(&self, at: &Path, out: &mut Diagnostics, now: SystemTime) {
        self.check_certificates(&at.key("certificates"), out, now);
        self.check_ciphers(&at.key("ciphers"), out);
        if let Some(file) = &self.client_ca {
            check_authorities(file, &at.key("client_ca"), out);
        }
        let timeout = self.session_timeout.duration();
        if timeout > LONGEST_SESSION {
            out.error(&at.key("session_timeout"), "a TLS session may be resumed for at most 7 days")
                .hint("write `7d` or less");
        } else if timeout < Duration::from_secs(1) {
            out.error(&at.key("session_timeout"), "a session that lasts no second cannot be resumed")
                .hint("write `session_tickets: false` to switch resumption off");
        }
    }

    fn check_certificates(&self, at: &Path, out: &mut Diagnostics, now: SystemTime) {
        if self.certificates.is_empty() {
            out.error(at, "TLS needs at least one certificate")
                .hint("write `certificates: [{ cert: site.pem, key: site.key }]`");
        }
        let mut defaults = 0;
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        for (index, settings) in self.certificates.iter().enumerate() {
            let here = at.index(index);
            if settings.default {
                defaults += 1;
                if defaults == 2 {
                    out.error(&here.key("default"), "another certificate is the default already")
                        .hint("leave `default: true` at one of them");
                }
            }
            match Certificate::load(settings) {
                Ok(certificate) => {
                    if settings.ocsp.is_some() && !certificate.info.stapled {
                        out.warning(
                            &here.key("ocsp"),
                            "the file is missing or holds no successful OCSP answer in DER",
                        )
                        .hint("nothing is stapled until it does; `openssl ocsp -respout FILE` writes one");
                    }
                    check_validity(&certificate.info, &here.key("cert"), out, now);
                    check_names(&certificate.info, index, &mut owners, &here.key("cert"), out);
                }
                Err(error) => {
                    let key = if error.is_about_key() { "key" } else { "cert" };
                    out.error(&here.key(key), error.to_string()).hint(error.hint());
                }
            }
        }
    }

    fn check_ciphers(&self, at: &Path, out: &mut Diagnostics) {
        for (index, name) in self.ciphers.iter().enumerate() {
            if !knows_cipher(name) {
                out.error(
                    &at.index(index),
                    format!("`{name}` is not a TLS 1.2 cipher suite that is known here"),
                )
                .hint("write OpenSSL names such as `ECDHE-ECDSA-AES128-GCM-SHA256`");
            }
        }
        if !self.ciphers.is_empty() && self.min_version == MinVersion::Tls13 {
            out.warning(at, "the suites of TLS 1.3 are fixed, so this changes nothing")
                .hint("remove `ciphers` or allow TLS 1.2");
        }
    }
}

fn check_authorities(file: &std::path::Path, at: &Path, out: &mut Diagnostics) {
    let found =
        std::fs::read(file).map(|pem| boring::x509::X509::stack_from_pem(&pem).unwrap_or_default().len());
    match found {
        Ok(0) => {
            out.error(at, format!("`{}` holds no certificate in PEM form", file.display()))
                .hint("the file must hold the `-----BEGIN CERTIFICATE-----` blocks of the authorities");
        }
        Ok(_) => {}
        Err(error) => {
            out.error(at, format!("cannot read `{}`: {error}", file.display()))
                .hint("check the path and that the user Seawall runs as may read the file");
        }
    }
}

impl TlsCommonSettings {
    /// Reports every problem.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if !self.watch.is_zero() && self.watch.duration() < Duration::from_millis(100) {
            out.error(&at.key("watch"), "the files are looked at no more often than each 100ms")
                .hint("10s is the default; `0s` switches it off");
        }
        let rotation = self.ticket_rotation.duration();
        if rotation < Duration::from_secs(60) || rotation > LONGEST_SESSION {
            out.error(&at.key("ticket_rotation"), "a ticket key is used for 1m to 7d")
                .hint("12h is the default");
        }
        if let Some(file) = &self.ticket_keys
            && file.parent().is_none_or(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
        {
            out.error(&at.key("ticket_keys"), format!("the folder of `{}` does not exist", file.display()))
                .hint("make it, writable for the user Seawall runs as; /var/lib/seawall is a good place");
        }
    }
}

fn check_validity(info: &CertificateInfo, at: &Path, out: &mut Diagnostics, now: SystemTime) {
    if info.not_after < now {
        out.warning(at, "the certificate has expired; clients will refuse it").hint("renew it");
    } else if info.not_after < now + SOON {
        out.warning(at, "the certificate expires within a week").hint("renew it");
    }
    if info.not_before > now {
        out.warning(at, "the certificate is not valid yet; clients will refuse it")
            .hint("check the clock of this machine and the certificate's dates");
    }
}

fn check_names(
    info: &CertificateInfo,
    index: usize,
    owners: &mut BTreeMap<String, usize>,
    at: &Path,
    out: &mut Diagnostics,
) {
    if info.names.is_empty() {
        out.warning(at, "the certificate names no host (subjectAltName), so only a default can use it")
            .hint("issue it with the host names it is for");
    }
    for name in &info.names {
        if let Some(owner) = owners.get(name) {
            out.warning(at, format!("`{name}` is also in `certificates[{owner}]`, which is used for it"))
                .hint("remove one of the two certificates");
        } else {
            owners.insert(name.clone(), index);
        }
    }
}

#[cfg(test)]
mod tests;
