use std::collections::BTreeMap;

use http::uri::Authority;
use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path, Short};
use seawall_files::FilesSettings;
use serde::{Deserialize, Serialize};

use super::{
    Balance, DnsSettings, HashSettings, HealthSettings, RetrySettings, ServerSettings, Timeouts, TlsSettings,
    is_server_name,
};
use crate::Address;

/// The value of `host` that passes the client's Host header on.
pub const KEEP_HOST: &str = "keep";

/// Ketama puts 160 points on its ring for each unit of weight, so a weight must have an end.
const MAX_WEIGHT: u32 = 256;
/// Far above any pool written by hand; it bounds tables and metrics.
const MAX_SERVERS: usize = 1024;

/// The HTTP version spoken to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 only; without TLS by prior knowledge (RFC 9113 section 3.3). What gRPC needs.
    Http2,
    /// With TLS HTTP/2 where the server offers it (ALPN), else HTTP/1.1. Without TLS HTTP/1.1.
    Auto,
}

/// A pool of servers that serve the same content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSettings {
    /// A folder served as if it were an origin, instead of `servers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Short<FilesSettings>>,
    /// The servers: addresses, or maps with a weight and more.
    pub servers: Vec<Short<ServerSettings>>,
    /// How a server is chosen for a request.
    pub balance: Balance,
    /// What `balance: consistent_hash` hashes; by default the path with its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<Short<HashSettings>>,
    /// Active health checks; without this key there are none. `health: {}` checks with a connection every 5 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSettings>,
    /// How servers given by DNS name are resolved.
    pub dns: DnsSettings,
    /// TLS to the servers; without this key there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Short<TlsSettings>>,
    /// The HTTP version spoken to the servers.
    pub protocol: Protocol,
    /// Requests at once on one HTTP/2 connection to a server; the next one opens another connection.
    pub max_h2_streams: u32,
    /// How long we wait for a server.
    pub timeouts: Timeouts,
    /// When a request is sent again.
    pub retries: RetrySettings,
    /// Requests in flight at once to one server; further ones go to other servers, and where all are full the client
    /// gets 503. 0 means no limit.
    pub max_connections: u32,
    /// The Host header sent to the servers: `keep` passes the client's on, anything else is sent instead.
    pub host: String,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            files: None,
            servers: Vec::new(),
            balance: Balance::default(),
            hash: None,
            health: None,
            dns: DnsSettings::default(),
            tls: None,
            protocol: Protocol::default(),
            max_h2_streams: 100,
            timeouts: Timeouts::default(),
            retries: RetrySettings::default(),
            max_connections: 0,
            host: KEEP_HOST.to_owned(),
        }
    }
}

impl UpstreamSettings {
    /// The TLS settings when TLS is on.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsSettings> {
        self.tls.as_deref().filter(|tls| tls.enabled)
    }

    /// Whether a connection to a server may carry several requests at once.
    #[must_use]
    pub fn may_share_connections(&self) -> bool {
        match self.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => self.tls().is_some(),
        }
    }

    /// The Host header to send instead of the client's.
    #[must_use]
    pub fn set_host(&self) -> Option<&str> {
        (self.host != KEEP_HOST).then_some(self.host.as_str())
    }

    /// The name asked for in the TLS handshake with a server at `address`; `None` when there is none to be had.
    #[must_use]
    pub fn server_name<'a>(&'a self, address: &'a Address) -> Option<&'a str> {
        let set_host = || {
            let host = self.set_host()?;
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            is_server_name(name).then_some(name)
        };
        self.tls()?.sni.as_deref().or_else(set_host).or_else(|| address.host_name())
    }

    /// Reports what cannot work; reads the TLS files to find out.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if let Some(files) = &self.files {
            self.check_files(files, at, out);
            return;
        }
        self.check_servers(at, out);
        self.check_hash(at, out);
        if let Some(health) = &self.health {
            health.check(&at.key("health"), out);
        }
        self.dns.check(&at.key("dns"), out);
        if let Some(tls) = &self.tls {
            tls.check(&at.key("tls"), out);
        }
        self.timeouts.check(&at.key("timeouts"), out);
        self.retries.check(&at.key("retries"), out);
        if self.max_h2_streams == 0 {
            out.error(&at.key("max_h2_streams"), "`max_h2_streams` cannot be zero").hint("write 1 or more");
        }
        if self.host.parse::<Authority>().is_err() {
            out.error(&at.key("host"), format!("`{}` is not a host", self.host))
                .hint("write `keep` or a name such as `example.com`");
        }
    }

    /// A folder has no servers, no balance, no health: what is set of it would do nothing.
    fn check_files(&self, files: &FilesSettings, at: &Path, out: &mut Diagnostics) {
        let here = std::env::current_dir().unwrap_or_default();
        files.check(&at.key("files"), out, &here);
        if *self != (Self { files: self.files.clone(), ..Self::default() }) {
            out.error(at, "an upstream with `files` takes no other settings")
                .hint("remove the other keys, or `files`");
        }
    }

    fn check_servers(&self, at: &Path, out: &mut Diagnostics) {
        let list = at.key("servers");
        if self.servers.is_empty() {
            // One that could not be read has been reported already, and left the list.
            if out.iter().any(|found| found.path.starts_with(&list)) {
                return;
            }
            out.error(&list, "the upstream has no servers").hint("add `servers: [10.0.0.1:8080]`");
            return;
        }
        if self.servers.len() > MAX_SERVERS {
            out.error(&list, format!("{} servers", self.servers.len()))
                .hint(format!("an upstream has at most {MAX_SERVERS}"));
        }
        let mut seen = BTreeMap::new();
        for (i, server) in self.servers.iter().enumerate() {
            self.check_server(server, &list.index(i), out);
            if let Some(first) = seen.insert(&server.address, i) {
                out.error(&list.index(i), format!("`{}` is in the list twice", server.address))
                    .hint(format!("it is number {} too; give one of them a `weight` instead", first + 1));
            }
        }
        if self.servers.iter().all(|server| server.drain) {
            out.error(&list, "every server is drained, so none takes requests");
        } else if self.servers.iter().all(|server| server.backup || server.drain) {
            out.error(&list, "every server that takes requests is a backup").hint("remove `backup` from one");
        }
    }

    fn check_server(&self, server: &ServerSettings, at: &Path, out: &mut Diagnostics) {
        if server.weight == 0 || server.weight > MAX_WEIGHT {
            out.error(&at.key("weight"), format!("a weight of {}", server.weight))
                .hint(format!("write 1 to {MAX_WEIGHT}, or `drain: true` to send nothing"));
        }
        if server.socket_addr().is_some_and(|address| address.ip().is_unspecified()) {
            out.error(&at.key("address"), format!("`{}` is every address of this machine", server.address))
                .hint("write one address, such as 127.0.0.1");
        }
        if self.tls().is_some_and(|tls| tls.verify) && self.server_name(&server.address).is_none() {
            out.error(at, format!("there is no name to look for in the certificate of `{}`", server.address))
                .hint("set `tls: { sni: … }` to the name in the certificate");
        }
    }

    fn check_hash(&self, at: &Path, out: &mut Diagnostics) {
        let Some(hash) = &self.hash else { return };
        if self.balance != Balance::ConsistentHash {
            out.error(&at.key("hash"), "`hash` does nothing without `balance: consistent_hash`")
                .on_key()
                .hint("add `balance: consistent_hash` or remove `hash`");
        }
        hash.check(&at.key("hash"), out);
    }
}
