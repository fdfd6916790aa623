//! The process as the system sees it, under the names every Prometheus dashboard knows.
//!
//! The `prometheus` crate's collector counts processor time in whole seconds; `getrusage` knows microseconds.

use std::time::SystemTime;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

use super::exposition::Exposition;
use super::samples::unix_seconds;

/// Writes what can be read now; what cannot be read is left out.
pub(super) fn write(started: SystemTime, out: &mut Exposition) {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let micros =
            usage.user_time().num_microseconds().saturating_add(usage.system_time().num_microseconds());
        out.counter("process_cpu_seconds_total", "User and system processor time used.")
            .sample(&[], micros as f64 / 1e6);
    }
    // The listing itself holds one descriptor.
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        out.gauge("process_open_fds", "Open file descriptors.")
            .sample(&[], entries.count().saturating_sub(1));
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        out.gauge("process_max_fds", "File descriptors that may be open.").sample(&[], soft);
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let mut gauge = |name, help, key, unit: u64| {
            if let Some(value) = field(&status, key) {
                out.gauge(name, help).sample(&[], value.saturating_mul(unit));
            }
        };
        gauge("process_resident_memory_bytes", "Memory in RAM.", "VmRSS:", 1024);
        gauge("process_virtual_memory_bytes", "Memory mapped.", "VmSize:", 1024);
        gauge("process_threads", "Threads.", "Threads:", 1);
    }
    out.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.")
        .sample(&[], unix_seconds(started));
}

/// The number after `key` in `/proc/self/status`.
fn field(status: &str, key: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}
