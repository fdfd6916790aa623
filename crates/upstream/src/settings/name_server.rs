use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::text_setting;

/// Where DNS is spoken when no port is written (RFC 1035 section 4.2).
const PORT: u16 = 53;

/// A DNS server to ask: an address, with a port when it is not 53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameServer(pub SocketAddr);

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, PORT),
            Err(_) => text.parse().map_err(|_| {
                format!(
                    "`{text}` is not a DNS server; write its address, such as `10.0.0.53` or `127.0.0.1:8600`"
                )
            })?,
        };
        if address.port() == 0 || address.ip().is_unspecified() {
            return Err(format!(
                "`{text}` is nowhere that can be asked; write `10.0.0.53` or `127.0.0.1:8600`"
            ));
        }
        Ok(Self(address))
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == PORT { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

text_setting!(
    NameServer,
    "the address of a DNS server such as `10.0.0.53` or `127.0.0.1:8600`",
    "The address of a DNS server: `10.0.0.53`, `127.0.0.1:8600`, `[2001:db8::53]:53`."
);
