//! What was built, and which configuration it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::family::{Families, Spec, Specs};
use super::samples::unix_seconds;

/// What was built, for `seawall_build_info`.
#[derive(Debug, Clone, Copy)]
pub struct BuildInfo {
    /// The version of Seawall.
    pub version: &'static str,
    /// The revision it was built from; may be empty.
    pub revision: &'static str,
    /// The version of Pingora.
    pub pingora: &'static str,
}

/// What the last load of the configuration came to.
#[derive(Debug, Clone, Copy)]
struct Loaded {
    generation: u64,
    at: SystemTime,
    took: Duration,
}

/// The build, and the configuration in effect.
pub(super) struct ConfigMetrics {
    build: BuildInfo,
    loaded: Mutex<Option<Loaded>>,
    accepted: AtomicU64,
    refused: AtomicU64,
    last: Mutex<Option<(SystemTime, bool)>>,
}

impl ConfigMetrics {
    pub(super) fn new(build: BuildInfo) -> Self {
        Self {
            build,
            loaded: Mutex::new(None),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }

    pub(super) fn loaded(&self, generation: u64, took: Duration) {
        *self.loaded.lock() = Some(Loaded { generation, at: SystemTime::now(), took });
        *self.last.lock() = Some((SystemTime::now(), true));
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        *self.last.lock() = Some((SystemTime::now(), false));
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

static LAST_AT: Spec<0> = Spec::gauge(
    "seawall_config_last_load_timestamp_seconds",
    "When a configuration was last read, whether it was taken or refused.",
    [],
);
static LAST_OK: Spec<0> = Spec::gauge(
    "seawall_config_last_load_successful",
    "Whether it was taken; 0 while the file on disk is one that was refused.",
    [],
);

static GENERATION: Spec<0> =
    Spec::gauge("seawall_config_generation", "The number of the configuration in effect.", []);
static LOADED_AT: Spec<0> =
    Spec::gauge("seawall_config_loaded_timestamp_seconds", "When it took effect.", []);
static LOAD_DURATION: Spec<0> =
    Spec::gauge("seawall_config_load_duration_seconds", "How long it took to read and check.", []);
static LOADS: Spec<1> = Spec::counter("seawall_config_loads_total", "Configurations read.", ["result"]);
static BUILD: Spec<3> = Spec::gauge(
    "seawall_build_info",
    "What was built; the value is always 1.",
    ["version", "revision", "pingora"],
);

pub(super) fn specs() -> Specs {
    vec![&GENERATION, &LOADED_AT, &LOAD_DURATION, &LOADS, &LAST_AT, &LAST_OK, &BUILD]
}

pub(super) fn read(config: &ConfigMetrics, out: &mut Families) {
    let loaded = *config.loaded.lock();
    if let Some(loaded) = loaded {
        out.single(&GENERATION, loaded.generation);
        out.single(&LOADED_AT, unix_seconds(loaded.at));
        out.single(&LOAD_DURATION, loaded.took);
    }
    let last = *config.last.lock();
    if let Some((at, ok)) = last {
        out.single(&LAST_AT, unix_seconds(at));
        out.single(&LAST_OK, ok);
    }
    let mut family = out.family(&LOADS);
    family.sample(["ok"], config.accepted.load(Ordering::Relaxed));
    family.sample(["refused"], config.refused.load(Ordering::Relaxed));
    let BuildInfo { version, revision, pingora } = config.build;
    out.family(&BUILD).sample([version, revision, pingora], 1u64);
}
