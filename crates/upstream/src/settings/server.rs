use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Address;

/// One server of an upstream. Only the address is required, and then it may stand alone: `10.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Where it is: `10.0.0.1:8080`, `[2001:db8::1]:80`, `app.example:8080` (a DNS name: every address it has becomes
    /// a server) or `unix:/run/app.sock`.
    pub address: Address,
    /// Its share of the traffic beside the others, 1 to 256.
    #[serde(default = "one")]
    pub weight: u32,
    /// Takes traffic only while no other server can.
    #[serde(default)]
    pub backup: bool,
    /// Takes no new requests; running ones end undisturbed.
    #[serde(default)]
    pub drain: bool,
}

const fn one() -> u32 {
    1
}

impl ServerSettings {
    /// A server with weight 1 that is neither backup nor drained.
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self { address, weight: one(), backup: false, drain: false }
    }

    /// The IP address and port, when they are written; `None` for DNS names and unix sockets. For the check that no
    /// server is one of our own listeners.
    #[must_use]
    pub fn socket_addr(&self) -> Option<std::net::SocketAddr> {
        self.address.socket_addr()
    }
}

impl FromStr for ServerSettings {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self::new)
    }
}
