use schemars::JsonSchema;
use seawall_config::units::Span;
use seawall_config::{Diagnostics, OneOrMany, Path};
use serde::{Deserialize, Serialize};

use super::NameServer;

/// Which addresses of a name are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only (A records).
    Ipv4,
    /// IPv6 only (AAAA records).
    Ipv6,
}

/// How names of servers are resolved. A name is asked for again when its answer's time to live has passed; while that
/// fails, the last good addresses stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsSettings {
    /// The DNS servers to ask, such as `127.0.0.1:8600`; when one does not answer the next is asked. Without this key the
    /// system's (`/etc/resolv.conf`). The hosts file counts either way. At most 8.
    pub servers: OneOrMany<NameServer>,
    /// Shortest time between two lookups of one name, whatever the answer's time to live. After a failure the next try
    /// comes after this time, then after twice, four times as long, up to `refresh_max`.
    pub refresh_min: Span,
    /// Longest time between two lookups of one name.
    pub refresh_max: Span,
    /// Time a lookup may take in all; then it has failed.
    pub timeout: Span,
    /// Which addresses are used.
    pub family: Family,
    /// Addresses used of one name; further ones (in numeric order) are left out with a warning in the log.
    pub max_addresses: u32,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            servers: OneOrMany::default(),
            refresh_min: Span::secs(1),
            refresh_max: Span::secs(300),
            timeout: Span::secs(5),
            family: Family::Any,
            max_addresses: 64,
        }
    }
}

/// More would only be a slip, and every address costs a health check and a place in the metrics.
const MAX_ADDRESSES: u32 = 1024;
/// A lookup that has to ask more of them would not end in any useful time.
const MAX_SERVERS: usize = 8;

impl DnsSettings {
    /// Reports what cannot work.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        for (key, span) in
            [("refresh_min", self.refresh_min), ("refresh_max", self.refresh_max), ("timeout", self.timeout)]
        {
            if span.is_zero() {
                out.error(&at.key(key), format!("`{key}` cannot be zero")).hint("write a time such as `1s`");
            }
        }
        if self.servers.len() > MAX_SERVERS {
            out.error(&at.key("servers"), format!("{} DNS servers", self.servers.len()))
                .hint(format!("write at most {MAX_SERVERS}"));
        }
        if self.refresh_min > self.refresh_max {
            out.error(&at.key("refresh_min"), "`refresh_min` is longer than `refresh_max`")
                .hint(format!("`refresh_max` is {}", self.refresh_max));
        }
        if self.max_addresses == 0 || self.max_addresses > MAX_ADDRESSES {
            out.error(&at.key("max_addresses"), format!("{} addresses", self.max_addresses))
                .hint(format!("write 1 to {MAX_ADDRESSES}"));
        }
    }
}
