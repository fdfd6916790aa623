//! `listeners:` as it is written.

use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use seawall_guard::AccessSettings;
use seawall_tls::TlsSettings;
use serde::{Deserialize, Serialize};

use crate::{FileMode, ListenAddress};

/// Where clients come in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// `0.0.0.0:8080`, `[::]:8080`, `:8080` (all addresses, IPv4 and IPv6) or `unix:/run/seawall/http.sock`.
    pub address: ListenAddress,
    /// Speak TLS. Unset: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// Take HTTP/2 without TLS from clients that begin with its preface. Plain listeners only.
    #[serde(default)]
    pub h2c: bool,
    /// Which client addresses may connect. Others are closed as soon as they are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessSettings>,
    /// Connections the system keeps waiting to be accepted. The system may cap it (`net.core.somaxconn`).
    #[serde(default = "default_backlog")]
    pub backlog: u32,
    /// Let other sockets share the port (`SO_REUSEPORT`), for several processes side by side.
    #[serde(default)]
    pub reuse_port: bool,
    /// Whether `[::]` leaves IPv4 alone. Default true, so that `0.0.0.0` can be a listener of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v6only: Option<bool>,
    /// Permissions of a unix socket, octal. Default "0660".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
}

fn default_backlog() -> u32 {
    4096
}

impl ListenerSettings {
    /// A plain listener on `address` with the defaults for all else.
    #[must_use]
    pub fn new(address: ListenAddress) -> Self {
        Self {
            address,
            tls: None,
            h2c: false,
            access: None,
            backlog: default_backlog(),
            reuse_port: false,
            v6only: None,
            mode: None,
        }
    }

    /// Reports every problem of this listener alone.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if let Some(tls) = &self.tls {
            tls.check(&at.key("tls"), out);
            if self.h2c {
                out.error(&at.key("h2c"), "`h2c` is HTTP/2 without TLS, and this listener speaks TLS")
                    .hint("remove `h2c`; with TLS, HTTP/2 is agreed on in the handshake");
            }
        }
        if let Some(access) = &self.access {
            access.check(&at.key("access"), out);
        }
        if self.backlog == 0 || i32::try_from(self.backlog).is_err() {
            out.error(&at.key("backlog"), "the backlog is a number from 1 to 2147483647")
                .hint("remove the line for the default");
        }
        let unix = matches!(self.address, ListenAddress::Unix(_));
        if unix {
            for (key, set) in [("access", self.access.is_some()), ("reuse_port", self.reuse_port)] {
                if set {
                    out.error(&at.key(key), format!("`{key}` has no meaning for a unix socket"))
                        .hint("remove the line; `mode` says who may connect");
                }
            }
        } else if self.mode.is_some() {
            out.error(&at.key("mode"), "`mode` is for unix sockets").hint("remove the line");
        }
        if self.v6only.is_some() && !self.address.is_v6_wildcard() {
            out.error(&at.key("v6only"), "`v6only` is for listeners on `[::]`").hint("remove the line");
        }
    }

    /// Whether the two cannot both be bound.
    fn overlaps(&self, other: &Self) -> bool {
        if self.reuse_port && other.reuse_port {
            return false;
        }
        let takes_v4 = |listener: &Self| listener.address.is_v6_wildcard() && listener.v6only == Some(false);
        let (a, b) = (&self.address, &other.address);
        let same_port = match (a, b) {
            (ListenAddress::Tcp(a), ListenAddress::Tcp(b)) => a.port() != 0 && a.port() == b.port(),
            _ => false,
        };
        a.overlaps(b) || (same_port && (takes_v4(self) || takes_v4(other)))
    }
}

/// Checks all listeners, each and together. `at` is the list's place.
pub fn check_listeners(listeners: &[ListenerSettings], at: &Path, out: &mut Diagnostics) {
    if listeners.is_empty() {
        out.error(at, "there is no listener, so nobody could connect")
            .hint("write `listeners: [{ address: 0.0.0.0:8080 }]`");
    }
    for (index, listener) in listeners.iter().enumerate() {
        listener.check(&at.index(index), out);
        if let Some(first) = listeners[..index].iter().position(|other| listener.overlaps(other)) {
            out.error(
                &at.index(index).key("address"),
                format!(
                    "`{}` is taken by `listeners[{first}]` (`{}`)",
                    listener.address, listeners[first].address
                ),
            )
            .hint("remove one of the two or change its port");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ListenerSettings, check_listeners};
    use seawall_config::{Diagnostics, Path};

    fn check(yaml: &str) -> Vec<String> {
        let listeners: Vec<ListenerSettings> = serde_yaml::from_str(yaml).unwrap();
        let mut out = Diagnostics::default();
        check_listeners(&listeners, &Path::root().key("listeners"), &mut out);
        out.iter().map(|d| d.path.to_string()).collect()
    }

    #[test]
    fn sound_listeners_pass() {
        for yaml in [
            "[{ address: '0.0.0.0:80' }, { address: '[::]:80' }, { address: 'unix:/run/x', mode: '0600' }]",
            "[{ address: ':80', h2c: true, access: { deny: 10.0.0.0/8 } }]",
            "[{ address: '127.0.0.1:80', reuse_port: true }, { address: '127.0.0.1:80', reuse_port: true }]",
        ] {
            assert_eq!(check(yaml), Vec::<String>::new(), "{yaml}");
        }
    }

    #[test]
    fn every_slip_is_reported_at_its_key() {
        for (yaml, path) in [
            ("[]", "listeners"),
            ("[{ address: ':80', backlog: 0 }]", "listeners[0].backlog"),
            ("[{ address: ':80', mode: '0660' }]", "listeners[0].mode"),
            ("[{ address: '0.0.0.0:80', v6only: true }]", "listeners[0].v6only"),
            ("[{ address: 'unix:/x', reuse_port: true }]", "listeners[0].reuse_port"),
            ("[{ address: 'unix:/x', access: { allow: 10.0.0.0/8 } }]", "listeners[0].access"),
            ("[{ address: ':80' }, { address: '127.0.0.1:80' }]", "listeners[1].address"),
            ("[{ address: '[::]:80', v6only: false }, { address: '0.0.0.0:80' }]", "listeners[1].address"),
            ("[{ address: ':80', tls: {} }]", "listeners[0].tls.certificates"),
        ] {
            assert_eq!(check(yaml), [path], "{yaml}");
        }
        let tls_and_h2c = check("[{ address: ':80', tls: {}, h2c: true }]");
        assert!(tls_and_h2c.contains(&"listeners[0].h2c".to_owned()), "{tls_and_h2c:?}");
    }

    #[test]
    fn unknown_keys_and_bad_addresses_do_not_decode() {
        for yaml in ["[{}]", "[{ address: ':80', adress: x }]", "[{ address: 'localhost:80' }]"] {
            assert!(serde_yaml::from_str::<Vec<ListenerSettings>>(yaml).is_err(), "{yaml}");
        }
    }
}
