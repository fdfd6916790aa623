use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use super::text_setting;
use crate::credentials::Credentials;

/// The oldest TLS version a server may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            "1.0" | "1.1" | "1" => {
                Err(format!("TLS {text} is broken (RFC 8996) and not offered; write `1.2` or `1.3`"))
            }
            _ => Err(format!("`{text}` is not a TLS version; write `1.2` or `1.3`")),
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        })
    }
}

text_setting!(TlsVersion, "a TLS version, `1.2` or `1.3`", "A TLS version: `1.2` or `1.3`.");

/// TLS to the servers: `tls: true`, or a map for anything but the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// Whether connections to the servers use TLS.
    pub enabled: bool,
    /// The name asked for (SNI) and looked for in the server's certificate. Without it: the upstream's `host` when that
    /// is a name, else the server's own DNS name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// PEM file of the authorities that may have signed the server's certificate, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// PEM file of the certificate we show to the server (with its chain, ours first). Needs `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// PEM file of the private key of `certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the server's certificate must be valid and for the right name. Without this anyone on the way can read
    /// and change the traffic.
    pub verify: bool,
    /// The oldest version accepted. Connections that agree on an older one are closed before a request is sent.
    pub min_version: TlsVersion,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            sni: None,
            ca: None,
            certificate: None,
            key: None,
            verify: true,
            min_version: TlsVersion::default(),
        }
    }
}

impl FromStr for TlsSettings {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self::default()),
            "false" => Ok(Self { enabled: false, ..Self::default() }),
            _ => Err(format!("`{text}` is not known here; write `true`, `false` or a map of settings")),
        }
    }
}

impl TlsSettings {
    /// Reports what cannot work; reads the files to find out.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if !self.enabled {
            return;
        }
        if let Some(sni) = &self.sni
            && !is_server_name(sni)
        {
            out.error(&at.key("sni"), format!("`{sni}` is not a DNS name")).hint(
                "write the name in the server's certificate; addresses are not allowed (RFC 6066 section 3)",
            );
        }
        if !self.verify {
            out.warning(&at.key("verify"), "the servers' certificates are not checked")
                .hint("give the authority in `ca` instead");
        }
        for problem in Credentials::load(self).err().into_iter().flatten() {
            out.error(&at.key(problem.key), problem.message).hint(problem.hint);
        }
    }
}

/// RFC 6066 section 3: a DNS name, no address.
pub(crate) fn is_server_name(text: &str) -> bool {
    matches!(format!("{text}:443").parse(), Ok(crate::Address::Name { .. }))
}
