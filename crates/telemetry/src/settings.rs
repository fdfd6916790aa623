//! The keys `metrics:`, `access_log:` and `log:`.

use std::net::SocketAddr;

use schemars::JsonSchema;
use seawall_config::units::{ByteSize, Span};
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

/// Numbers for Prometheus, on a listener of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Address and port that answer `GET /metrics`, `/livez` and `/readyz`, such as `127.0.0.1:9091` or
    /// `[::1]:9091`. Without it nothing listens. Whoever reaches the port can read the numbers: keep it off the internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Connections to that address open at once; further ones are closed as soon as they are accepted, and counted as
    /// `metrics_connections` in `seawall_http_requests_refused_total`. They do not count in `limits.max_connections`.
    pub max_connections: u32,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { listen: None, max_connections: 64 }
    }
}

impl MetricsSettings {
    /// The address to listen on; `None` when there is none or it does not parse (which [`Self::check`] reports).
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.as_ref()?.trim().parse().ok()
    }

    /// Reports what is wrong with the settings at `at`.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.max_connections == 0 {
            out.error(
                &at.key("max_connections"),
                "`max_connections` cannot be 0: nobody could read the metrics",
            )
            .hint("remove the line for the default");
        }
        let Some(text) = &self.listen else { return };
        let key = at.key("listen");
        match self.address() {
            None => {
                out.error(&key, format!("`{text}` is not an address and a port"))
                    .hint("write `127.0.0.1:9091`, or `[::1]:9091` for IPv6");
            }
            Some(address) if address.port() == 0 => {
                out.error(&key, "port 0 lets the system pick a port that no scraper could know")
                    .hint("write a fixed port such as `127.0.0.1:9091`");
            }
            Some(address) if address.ip().is_unspecified() => {
                out.warning(&key, "the metrics are readable by anyone who reaches this machine")
                    .hint("listen on `127.0.0.1` or on a private address");
            }
            Some(_) => {}
        }
    }
}

/// How a line of the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// The combined format of Apache and nginx.
    Combined,
    /// No access log.
    Off,
}

/// One line for every request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogSettings {
    /// `json` (an object a line), `combined` (as Apache and nginx write it) or `off`.
    pub format: LogFormat,
    /// `stdout`, `stderr`, or the path of a file to append to (made with mode 0640; opened anew on SIGUSR1).
    pub path: String,
    /// Memory for lines that are not written yet. When the disk or the reader falls behind and it is full,
    /// lines are dropped and counted in `seawall_access_log_dropped_lines_total`; requests never wait.
    /// It is shared out evenly between the groups of worker threads (as many as cores, at most 8).
    pub buffer: ByteSize,
    /// The longest a line waits in memory before it is written.
    pub flush: Span,
    /// The most bytes kept of each field that a client chooses (URI, host, referer, user agent and so on);
    /// what is cut ends in `…` (`...` in the combined format).
    pub max_field: ByteSize,
}

impl Default for AccessLogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            path: "stdout".to_owned(),
            buffer: ByteSize::mib(16),
            flush: Span::millis(200),
            max_field: ByteSize::kib(4),
        }
    }
}

impl AccessLogSettings {
    /// The smallest `buffer`: room for a few of the longest lines per group of threads.
    pub const MIN_BUFFER: ByteSize = ByteSize::kib(256);
    const MAX_BUFFER: ByteSize = ByteSize::mib(4096);
    const MIN_FIELD: ByteSize = ByteSize(64);
    const MAX_FIELD: ByteSize = ByteSize::kib(64);
    const MAX_FLUSH: Span = Span::secs(10);

    /// Reports what is wrong with the settings at `at`.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.path.trim().is_empty() {
            out.error(&at.key("path"), "the access log has no place to go")
                .hint("write `stdout`, a file path, or `format: off`");
        } else if self.path.ends_with('/') || std::path::Path::new(&self.path).is_dir() {
            out.error(&at.key("path"), format!("`{}` is a folder", self.path))
                .hint("name a file in it, such as `access.log`");
        }
        within(self.buffer, Self::MIN_BUFFER, Self::MAX_BUFFER, &at.key("buffer"), out);
        within(self.max_field, Self::MIN_FIELD, Self::MAX_FIELD, &at.key("max_field"), out);
        if self.flush.is_zero() || self.flush > Self::MAX_FLUSH {
            out.error(
                &at.key("flush"),
                format!("`{}` is not between 1ms and {}", self.flush, Self::MAX_FLUSH),
            )
            .hint("200ms keeps the log prompt and the writes few");
        }
    }
}

fn within(value: ByteSize, least: ByteSize, most: ByteSize, at: &Path, out: &mut Diagnostics) {
    if value < least || value > most {
        out.error(at, format!("`{value}` is not between {least} and {most}"));
    }
}

/// The least important line that is still written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What needs a person.
    Error,
    /// And what may need one soon.
    Warn,
    /// And the milestones: started, reloaded, a server up or down.
    #[default]
    Info,
    /// And how decisions were made; also what Pingora reports about single requests.
    Debug,
    /// Everything, every library included.
    Trace,
}

/// How a line of the process log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStyle {
    /// `2026-01-02T03:04:05.678Z WARN seawall_upstream: …`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log of the process itself, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: LogLevel,
    /// `text` for people, `json` for collectors.
    pub format: LogStyle,
    /// The most lines that one place in the code may write in 10 seconds at `warn` and above (libraries:
    /// at `info` and above); the rest are counted and summed up in one line. It keeps a client that resets its
    /// connections from filling the disk. `0` lifts the limit.
    pub repeat: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LogLevel::default(), format: LogStyle::default(), repeat: 10 }
    }
}

impl LogSettings {
    /// Reports what is wrong with the settings at `at`.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.repeat == 0 {
            out.warning(&at.key("repeat"), "without a limit a client can fill the log at will")
                .hint("10 is the default");
        }
    }
}

#[cfg(test)]
mod tests;
