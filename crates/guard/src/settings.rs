//! `limits:` as it is written.

use schemars::JsonSchema;
use seawall_config::units::{ByteSize, Cidr, Span};
use seawall_config::{Diagnostics, OneOrMany, Path};
use serde::{Deserialize, Serialize};

/// What one client, one connection and one request may take. Every limit has a value when nothing is written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSettings {
    /// Client connections open at once, over all listeners. Further ones are closed as soon as they are
    /// accepted, before any TLS work. Unset: half of the process's file descriptor limit, at most 65536.
    /// Enforced by the listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Connections open at once from one client address (an IPv6 client is its /64 network). Further ones are
    /// closed as soon as they are accepted. Enforced by the listeners.
    pub max_connections_per_address: u32,
    /// Networks that `max_connections_per_address` does not count: load balancers in front, monitoring.
    pub uncounted_addresses: OneOrMany<Cidr>,
    /// TLS handshakes in progress at once. Connections that come while this many are in progress are closed.
    /// Enforced by the listeners.
    pub max_handshakes: u32,
    /// Time for a TLS handshake, from accept to its end; then the connection is closed. Enforced by the
    /// listeners.
    pub handshake_timeout: Span,
    /// Time for a whole request head: from the start of the connection for the first one, from its first byte
    /// for later ones. It does not start anew with each byte. Then 408 and the connection is closed. Enforced
    /// by the listeners.
    pub head_timeout: Span,
    /// Time a connection may stay open with no request in progress, HTTP/1.1 and HTTP/2. Then it is closed.
    /// Enforced by the listeners (HTTP/1.1) and the HTTP/2 layer.
    pub idle_timeout: Span,
    /// Requests served on one HTTP/1.1 connection before it is closed. Enforced by the HTTP layer.
    pub keepalive_requests: u32,
    /// Time to wait for the next byte of a request body; then the connection is closed. Enforced by the
    /// listeners (HTTP/1.1) and the proxy (HTTP/2).
    pub body_timeout: Span,
    /// Slowest average rate at which a request body may arrive, per second, measured over each `rate_window` of
    /// waiting for the client. Slower clients are cut off. 0 switches it off. Enforced by the listeners,
    /// HTTP/1.1.
    pub min_body_rate: ByteSize,
    /// Time to wait for a client to take any byte of a response; then the connection is closed. Enforced by
    /// the listeners.
    pub write_timeout: Span,
    /// Slowest average rate at which a client may take a response, per second, measured over each `rate_window`
    /// of waiting for the client. Slower clients are cut off. 0 switches it off. Enforced by the listeners.
    pub min_send_rate: ByteSize,
    /// Waiting time over which `min_body_rate` and `min_send_rate` are measured. Time in which the client is not
    /// waited for, because an origin is, does not count.
    pub rate_window: Span,
    /// Time in which what a client still sends after a final answer is read and thrown away, so that the answer
    /// reaches it (an early 413 would be lost to a connection reset). 0 switches it off. Enforced by the
    /// listeners, HTTP/1.1.
    pub linger_timeout: Span,
    /// Largest request head: request line and all fields. Beyond it 431. Enforced by the listeners while it
    /// arrives and by the proxy when it is complete.
    pub max_head: ByteSize,
    /// Most header fields in a request. Beyond it 431. Enforced by the proxy.
    pub max_headers: u32,
    /// Longest request target (path and query). Beyond it 414. Enforced by the proxy.
    pub max_uri: ByteSize,
    /// Largest request body, also when it arrives in chunks. Beyond it 413. Enforced by the proxy.
    pub max_body: ByteSize,
    /// Memory that compressions under way may hold together: 2MiB each at the default levels, up to 34MiB at others.
    /// Responses beyond it pass as they are. Enforced by the proxy.
    pub compression_memory: ByteSize,
    /// Limits of HTTP/2 connections.
    pub h2: H2LimitsSettings,
}

impl Default for LimitsSettings {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_connections_per_address: 2048,
            uncounted_addresses: OneOrMany::default(),
            max_handshakes: 1024,
            handshake_timeout: Span::secs(10),
            head_timeout: Span::secs(10),
            idle_timeout: Span::secs(60),
            keepalive_requests: 10_000,
            body_timeout: Span::secs(30),
            min_body_rate: ByteSize(500),
            write_timeout: Span::secs(30),
            min_send_rate: ByteSize(500),
            rate_window: Span::secs(10),
            linger_timeout: Span::secs(2),
            max_head: ByteSize::kib(32),
            max_headers: 100,
            max_uri: ByteSize::kib(8),
            max_body: ByteSize::mib(1024),
            compression_memory: ByteSize::mib(256),
            h2: H2LimitsSettings::default(),
        }
    }
}

/// Limits of HTTP/2 connections. All are enforced by the HTTP/2 layer, which closes the connection (GOAWAY) or
/// refuses the stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct H2LimitsSettings {
    /// Requests in progress at once on one connection.
    pub max_streams: u32,
    /// Largest list of header fields after decompression, counted as RFC 9113 section 6.5.2 says (each field
    /// is its name, its value and 32 bytes). Beyond it 431.
    pub max_header_list: ByteSize,
    /// Bytes of one request body that a client may send ahead. At least 64KiB - 1, at most 2GiB - 1.
    pub stream_window: ByteSize,
    /// Bytes of all request bodies of a connection that a client may send ahead. At least 64KiB - 1, at most
    /// 2GiB - 1.
    pub connection_window: ByteSize,
    /// Largest frame a client may send: 16KiB to 16MiB - 1.
    pub max_frame: ByteSize,
    /// Bytes of responses buffered for one stream before the origin is made to wait.
    pub max_send_buffer: ByteSize,
    /// Streams a client may reset before they were looked at (rapid reset, CVE-2023-44487); then GOAWAY.
    pub max_pending_resets: u32,
    /// Streams a client may make this side reset by breaking the protocol (MadeYouReset, CVE-2025-8671); then
    /// GOAWAY.
    pub max_provoked_resets: u32,
}

impl Default for H2LimitsSettings {
    fn default() -> Self {
        Self {
            max_streams: 128,
            max_header_list: ByteSize::kib(48),
            stream_window: ByteSize::kib(256),
            connection_window: ByteSize::mib(1),
            max_frame: ByteSize::kib(16),
            max_send_buffer: ByteSize::kib(256),
            max_pending_resets: 20,
            max_provoked_resets: 64,
        }
    }
}

/// The smallest window HTTP/2 starts with (RFC 9113 section 6.9.2).
const MIN_WINDOW: u64 = 65_535;
/// The largest window (RFC 9113 section 6.9.1).
const MAX_WINDOW: u64 = (1 << 31) - 1;
/// The frame sizes a peer may allow (RFC 9113 section 4.2).
const FRAME_SIZES: std::ops::RangeInclusive<u64> = 16_384..=16_777_215;
/// Pingora's HTTP/1 parser gives up at these; larger limits would promise what is not kept.
const MAX_HEAD: u64 = 1_048_575;
const MAX_HEADERS: u32 = 256;

impl LimitsSettings {
    /// Reports every value that makes no sense.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        self.check_counts(at, out);
        self.check_times(at, out);
        self.check_sizes(at, out);
        self.h2.check(&at.key("h2"), out);
    }

    fn check_counts(&self, at: &Path, out: &mut Diagnostics) {
        let counts = [
            ("max_connections", self.max_connections.unwrap_or(1)),
            ("max_connections_per_address", self.max_connections_per_address),
            ("max_handshakes", self.max_handshakes),
            ("keepalive_requests", self.keepalive_requests),
            ("max_headers", self.max_headers),
        ];
        for (key, value) in counts {
            if value == 0 {
                zero(at, key, out);
            }
        }
        if self.max_headers > MAX_HEADERS {
            out.error(&at.key("max_headers"), format!("at most {MAX_HEADERS} header fields can be read"))
                .hint(format!("write {MAX_HEADERS} or less"));
        }
        if let Some(total) = self.max_connections
            && total < self.max_connections_per_address
            && total != 0
        {
            out.warning(
                &at.key("max_connections"),
                format!(
                    "one address may open {} connections, which is more than all together may",
                    self.max_connections_per_address
                ),
            )
            .hint("lower `max_connections_per_address`, or one client can lock out all others");
        }
    }

    fn check_times(&self, at: &Path, out: &mut Diagnostics) {
        let times = [
            ("handshake_timeout", self.handshake_timeout),
            ("head_timeout", self.head_timeout),
            ("idle_timeout", self.idle_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
            ("rate_window", self.rate_window),
        ];
        for (key, value) in times {
            if value.is_zero() {
                zero(at, key, out);
            }
        }
    }

    fn check_sizes(&self, at: &Path, out: &mut Diagnostics) {
        for (key, value) in [
            ("max_head", self.max_head),
            ("max_uri", self.max_uri),
            ("max_body", self.max_body),
            ("compression_memory", self.compression_memory),
        ] {
            if value.bytes() == 0 {
                zero(at, key, out);
            }
        }
        if self.max_head.bytes() > MAX_HEAD {
            out.error(&at.key("max_head"), "a request head of 1MiB or more cannot be read")
                .hint("write less than `1MiB`");
        }
        if self.max_uri > self.max_head {
            out.error(&at.key("max_uri"), "a request target cannot be longer than the head it stands in")
                .hint("raise `max_head` or lower `max_uri`");
        }
    }
}

impl H2LimitsSettings {
    fn check(&self, at: &Path, out: &mut Diagnostics) {
        for (key, value) in [
            ("max_streams", u64::from(self.max_streams)),
            ("max_header_list", self.max_header_list.bytes()),
            ("max_send_buffer", self.max_send_buffer.bytes()),
            ("max_pending_resets", u64::from(self.max_pending_resets)),
            ("max_provoked_resets", u64::from(self.max_provoked_resets)),
        ] {
            if value == 0 {
                zero(at, key, out);
            }
        }
        for (key, value) in
            [("max_header_list", self.max_header_list), ("max_send_buffer", self.max_send_buffer)]
        {
            if value.bytes() > u64::from(u32::MAX) {
                out.error(&at.key(key), "it must be less than 4GiB").hint("write a smaller size");
            }
        }
        for (key, value) in
            [("stream_window", self.stream_window), ("connection_window", self.connection_window)]
        {
            if !(MIN_WINDOW..=MAX_WINDOW).contains(&value.bytes()) {
                out.error(&at.key(key), "an HTTP/2 window is 65535 bytes to 2147483647 bytes")
                    .hint("write a size such as `256KiB`");
            }
        }
        if self.connection_window < self.stream_window {
            out.warning(&at.key("connection_window"), "it is smaller than `stream_window`, which it bounds")
                .hint("raise `connection_window`");
        }
        if !FRAME_SIZES.contains(&self.max_frame.bytes()) {
            out.error(&at.key("max_frame"), "an HTTP/2 frame is 16KiB to 16777215 bytes")
                .hint("write `16KiB`");
        }
    }
}

fn zero(at: &Path, key: &str, out: &mut Diagnostics) {
    out.error(&at.key(key), format!("`{key}` cannot be 0: nothing could ever pass"))
        .hint("remove the line for the default");
}

#[cfg(test)]
mod tests {
    use super::LimitsSettings;
    use seawall_config::{Diagnostics, Path};

    fn check(yaml: &str) -> Vec<String> {
        let settings: LimitsSettings = serde_yaml::from_str(yaml).unwrap();
        let mut out = Diagnostics::default();
        settings.check(&Path::root().key("limits"), &mut out);
        out.iter().map(|d| d.path.to_string()).collect()
    }

    #[test]
    fn defaults_are_sound() {
        assert_eq!(check("{}"), Vec::<String>::new());
    }

    #[test]
    fn defaults_survive_a_round_trip() {
        let text = serde_yaml::to_string(&LimitsSettings::default()).unwrap();
        assert_eq!(check(&text), Vec::<String>::new());
    }

    #[test]
    fn every_slip_is_reported_at_its_key() {
        for (yaml, path) in [
            ("max_connections: 0", "limits.max_connections"),
            ("max_connections_per_address: 0", "limits.max_connections_per_address"),
            ("max_handshakes: 0", "limits.max_handshakes"),
            ("head_timeout: 0", "limits.head_timeout"),
            ("idle_timeout: 0s", "limits.idle_timeout"),
            ("keepalive_requests: 0", "limits.keepalive_requests"),
            ("max_headers: 257", "limits.max_headers"),
            ("max_head: 2MiB", "limits.max_head"),
            ("max_uri: 64KiB", "limits.max_uri"),
            ("max_body: 0", "limits.max_body"),
            ("compression_memory: 0", "limits.compression_memory"),
            ("{ max_connections: 10 }", "limits.max_connections"),
            ("h2: { max_streams: 0 }", "limits.h2.max_streams"),
            ("h2: { stream_window: 1KiB }", "limits.h2.stream_window"),
            ("h2: { connection_window: 128KiB }", "limits.h2.connection_window"),
            ("h2: { max_frame: 1KiB }", "limits.h2.max_frame"),
            ("h2: { max_send_buffer: 5GiB }", "limits.h2.max_send_buffer"),
        ] {
            assert_eq!(check(yaml), [path], "{yaml}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_yaml::from_str::<LimitsSettings>("max_conections: 3").is_err());
        assert!(serde_yaml::from_str::<LimitsSettings>("h2: { streams: 3 }").is_err());
    }
}
