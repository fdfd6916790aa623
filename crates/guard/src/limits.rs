//! `limits:` resolved: what the listeners and the proxy ask.

use std::time::Duration;

use pingora_core::apps::HttpServerOptions;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use seawall_config::units::{ByteSize, CidrSet};

use crate::fds::{derive_max_connections, raise_file_limit};
use crate::head::HeadLimits;
use crate::{BodyMeter, H2LimitsSettings, LimitsSettings};

/// A slowest average rate over a window of time spent waiting for a client.
///
/// Only waiting counts: a client is not to blame for the time an origin takes. And only the window counts: what
/// a client moved fast before earns it no right to be slow later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_window: u64,
    window: Duration,
}

impl Rate {
    /// `bytes_per_second`, measured over `window`; 0 of either is no limit.
    #[must_use]
    pub fn new(bytes_per_second: u64, window: Duration) -> Self {
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self { per_window: bytes_per_second.saturating_mul(millis) / 1000, window }
    }

    /// How long waiting is added up before the rate is looked at; `None` without a limit.
    #[must_use]
    pub fn window(&self) -> Option<Duration> {
        (self.per_window > 0 && !self.window.is_zero()).then_some(self.window)
    }

    /// Whether `moved` bytes are enough for one window.
    #[must_use]
    pub fn is_met_by(&self, moved: u64) -> bool {
        moved >= self.per_window
    }
}

/// The times a connection is held to, and the rates.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// For a TLS handshake, from accept.
    pub handshake: Duration,
    /// For a whole request head.
    pub head: Duration,
    /// Without a request.
    pub idle: Duration,
    /// For the next byte of a request body.
    pub body: Duration,
    /// Slowest rate of a request body.
    pub body_rate: Rate,
    /// For the client to take any byte.
    pub write: Duration,
    /// Slowest rate at which a client takes a response.
    pub send_rate: Rate,
    /// For what a client still sends after its answer, before the connection is closed hard.
    pub linger: Duration,
    /// Largest request head in bytes.
    pub max_head: usize,
}

/// Every limit, resolved and ready to be asked.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For the listeners.
    pub deadlines: Deadlines,
    /// For [`crate::head::check_h1`] and [`crate::head::check_h2`].
    pub head: HeadLimits,
    /// Client connections open at once.
    pub max_connections: u32,
    /// Client connections open at once from one address.
    pub max_connections_per_address: u32,
    /// Networks that the cap per address does not count.
    pub uncounted: CidrSet,
    /// TLS handshakes in progress at once.
    pub max_handshakes: u32,
    /// Requests served on one HTTP/1.1 connection.
    pub keepalive_requests: u32,
    /// For `HttpServerOptions::h2_idle_timeout`.
    pub idle_timeout: Duration,
    /// Largest request body in bytes.
    pub max_body: u64,
    /// Memory that encoders may hold together, in bytes.
    pub compression_memory: u64,
    h2: H2LimitsSettings,
}

impl Limits {
    /// Resolves checked settings. Where `max_connections` is unset the process's limit of open files is raised
    /// to what the system allows and decides.
    #[must_use]
    pub fn new(settings: &LimitsSettings) -> Self {
        let window = settings.rate_window.duration();
        let max_connections = settings
            .max_connections
            .unwrap_or_else(|| derive_max_connections(raise_file_limit().unwrap_or(1024)));
        Self {
            deadlines: Deadlines {
                handshake: settings.handshake_timeout.duration(),
                head: settings.head_timeout.duration(),
                idle: settings.idle_timeout.duration(),
                body: settings.body_timeout.duration(),
                body_rate: Rate::new(settings.min_body_rate.bytes(), window),
                write: settings.write_timeout.duration(),
                send_rate: Rate::new(settings.min_send_rate.bytes(), window),
                linger: settings.linger_timeout.duration(),
                max_head: settings.max_head.as_usize(),
            },
            head: HeadLimits {
                max_head: settings.max_head.as_usize(),
                max_fields: settings.max_headers as usize,
                max_target: settings.max_uri.as_usize(),
            },
            max_connections,
            max_connections_per_address: settings.max_connections_per_address,
            uncounted: settings.uncounted_addresses.iter().collect(),
            max_handshakes: settings.max_handshakes,
            keepalive_requests: settings.keepalive_requests,
            idle_timeout: settings.idle_timeout.duration(),
            max_body: settings.max_body.bytes(),
            compression_memory: settings.compression_memory.bytes(),
            h2: settings.h2.clone(),
        }
    }

    /// A meter for one request's body.
    #[must_use]
    pub fn body_meter(&self) -> BodyMeter {
        BodyMeter::new(self.max_body)
    }

    /// What `HttpProxy::server_options` is set to: the limits on requests and idle time that Pingora enforces.
    /// `h2c` must be true when any listener takes it; the streams of the others keep it off.
    #[must_use]
    pub fn server_options(&self, h2c: bool) -> HttpServerOptions {
        // The struct cannot be built with a literal outside its crate.
        let mut options = HttpServerOptions::default();
        options.h2c = h2c;
        // Pingora counts the reuses that remain after the first request.
        options.keepalive_request_limit = Some(self.keepalive_requests.saturating_sub(1));
        options.h2_idle_timeout = Some(self.idle_timeout);
        options
    }

    /// What `HttpServerApp::h2_options` returns. It starts from Pingora's bounded defaults, because options
    /// built from nothing have none.
    #[must_use]
    pub fn h2_options(&self) -> H2Options {
        let narrow = |size: ByteSize| u32::try_from(size.bytes()).unwrap_or(u32::MAX);
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(self.h2.max_streams)
            .max_header_list_size(narrow(self.h2.max_header_list))
            .initial_window_size(narrow(self.h2.stream_window))
            .initial_connection_window_size(narrow(self.h2.connection_window))
            .max_frame_size(narrow(self.h2.max_frame))
            .max_send_buffer_size(self.h2.max_send_buffer.as_usize())
            .max_pending_accept_reset_streams(self.h2.max_pending_resets as usize)
            .max_local_error_reset_streams(Some(self.h2.max_provoked_resets as usize));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Rate};
    use crate::LimitsSettings;
    use std::time::Duration;

    #[test]
    fn a_rate_is_met_by_its_bytes_in_a_window() {
        let rate = Rate::new(500, Duration::from_secs(10));
        assert_eq!(rate.window(), Some(Duration::from_secs(10)));
        assert!(rate.is_met_by(5000));
        assert!(!rate.is_met_by(4999));
        assert_eq!(Rate::new(0, Duration::from_secs(1)).window(), None, "0 is no limit");
        assert_eq!(Rate::new(1, Duration::ZERO).window(), None);
        assert!(Rate::new(u64::MAX, Duration::MAX).window().is_some(), "no overflow");
    }

    #[test]
    fn defaults_resolve() {
        let limits = Limits::new(&LimitsSettings::default());
        assert!((64..=65_536).contains(&limits.max_connections));
        assert_eq!(limits.head.max_target, 8192);
        assert_eq!(limits.max_body, 1 << 30);
        let options = limits.server_options(true);
        assert_eq!((options.h2c, options.keepalive_request_limit), (true, Some(9_999)));
        assert_eq!(options.h2_idle_timeout, Some(Duration::from_secs(60)));
        // The options offer no getters; that they can be built shows that no value is refused.
        let _ = limits.h2_options();
    }
}
