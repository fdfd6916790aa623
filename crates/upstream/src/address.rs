//! Where a server is: an IP address, a DNS name or a unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::settings::text_setting;

/// `sun_path` of Linux holds 108 bytes with the closing NUL (unix(7)).
const UNIX_PATH_MAX: usize = 107;

/// The address of a server as it is written: `10.0.0.1:8080`, `[2001:db8::1]:80`, `app.example:8080`, `unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// A DNS name and a port; the name is in lower case, without a closing dot.
    Name {
        /// The name to resolve.
        host: String,
        /// The port of every address it resolves to.
        port: u16,
    },
    /// The absolute path of a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The IP address and port, when no lookup is needed to know them.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(address) => Some(*address),
            Self::Name { .. } | Self::Unix(_) => None,
        }
    }

    /// The path of the unix socket.
    #[must_use]
    pub fn unix_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Socket(_) | Self::Name { .. } => None,
        }
    }

    /// The DNS name.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        match self {
            Self::Name { host, .. } => Some(host),
            Self::Socket(_) | Self::Unix(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(text, path);
        }
        if text.contains("://") {
            return Err(format!(
                "`{text}` is a URL; write only `host:port`, and `tls: true` in the upstream for https"
            ));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(format!("`{text}` has port 0; write the port the server listens on")),
                _ => Ok(Self::Socket(address)),
            };
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(format!("`{text}` has no port; write it as in `{text}:80`"));
        };
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("`{port}` in `{text}` is not a port; ports are 1 to 65535")),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        check_name(text, &host)?;
        Ok(Self::Name { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn unix(text: &str, path: &str) -> Result<Address, String> {
    if !path.starts_with('/') {
        return Err(format!("`{text}` is not an absolute path; write it as in `unix:/run/app.sock`"));
    }
    if path.len() > UNIX_PATH_MAX || path.contains('\0') {
        return Err(format!("`{text}` cannot be a unix socket: a path has at most {UNIX_PATH_MAX} bytes"));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

/// A host name as RFC 1123 section 2.1 has it, with the underscore that names inside clusters use.
fn check_name(text: &str, host: &str) -> Result<(), String> {
    let bad = |why: &str| Err(format!("`{text}` is not a server: {why}"));
    if host.is_empty() {
        return bad("the host is missing in front of the port");
    }
    if host.contains(':') {
        return bad("an IPv6 address stands in brackets, as in `[::1]:80`");
    }
    if host.len() > 253 || host.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return bad("a DNS name has at most 253 characters, and 1 to 63 between the dots");
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
        return bad("a DNS name has letters, digits, `-`, `_` and dots");
    }
    let last = host.rsplit('.').next().unwrap_or(host);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return bad("it looks like an IPv4 address but is none");
    }
    Ok(())
}

text_setting!(
    Address,
    "an address such as `10.0.0.1:8080`, `app.example:8080` or `unix:/run/app.sock`",
    "A server: `10.0.0.1:8080`, `[2001:db8::1]:80`, `app.example:8080` (all addresses of the name), `unix:/run/app.sock`."
);

#[cfg(test)]
mod tests {
    use super::Address;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, shown) in [
            ("10.0.0.1:8080", "10.0.0.1:8080"),
            ("[::1]:80", "[::1]:80"),
            ("App.Example.:8080", "app.example:8080"),
            ("my_service:80", "my_service:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_slips_with_advice() {
        let long = format!("unix:/{}", "x".repeat(107));
        for (text, advice) in [
            ("10.0.0.1", "has no port"),
            ("example.com", "example.com:80"),
            ("10.0.0.1:0", "port 0"),
            ("example.com:0", "1 to 65535"),
            ("example.com:http", "1 to 65535"),
            ("http://example.com", "tls: true"),
            ("::1:80", "brackets"),
            (":80", "missing"),
            ("10.0.0.256:80", "IPv4"),
            ("a..b:80", "1 to 63"),
            ("a b:80", "letters"),
            ("unix:run/app.sock", "absolute"),
            (&long, "at most"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(text in "\\PC*") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
