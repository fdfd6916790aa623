//! Where a listener listens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `0.0.0.0:8080`, `[::]:8080`, `:8080` or `unix:/run/seawall/http.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A port on all addresses, IPv4 and IPv6.
    AnyAddress(u16),
    /// A unix socket.
    Unix(PathBuf),
}

/// The longest path a unix socket can have on Linux (`sun_path`, less the final 0).
const MAX_UNIX_PATH: usize = 107;

impl ListenAddress {
    /// Whether the two cannot both be bound. Port 0 stands for any free port and is never taken.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(a), Self::Unix(b)) => a == b,
            (Self::Tcp(a), Self::Tcp(b)) => {
                let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
                a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && same_ip
            }
            (Self::AnyAddress(a), Self::AnyAddress(b)) => *a != 0 && a == b,
            (Self::AnyAddress(port), Self::Tcp(tcp)) | (Self::Tcp(tcp), Self::AnyAddress(port)) => {
                *port != 0 && tcp.port() == *port
            }
            (Self::Unix(_), _) | (_, Self::Unix(_)) => false,
        }
    }

    /// Whether it is an IPv6 wildcard that could also take IPv4 connections.
    pub(crate) fn is_v6_wildcard(&self) -> bool {
        matches!(self, Self::Tcp(addr) if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED))
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| Err(format!("`{text}` is not an address to listen on: {why}"));
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return bad("a unix socket needs an absolute path, as in `unix:/run/seawall/http.sock`");
            }
            if path.len() > MAX_UNIX_PATH {
                return bad("the path of a unix socket has at most 107 bytes");
            }
            return Ok(Self::Unix(path.into()));
        }
        if let Some(port) = text.strip_prefix(':').filter(|_| text.parse::<IpAddr>().is_err()) {
            return match port.parse() {
                Ok(port) => Ok(Self::AnyAddress(port)),
                Err(_) => bad("the port must be a number from 0 to 65535"),
            };
        }
        match text.parse() {
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) if text.parse::<IpAddr>().is_ok() => bad("the port is missing, as in `0.0.0.0:8080`"),
            Err(_) if text.parse::<u16>().is_ok() => bad("write a colon before a port alone, as in `:8080`"),
            Err(_) => bad(
                "write an IP address with a port such as `0.0.0.0:8080` or `[::]:8080`, `:8080` or `unix:/path`",
            ),
        }
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::AnyAddress(port) => write!(f, ":{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ListenAddress;

    fn parse(text: &str) -> ListenAddress {
        text.parse().unwrap()
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["0.0.0.0:80", "[::1]:8080", ":443", "unix:/run/x.sock"] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn slips_are_explained() {
        for (text, part) in [
            ("8080", "colon before a port"),
            ("0.0.0.0", "port is missing"),
            ("::1", "port is missing"),
            ("localhost:80", "IP address"),
            ("0.0.0.0:99999", "IP address"),
            (":x", "number from 0"),
            ("unix:x.sock", "absolute path"),
            ("", "IP address"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(long.parse::<ListenAddress>().unwrap_err().contains("107"));
    }

    #[test]
    fn what_cannot_both_be_bound_overlaps() {
        for (a, b, overlap) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "[::]:80", false),
            (":80", "[::1]:80", true),
            (":80", "127.0.0.1:80", true),
            (":80", ":80", true),
            (":0", ":0", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", ":80", false),
        ] {
            assert_eq!(parse(a).overlaps(&parse(b)), overlap, "{a} {b}");
            assert_eq!(parse(b).overlaps(&parse(a)), overlap, "{b} {a}");
        }
    }
}
