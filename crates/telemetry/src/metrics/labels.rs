//! The fixed lists that label values come from.

use http::Method;

/// How the cache took part in an answer. The names are those of the access log and of the `cache` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CacheResult {
    /// The route has no cache, or the request never got that far.
    #[default]
    None,
    /// Fresh from the store.
    Hit,
    /// From the store although no longer fresh.
    Stale,
    /// From the store after the origin confirmed it.
    Revalidated,
    /// Not in the store, or not usable: from the origin.
    Miss,
    /// The stored copy was too old and the origin sent a new one.
    Expired,
    /// The request or the route went around the cache.
    Bypass,
}

impl CacheResult {
    /// Every result, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Hit, Self::Stale, Self::Revalidated, Self::Miss, Self::Expired, Self::Bypass];

    /// The result as the label and the log have it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Expired => "expired",
            Self::Bypass => "bypass",
        }
    }
}

/// The `method` label: a client may send any token, so all but the known ones are `other`.
pub(crate) const METHODS: [&str; 11] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PURGE", "other"];

/// The place of `method` in [`METHODS`].
pub(crate) fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::OPTIONS => 5,
        Method::PATCH => 6,
        Method::CONNECT => 7,
        Method::TRACE => 8,
        _ if method.as_str() == "PURGE" => 9,
        _ => 10,
    }
}

/// The `status_class` label; `none` when the client left before there was a status.
pub(crate) const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The place of a status in [`STATUS_CLASSES`].
pub(crate) fn status_index(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => usize::from(class),
        _ => 0,
    }
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsResult {
    /// The connection is up.
    Ok,
    /// One side refused.
    Failed,
    /// It took too long.
    TimedOut,
}

impl TlsResult {
    /// Every result, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::TimedOut];

    /// The `result` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

/// The protocol version of a TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// The handshake ended before one was agreed on.
    None,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
    /// Anything else.
    Other,
}

impl TlsVersion {
    /// Every version, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::None, Self::Tls12, Self::Tls13, Self::Other];

    /// The `version` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
            Self::Other => "other",
        }
    }

    /// The version by the name that OpenSSL and Pingora's digest give it.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "" => Self::None,
            "TLSv1.2" => Self::Tls12,
            "TLSv1.3" => Self::Tls13,
            _ => Self::Other,
        }
    }
}

/// How one try at an upstream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamResult {
    /// A final response with this status.
    Status(u16),
    /// No connection came about.
    ConnectFailed,
    /// A connection, but no answer in time.
    TimedOut,
    /// The connection broke, or what came was no HTTP.
    Broken,
    /// The client left first.
    Abandoned,
}

/// The `result` label of tries: the classes of statuses, then the failures.
pub(crate) const UPSTREAM_RESULTS: [&str; 10] =
    ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "connect_failed", "timed_out", "broken", "abandoned"];

/// Those from here on are shown before they happen: the server errors and the failures.
pub(crate) const SHOWN_RESULTS: usize = 5;

impl UpstreamResult {
    /// The place in [`UPSTREAM_RESULTS`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Status(status) => status_index(status),
            Self::ConnectFailed => 6,
            Self::TimedOut => 7,
            Self::Broken => 8,
            Self::Abandoned => 9,
        }
    }
}

/// Why a request was tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// The server could not be reached.
    Connect,
    /// A kept connection turned out to be closed, or broke before an answer.
    Broken,
    /// The server did not answer in time.
    Timeout,
    /// The server answered with a status that the route retries.
    Status,
}

impl RetryReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Broken, Self::Timeout, Self::Status];

    /// The `reason` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Broken => "broken",
            Self::Timeout => "timeout",
            Self::Status => "status",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        CacheResult, METHODS, RetryReason, SHOWN_RESULTS, STATUS_CLASSES, TlsResult, TlsVersion,
        UPSTREAM_RESULTS, UpstreamResult, method_index, status_index,
    };
    use http::Method;

    #[test]
    fn numbers_and_lists_agree() {
        assert!(CacheResult::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
        assert!(TlsResult::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
        assert!(TlsVersion::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
        assert_eq!(UPSTREAM_RESULTS[SHOWN_RESULTS], "5xx");
        assert!(RetryReason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
    }

    #[test]
    fn methods_are_known_or_other() {
        for name in &METHODS[..10] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(METHODS[method_index(&method)], *name);
        }
        for name in ["get", "PROPFIND", "X-ANYTHING"] {
            assert_eq!(METHODS[method_index(&Method::from_bytes(name.as_bytes()).unwrap())], "other");
        }
    }

    #[test]
    fn statuses_have_a_class() {
        for (status, class) in [
            (0, "none"),
            (99, "none"),
            (101, "1xx"),
            (206, "2xx"),
            (304, "3xx"),
            (499, "4xx"),
            (599, "5xx"),
            (600, "none"),
        ] {
            assert_eq!(STATUS_CLASSES[status_index(status)], class, "{status}");
            assert_eq!(UPSTREAM_RESULTS[UpstreamResult::Status(status).index()], class, "{status}");
        }
        assert_eq!(UPSTREAM_RESULTS[UpstreamResult::TimedOut.index()], "timed_out");
        assert_eq!(UPSTREAM_RESULTS[UpstreamResult::Abandoned.index()], "abandoned");
    }
}
