use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use seawall_config::{Diagnostics, Path, Severity};

use crate::{CertificateSettings, TlsAcceptor, TlsSettings};

/// A self-signed certificate for `names` in `folder`, valid for the days from `from` to `to` around now.
fn issue(folder: &FilePath, file: &str, names: &[&str], from: i64, to: i64) -> CertificateSettings {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now + time::Duration::days(from);
    params.not_after = now + time::Duration::days(to);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let (cert_path, key_path) = (folder.join(format!("{file}.pem")), folder.join(format!("{file}.key")));
    fs::write(&cert_path, cert.pem()).unwrap();
    fs::write(&key_path, key.serialize_pem()).unwrap();
    CertificateSettings { cert: cert_path, key: key_path, ocsp: None, default: false }
}

#[test]
fn only_a_successful_ocsp_answer_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ocsp");
    let long: Vec<u8> = [&[0x30, 0x82, 0x01, 0x04, 0x0a, 0x01, 0x00][..], &[0; 257]].concat();
    for (bytes, good) in [
        (&b"\x30\x05\x0a\x01\x00\x05\x00"[..], true),
        (&long, true),
        (b"\x30\x05\x0a\x01\x06\x05\x00", false),
        (b"\x30\x03\x0a\x01\x00", false),
        (b"\x30\x06\x0a\x01\x00\x05\x00", false),
        (b"-----BEGIN OCSP-----", false),
        (b"", false),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(crate::certificate::read_ocsp(&file).is_some(), good, "{bytes:?}");
    }
    assert!(crate::certificate::read_ocsp(&folder.path().join("none")).is_none());
}

fn settings(certificates: Vec<CertificateSettings>) -> TlsSettings {
    TlsSettings { certificates, ..TlsSettings::default() }
}

fn check(settings: &TlsSettings) -> Vec<(Severity, String, String)> {
    let mut out = Diagnostics::default();
    settings.check(&Path::root().key("tls"), &mut out);
    out.iter().map(|d| (d.severity, d.path.to_string(), d.message.clone())).collect()
}

/// The only finding, whose message contains `part`.
fn expect_one(settings: &TlsSettings, severity: Severity, path: &str, part: &str) {
    let found = check(settings);
    assert_eq!(found.len(), 1, "{found:?}");
    let (found_severity, found_path, message) = &found[0];
    assert_eq!((*found_severity, found_path.as_str()), (severity, path), "{message}");
    assert!(message.contains(part), "{message}");
}

#[test]
fn a_good_certificate_passes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(vec![issue(folder.path(), "a", &["a.example", "*.a.example"], -1, 30)]);
    assert_eq!(check(&settings), []);
    let info = TlsAcceptor::new(&settings).unwrap().certificates().remove(0);
    assert_eq!(info.names, ["*.a.example", "a.example"]);
    let left = info.not_after.duration_since(SystemTime::now()).unwrap();
    assert!(left > Duration::from_secs(29 * 86_400) && left < Duration::from_secs(31 * 86_400), "{left:?}");
}

#[test]
fn no_certificate_is_an_error() {
    expect_one(&TlsSettings::default(), Severity::Error, "tls.certificates", "at least one");
}

#[test]
fn unreadable_files_are_errors_at_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let good = issue(folder.path(), "a", &["a.example"], -1, 30);
    let missing = PathBuf::from("missing.pem");
    let cert = CertificateSettings { cert: missing.clone(), ..good.clone() };
    expect_one(&settings(vec![cert]), Severity::Error, "tls.certificates[0].cert", "missing.pem");
    let key = CertificateSettings { key: missing, ..good };
    expect_one(&settings(vec![key]), Severity::Error, "tls.certificates[0].key", "missing.pem");
}

#[test]
fn files_that_are_not_pem_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let good = issue(folder.path(), "a", &["a.example"], -1, 30);
    let junk = folder.path().join("junk");
    for content in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        fs::write(&junk, content).unwrap();
        let cert = CertificateSettings { cert: junk.clone(), ..good.clone() };
        expect_one(&settings(vec![cert]), Severity::Error, "tls.certificates[0].cert", "no certificate");
        let key = CertificateSettings { key: junk.clone(), ..good.clone() };
        expect_one(&settings(vec![key]), Severity::Error, "tls.certificates[0].key", "private key");
    }
}

#[test]
fn a_key_of_another_certificate_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let a = issue(folder.path(), "a", &["a.example"], -1, 30);
    let b = issue(folder.path(), "b", &["b.example"], -1, 30);
    let mixed = settings(vec![CertificateSettings { key: b.key, ..a }]);
    expect_one(&mixed, Severity::Error, "tls.certificates[0].key", "does not belong");
    assert!(TlsAcceptor::new(&mixed).is_err());
}

#[test]
fn dates_are_warnings() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, part) in [(-30, -1, "expired"), (1, 30, "not valid yet"), (-30, 3, "within a week")] {
        let one = settings(vec![issue(folder.path(), "a", &["a.example"], from, to)]);
        expect_one(&one, Severity::Warning, "tls.certificates[0].cert", part);
    }
}

#[test]
fn names_that_are_missing_or_twice_are_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let nameless = settings(vec![issue(folder.path(), "n", &[], -1, 30)]);
    expect_one(&nameless, Severity::Warning, "tls.certificates[0].cert", "names no host");
    let twice = settings(vec![
        issue(folder.path(), "a", &["a.example"], -1, 30),
        issue(folder.path(), "b", &["A.example", "b.example"], -1, 30),
    ]);
    expect_one(&twice, Severity::Warning, "tls.certificates[1].cert", "`a.example`");
}

#[test]
fn one_default_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut certificates = vec![
        issue(folder.path(), "a", &["a.example"], -1, 30),
        issue(folder.path(), "b", &["b.example"], -1, 30),
    ];
    certificates.iter_mut().for_each(|c| c.default = true);
    expect_one(&settings(certificates), Severity::Error, "tls.certificates[1].default", "default already");
}

#[test]
fn ciphers_and_sessions_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let good = settings(vec![issue(folder.path(), "a", &["a.example"], -1, 30)]);
    let with = |yaml: &str| {
        let extra: TlsSettings = serde_yaml::from_str(yaml).unwrap();
        TlsSettings { certificates: good.certificates.clone(), ..extra }
    };
    assert_eq!(check(&with("ciphers: ECDHE-RSA-AES128-GCM-SHA256")), []);
    for bad in ["ECDHE-RSA-AES128-GCM-SHA255", "ALL", "'!aNULL'", "TLS_AES_128_GCM_SHA256"] {
        expect_one(&with(&format!("ciphers: [{bad}]")), Severity::Error, "tls.ciphers[0]", "not a TLS 1.2");
    }
    let fixed = with("{ ciphers: [ECDHE-RSA-AES128-GCM-SHA256], min_version: 1.3 }");
    expect_one(&fixed, Severity::Warning, "tls.ciphers", "changes nothing");
    expect_one(&with("session_timeout: 8d"), Severity::Error, "tls.session_timeout", "7 days");
    expect_one(&with("session_timeout: 0"), Severity::Error, "tls.session_timeout", "no second");
}

#[test]
fn a_failed_reload_keeps_what_works() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(vec![issue(folder.path(), "a", &["a.example"], -1, 30)]);
    let acceptor = TlsAcceptor::new(&settings).unwrap();
    fs::write(&settings.certificates[0].cert, "half a file").unwrap();
    assert!(acceptor.reload(&settings).is_err());
    assert_eq!(acceptor.certificates()[0].names, ["a.example"]);
    issue(folder.path(), "a", &["new.example"], -1, 30);
    acceptor.reload(&settings).unwrap();
    assert_eq!(acceptor.certificates()[0].names, ["new.example"]);
}
