//! What is known about a request when it is over.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::metrics::CacheResult;

/// One request, borrowed from the proxy's context. Bytes and texts may hold anything: they are escaped and capped.
/// Empty texts and `None` are left out of a JSON line and are `-` in a combined one.
#[derive(Debug, Clone)]
pub struct AccessRecord<'a> {
    /// When the request began.
    pub time: SystemTime,
    /// The id that the request carries to the upstream.
    pub request_id: &'a str,
    /// The client's address; `None` on a unix socket.
    pub client: Option<IpAddr>,
    /// The listener's address.
    pub listener: Listener<'a>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host asked for.
    pub host: &'a [u8],
    /// The method.
    pub method: &'a [u8],
    /// The request target as received.
    pub uri: &'a [u8],
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: &'a str,
    /// The status sent; 0 when the client left before there was one.
    pub status: u16,
    /// Bytes of the body sent.
    pub bytes_sent: u64,
    /// Bytes of the body received.
    pub bytes_received: u64,
    /// From the first byte of the head to the last byte of the answer.
    pub duration: Duration,
    /// What of it was spent on the upstream.
    pub upstream_duration: Option<Duration>,
    /// From the first byte of the head to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// The site's name in the configuration.
    pub site: &'a str,
    /// The route's name in the configuration.
    pub route: &'a str,
    /// The upstream's name, when it was asked.
    pub upstream: &'a str,
    /// The server of the last try.
    pub server: &'a str,
    /// Tries at servers.
    pub tries: u32,
    /// How the cache took part.
    pub cache: CacheResult,
    /// The `Cache-Status` sent.
    pub cache_status: &'a [u8],
    /// The `Content-Encoding` sent.
    pub encoding: &'a [u8],
    /// The `Referer` received.
    pub referer: &'a [u8],
    /// The `User-Agent` received.
    pub user_agent: &'a [u8],
    /// Why the request failed.
    pub error: &'a str,
}

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener<'a> {
    /// A TCP socket.
    Tcp(SocketAddr),
    /// Anything else by its name, such as the path of a unix socket. Empty when it is not known.
    Other(&'a str),
}

impl Default for AccessRecord<'_> {
    fn default() -> Self {
        Self {
            time: SystemTime::UNIX_EPOCH,
            request_id: "",
            client: None,
            listener: Listener::Other(""),
            scheme: "",
            host: b"",
            method: b"",
            uri: b"",
            protocol: "",
            status: 0,
            bytes_sent: 0,
            bytes_received: 0,
            duration: Duration::ZERO,
            upstream_duration: None,
            first_byte: None,
            site: "",
            route: "",
            upstream: "",
            server: "",
            tries: 0,
            cache: CacheResult::None,
            cache_status: b"",
            encoding: b"",
            referer: b"",
            user_agent: b"",
            error: "",
        }
    }
}
