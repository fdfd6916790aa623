//! `tls:` of a listener as it is written.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use seawall_config::OneOrMany;
use seawall_config::units::Span;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The certificates. Which one a client gets is decided by the name it asks for (SNI): first an equal name,
    /// then a wildcard for one label, else the default certificate.
    pub certificates: Vec<CertificateSettings>,
    /// File with the authorities (PEM) of clients: only those with a certificate that one of them signed get in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Oldest version spoken: `1.2` or `1.3`. Clients that only speak older ones are refused.
    pub min_version: MinVersion,
    /// Cipher suites for TLS 1.2, by their OpenSSL names. Empty: ECDHE with AES-GCM or ChaCha20. Those of TLS
    /// 1.3 are fixed.
    pub ciphers: OneOrMany<String>,
    /// Offer HTTP/2 (ALPN `h2`) beside HTTP/1.1.
    pub http2: bool,
    /// Let clients resume sessions with tickets. Their keys are those of `tls.ticket_keys`.
    pub session_tickets: bool,
    /// How long a session can be resumed. At most seven days (RFC 8446 section 4.6.1).
    pub session_timeout: Span,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            client_ca: None,
            min_version: MinVersion::Tls12,
            ciphers: OneOrMany::default(),
            http2: true,
            session_tickets: true,
            session_timeout: Span::secs(2 * 3600),
        }
    }
}

/// What the TLS of all listeners has in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsCommonSettings {
    /// How often the files of certificates, keys and OCSP answers are looked at. A pair that changed and is valid is
    /// used for new handshakes at once, without a reload; one that is not (half written, a key that does not match, dates
    /// that do not hold) is told in the log and in `seawall_tls_certificate_stale`, and the one before stays. `0s`
    /// switches it off.
    pub watch: Span,
    /// File with the keys of session tickets, mode 0600, made when missing: with it clients resume their sessions
    /// across restarts and upgrades. Unset: the keys live as long as the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_keys: Option<PathBuf>,
    /// How often a new ticket key is made. Older ones open tickets until no session of theirs can be resumed any more.
    pub ticket_rotation: Span,
}

impl Default for TlsCommonSettings {
    fn default() -> Self {
        Self { watch: Span::secs(10), ticket_keys: None, ticket_rotation: Span::secs(12 * 3600) }
    }
}

/// One certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// File with the certificate and the intermediate ones after it, PEM.
    pub cert: PathBuf,
    /// File with the private key, PEM, not encrypted.
    pub key: PathBuf,
    /// File with the OCSP answer to staple, DER, kept up to date by whoever renews the certificate. It is looked at
    /// like the certificate; while it is missing or not one, nothing is stapled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<PathBuf>,
    /// Give this certificate to clients that ask for no name or for one that no certificate has. Without it the
    /// first certificate is the default.
    #[serde(default)]
    pub default: bool,
}

/// The oldest TLS version spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// `1.2`, RFC 5246.
    #[default]
    Tls12,
    /// `1.3`, RFC 8446.
    Tls13,
}

impl MinVersion {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

impl Serialize for MinVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Takes `1.2` with and without quotes: YAML reads the bare one as a number.
impl<'de> Deserialize<'de> for MinVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Version;
        impl Visitor<'_> for Version {
            type Value = MinVersion;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`1.2` or `1.3`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<MinVersion, E> {
                match text {
                    "1.2" => Ok(MinVersion::Tls12),
                    "1.3" => Ok(MinVersion::Tls13),
                    "1" | "1.0" | "1.1" => Err(E::custom(format!(
                        "TLS {text} is broken and not spoken (RFC 8996); write `1.2` or `1.3`"
                    ))),
                    _ => Err(E::custom(format!("`{text}` is not a TLS version; write `1.2` or `1.3`"))),
                }
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<MinVersion, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<MinVersion, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Version)
    }
}

impl JsonSchema for MinVersion {
    fn schema_name() -> Cow<'static, str> {
        "MinVersion".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["1.2", "1.3", 1.2, 1.3], "description": "A TLS version: `1.2` or `1.3`." })
    }
}

#[cfg(test)]
mod tests {
    use super::{MinVersion, TlsSettings};

    #[test]
    fn versions_are_read_with_and_without_quotes() {
        for (yaml, version) in [
            ("min_version: 1.2", MinVersion::Tls12),
            ("min_version: \"1.3\"", MinVersion::Tls13),
            ("min_version: 1.3", MinVersion::Tls13),
        ] {
            let settings: TlsSettings = serde_yaml::from_str(yaml).unwrap();
            assert_eq!(settings.min_version, version, "{yaml}");
        }
        for yaml in ["min_version: 1.1", "min_version: 1", "min_version: tls", "min_version: 1.4"] {
            assert!(serde_yaml::from_str::<TlsSettings>(yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn a_certificate_needs_both_files() {
        let parse = serde_yaml::from_str::<TlsSettings>;
        assert!(parse("certificates: [{ cert: a, key: b }]").is_ok());
        assert!(parse("certificates: [{ cert: a }]").is_err());
        assert!(parse("certificates: [{ cert: a, key: b, sni: c }]").is_err());
    }
}
