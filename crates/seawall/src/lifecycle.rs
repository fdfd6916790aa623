//! Where the process stands between its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use seawall_admin::Readiness;
use seawall_telemetry::metrics::ReadinessSource;

/// The stations, in their order; there is no way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Station {
    /// Names are resolved for the first time.
    Starting,
    /// Requests are wanted.
    Ready,
    /// Requests are still served, but should go elsewhere.
    Leaving,
    /// No connections are taken any more.
    Draining,
}

/// The station of this process.
pub(crate) struct Lifecycle {
    station: AtomicU8,
    /// Shared with all plans.
    pub(crate) draining: Arc<AtomicBool>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { station: AtomicU8::new(Station::Starting as u8), draining: Arc::default() }
    }
}

impl Lifecycle {
    /// Goes on to a later station.
    pub(crate) fn reach(&self, station: Station) {
        self.station.fetch_max(station as u8, Ordering::Relaxed);
        if station >= Station::Draining {
            self.draining.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn station(&self) -> Station {
        match self.station.load(Ordering::Relaxed) {
            0 => Station::Starting,
            1 => Station::Ready,
            2 => Station::Leaving,
            _ => Station::Draining,
        }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let (ready, state) = match self.station() {
            Station::Starting => (false, "starting"),
            Station::Ready => (true, "ready"),
            Station::Leaving => (false, "leaving"),
            Station::Draining => (false, "draining"),
        };
        Readiness { ready, state }
    }
}

impl ReadinessSource for Lifecycle {
    fn readiness(&self) -> (bool, &'static str) {
        let Readiness { ready, state } = Self::readiness(self);
        (ready, state)
    }
}

#[cfg(test)]
mod tests {
    use super::{Lifecycle, Station};

    #[test]
    fn there_is_no_way_back() {
        let lifecycle = Lifecycle::default();
        assert_eq!(lifecycle.readiness().state, "starting");
        lifecycle.reach(Station::Leaving);
        lifecycle.reach(Station::Ready);
        assert_eq!(lifecycle.readiness().state, "leaving");
        assert!(!lifecycle.draining.load(std::sync::atomic::Ordering::Relaxed));
        lifecycle.reach(Station::Draining);
        assert!(lifecycle.draining.load(std::sync::atomic::Ordering::Relaxed));
    }
}
