//! What Seawall says about itself: numbers for Prometheus, a line for every request, a log of its own life.
//!
//! * [`metrics`]: handles resolved when the plan is built, so that a request costs a few uncontended
//!   atomic additions and no label is ever looked up or formatted on the way of a request.
//! * [`access_log`]: one line a request, JSON or combined, never blocking: a slow or full disk costs
//!   lines (counted), not requests.
//! * [`process_log`]: the `log` facade to standard error, with the lines a client can cause held to a rate.
//!
//! No label and no line structure comes from a client: labels are names from the configuration or from
//! fixed lists, and every logged field is escaped and capped.

pub mod access_log;
pub mod metrics;
pub mod process_log;
mod settings;
mod stripe;
mod text;

pub use access_log::{AccessLog, AccessLogError, AccessLogStats, AccessRecord, Listener};
pub use metrics::{CacheResult, Metrics, MetricsApp};
pub use settings::{AccessLogSettings, LogFormat, LogLevel, LogSettings, LogStyle, MetricsSettings};
