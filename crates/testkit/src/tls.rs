//! What both ends of a TLS connection can say about it.

use pingora_boringssl::ssl::{NameType, SslRef, SslVersion};
use pingora_boringssl::x509::X509Ref;

/// A finished handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// For example `TLSv1.3`.
    pub version: String,
    /// The cipher's standard name.
    pub cipher: String,
    /// The protocol ALPN settled on, if any.
    pub alpn: Option<String>,
    /// The server name the client asked for, if any.
    pub server_name: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The names of the other side's certificate: its subject's common name, then its alternative names.
    /// Empty without a certificate.
    pub peer_names: Vec<String>,
}

impl TlsInfo {
    pub(crate) fn of(ssl: &SslRef) -> Self {
        Self {
            version: ssl.version_str().into(),
            cipher: ssl.current_cipher().map(|cipher| cipher.name().into()).unwrap_or_default(),
            alpn: ssl.selected_alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            server_name: ssl.servername(NameType::HOST_NAME).map(Into::into),
            resumed: ssl.session_reused(),
            peer_names: ssl.peer_certificate().map(|cert| names(&cert)).unwrap_or_default(),
        }
    }
}

fn names(certificate: &X509Ref) -> Vec<String> {
    use pingora_boringssl::nid::Nid;
    let subject = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let mut names: Vec<String> =
        subject.filter_map(|entry| entry.data().as_utf8().ok()).map(|name| name.to_string()).collect();
    let alternatives = certificate.subject_alt_names();
    for name in alternatives.iter().flatten() {
        if let Some(name) = name.dnsname() {
            names.push(name.into());
        } else if let Some(octets) = name.ipaddress() {
            names.push(address(octets));
        }
    }
    names
}

fn address(octets: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return std::net::Ipv4Addr::from(four).to_string();
    }
    <[u8; 16]>::try_from(octets).map(|all| std::net::Ipv6Addr::from(all).to_string()).unwrap_or_default()
}

/// Protocol names in the form ALPN wants them: each after its length.
pub(crate) fn alpn_wire(protocols: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for protocol in protocols {
        out.push(u8::try_from(protocol.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(protocol.as_bytes());
    }
    out
}

/// The version a test names as `1.0` … `1.3`.
///
/// # Panics
/// It is none of them.
#[track_caller]
pub(crate) fn version(name: &str) -> SslVersion {
    match name {
        "1.0" => SslVersion::TLS1,
        "1.1" => SslVersion::TLS1_1,
        "1.2" => SslVersion::TLS1_2,
        "1.3" => SslVersion::TLS1_3,
        other => panic!("{other:?} is not a TLS version: say 1.0, 1.1, 1.2 or 1.3"),
    }
}
