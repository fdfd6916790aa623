//! The process as the system sees it, under the names every Prometheus dashboard knows.
//!
//! The `prometheus` crate's collector counts processor time in whole seconds; `getrusage` knows microseconds.

use std::time::SystemTime;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

use super::family::{Families, Spec, Specs};
use super::samples::unix_seconds;

static CPU: Spec<0> = Spec::counter("process_cpu_seconds_total", "User and system processor time used.", []);
static OPEN_FDS: Spec<0> = Spec::gauge("process_open_fds", "Open file descriptors.", []);
static MAX_FDS: Spec<0> = Spec::gauge("process_max_fds", "File descriptors that may be open.", []);
static RESIDENT: Spec<0> = Spec::gauge("process_resident_memory_bytes", "Memory in RAM.", []);
static VIRTUAL: Spec<0> = Spec::gauge("process_virtual_memory_bytes", "Memory mapped.", []);
static THREADS: Spec<0> = Spec::gauge("process_threads", "Threads.", []);
static STARTED: Spec<0> =
    Spec::gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", []);

pub(super) fn specs() -> Specs {
    vec![&CPU, &OPEN_FDS, &MAX_FDS, &RESIDENT, &VIRTUAL, &THREADS, &STARTED]
}

/// Reads what can be read now; what cannot be read is left out.
pub(super) fn read(started: SystemTime, out: &mut Families) {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let micros =
            usage.user_time().num_microseconds().saturating_add(usage.system_time().num_microseconds());
        out.single(&CPU, micros as f64 / 1e6);
    }
    // The listing itself holds one descriptor.
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        out.single(&OPEN_FDS, entries.count().saturating_sub(1));
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        out.single(&MAX_FDS, soft);
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for (spec, key, unit) in
            [(&RESIDENT, "VmRSS:", 1024), (&VIRTUAL, "VmSize:", 1024), (&THREADS, "Threads:", 1)]
        {
            if let Some(value) = field(&status, key) {
                out.single(spec, value.saturating_mul(unit));
            }
        }
    }
    out.single(&STARTED, unix_seconds(started));
}

/// The number after `key` in `/proc/self/status`.
fn field(status: &str, key: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}
