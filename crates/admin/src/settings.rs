//! `admin:` as it is written.

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use seawall_config::units::{Secret, Span};
use seawall_config::{Diagnostics, OneOrMany, Path};
use seawall_guard::{Limits, LimitsSettings};
use seawall_listen::{FileMode, ListenAddress, ListenerSettings};
use seawall_tls::TlsSettings;
use serde::{Deserialize, Serialize};

/// The control API, which `seawall status`, `pools`, `purge`, `reload` and `stop` use. Whoever reaches it can change
/// what this process does.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSettings {
    /// `unix:/run/seawall/admin.sock`, where the file's mode says who may connect, or an address and port, which
    /// needs `token`, `token_file` or `tls.client_ca`. Unset: there is no control API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<ListenAddress>,
    /// Permissions of the unix socket, octal. Default "0600".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// What clients send as `Authorization: Bearer …`. Write `${SEAWALL_ADMIN_TOKEN}` rather than the token itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// A file that holds the token; read at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// TLS of the address; with `client_ca` only clients with a certificate of that authority get in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// Names by which the address is asked for (`Host`), beside IP addresses and `localhost`. Anything else is refused:
    /// it comes from a web page that was lured here.
    pub hosts: OneOrMany<String>,
    /// Connections at once; further ones are closed.
    pub max_connections: u32,
    /// How long one answer may take to make before the client gets 504. What was begun goes on.
    pub timeout: Span,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: None,
            mode: None,
            token: None,
            token_file: None,
            tls: None,
            hosts: OneOrMany::default(),
            max_connections: 32,
            timeout: Span::secs(60),
        }
    }
}

/// A token shorter than this can be guessed.
const SHORTEST_TOKEN: usize = 16;

impl AdminSettings {
    /// The listener, when there is one.
    #[must_use]
    pub fn listener(&self) -> Option<ListenerSettings> {
        let address = self.listen.clone()?;
        let unix = matches!(address, ListenAddress::Unix(_));
        let mut listener = ListenerSettings::new(address);
        if unix {
            listener.mode = Some(self.mode.unwrap_or_else(FileMode::owner_only));
        }
        // The API speaks HTTP/1.1 only.
        listener.tls = self.tls.clone().map(|tls| TlsSettings { http2: false, ..tls });
        Some(listener)
    }

    /// The token to ask for, from wherever it is written.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn read_token(&self) -> std::io::Result<Option<String>> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Some(token.reveal().to_owned())),
            (None, Some(file)) => std::fs::read_to_string(file).map(|text| Some(text.trim().to_owned())),
            (None, None) => Ok(None),
        }
    }

    /// Reports every problem.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        let Some(address) = &self.listen else {
            for (key, set) in [
                ("token", self.token.is_some()),
                ("token_file", self.token_file.is_some()),
                ("tls", self.tls.is_some()),
                ("mode", self.mode.is_some()),
            ] {
                if set {
                    out.error(&at.key(key), format!("`{key}` does nothing without `listen`")).on_key();
                }
            }
            return;
        };
        if let Some(listener) = self.listener() {
            // Its parts have the same names here as in a listener.
            listener.check(at, out);
        }
        self.check_token(at, out);
        self.check_guard(address, at, out);
        if self.max_connections == 0 {
            out.error(&at.key("max_connections"), "`max_connections` cannot be zero");
        }
        if self.timeout.is_zero() {
            out.error(&at.key("timeout"), "`timeout` cannot be zero");
        }
    }

    fn check_token(&self, at: &Path, out: &mut Diagnostics) {
        if self.token.is_some() && self.token_file.is_some() {
            out.error(&at.key("token_file"), "`token` is given, too").hint("keep one of the two");
        }
        let key = if self.token.is_some() { "token" } else { "token_file" };
        match self.read_token() {
            Err(error) => {
                out.error(&at.key("token_file"), format!("cannot read the token: {error}"))
                    .hint("check the path and that the user Seawall runs as may read the file");
            }
            Ok(Some(token)) if token.len() < SHORTEST_TOKEN => {
                out.error(&at.key(key), format!("a token has at least {SHORTEST_TOKEN} characters"))
                    .hint("`openssl rand -hex 32` makes a good one");
            }
            Ok(Some(token)) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                out.error(&at.key(key), "a token is of visible ASCII characters")
                    .hint("`openssl rand -hex 32` makes a good one");
            }
            Ok(_) => {}
        }
    }

    fn check_guard(&self, address: &ListenAddress, at: &Path, out: &mut Diagnostics) {
        let mutual = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let token = self.token.is_some() || self.token_file.is_some();
        let ip: Option<IpAddr> = match address {
            ListenAddress::Unix(_) => return self.check_unix(at, out),
            ListenAddress::Tcp(tcp) => Some(tcp.ip()),
            ListenAddress::AnyAddress(_) => None,
        };
        if !token && !mutual {
            out.error(&at.key("listen"), format!("whoever reaches `{address}` could control this process"))
                .hint("add `token_file` or `tls: { client_ca: … }`, or listen on `unix:/run/seawall/admin.sock`");
        } else if self.tls.is_none() && !ip.is_some_and(|ip| ip.is_loopback()) {
            out.warning(&at.key("listen"), "the token crosses the network in the clear").hint("add `tls`");
        }
    }

    fn check_unix(&self, at: &Path, out: &mut Diagnostics) {
        if self.tls.is_some() {
            out.error(&at.key("tls"), "`tls` has no meaning for a unix socket").on_key();
        }
        if self.mode.is_some_and(|mode| mode.bits() & 0o007 != 0) {
            out.warning(&at.key("mode"), "every user of this machine could control this process")
                .hint("\"0600\" is the default; \"0660\" adds a group");
        }
    }
}

/// What one client of the API may take: little, and never for long.
#[must_use]
pub fn admin_limits(settings: &AdminSettings) -> Limits {
    let limits = LimitsSettings {
        max_connections: Some(settings.max_connections),
        max_connections_per_address: settings.max_connections,
        max_handshakes: settings.max_connections,
        handshake_timeout: Span::secs(5),
        head_timeout: Span::secs(5),
        idle_timeout: Span::secs(5),
        body_timeout: Span::secs(5),
        write_timeout: Span::secs(10),
        ..LimitsSettings::default()
    };
    Limits::new(&limits)
}

#[cfg(test)]
mod tests {
    use super::AdminSettings;
    use seawall_config::{Diagnostics, Path};

    fn check(yaml: &str) -> Vec<String> {
        let settings: AdminSettings = serde_yaml::from_str(yaml).unwrap();
        let mut out = Diagnostics::default();
        settings.check(&Path::root().key("admin"), &mut out);
        out.iter().map(|d| d.path.to_string()).collect()
    }

    #[test]
    fn sound_settings_pass() {
        for yaml in [
            "{}",
            "{ listen: 'unix:/run/seawall/admin.sock' }",
            "{ listen: 'unix:/run/a.sock', mode: '0660' }",
            "{ listen: '127.0.0.1:9092', token: 0123456789abcdef }",
        ] {
            assert_eq!(check(yaml), Vec::<String>::new(), "{yaml}");
        }
    }

    #[test]
    fn an_open_door_is_refused_and_every_slip_is_told() {
        for (yaml, path) in [
            ("{ listen: '127.0.0.1:9092' }", "admin.listen"),
            ("{ listen: ':9092', token: 0123456789abcdef }", "admin.listen"),
            ("{ listen: '127.0.0.1:9092', token: short }", "admin.token"),
            ("{ listen: '127.0.0.1:9092', token: 'with a space in it' }", "admin.token"),
            ("{ listen: '127.0.0.1:9092', token_file: /does/not/exist }", "admin.token_file"),
            ("{ token: 0123456789abcdef }", "admin.token"),
            ("{ listen: 'unix:/run/a.sock', mode: '0666' }", "admin.mode"),
            ("{ listen: 'unix:/run/a.sock', max_connections: 0 }", "admin.max_connections"),
            ("{ listen: 'unix:/run/a.sock', timeout: 0s }", "admin.timeout"),
        ] {
            assert_eq!(check(yaml), [path], "{yaml}");
        }
    }
}
