use schemars::JsonSchema;
use seawall_config::units::Span;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

/// How long we wait for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Opening a connection in all, TLS handshake included.
    pub connect: Span,
    /// From the request until the server begins to answer. See `read` for HTTP/2.
    pub first_byte: Span,
    /// Between two pieces of an answer. With `protocol: http2`, and with `auto` over TLS, both waits last for the longer
    /// of `first_byte` and `read`, since one slow answer must not close a connection that carries others.
    pub read: Span,
    /// Until the server takes a piece of the request body.
    pub write: Span,
    /// How long an unused connection is kept for the next request.
    pub idle: Span,
    /// How long a WebSocket may carry nothing, neither way, until it is closed. The other waits, and those of
    /// `limits` for request bodies, do not count there.
    pub tunnel: Span,
    /// After how much silence TCP asks a server whether it is still there (then every 10 s, three times). 0 never asks.
    pub tcp_keepalive: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Span::secs(2),
            first_byte: Span::secs(30),
            read: Span::secs(30),
            write: Span::secs(30),
            idle: Span::secs(60),
            tunnel: Span::secs(600),
            tcp_keepalive: Span::secs(60),
        }
    }
}

impl Timeouts {
    /// Reports what cannot work.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        for (key, span) in [
            ("connect", self.connect),
            ("first_byte", self.first_byte),
            ("read", self.read),
            ("write", self.write),
            ("idle", self.idle),
            ("tunnel", self.tunnel),
        ] {
            if span.is_zero() {
                out.error(&at.key(key), format!("`{key}` cannot be zero"))
                    .hint("write a time such as `30s`; a wait without end is not offered");
            }
        }
        // The kernel counts in whole seconds, and 0 is an error there (TCP_KEEPIDLE in tcp(7)).
        if !self.tcp_keepalive.is_zero() && self.tcp_keepalive < Span::secs(1) {
            out.error(&at.key("tcp_keepalive"), "`tcp_keepalive` is shorter than a second")
                .hint("write `1s` or more, or `0`");
        }
    }
}
