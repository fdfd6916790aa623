//! Where the process stands between its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seawall_admin::Readiness;
use seawall_telemetry::metrics::ReadinessSource;
use tokio::sync::watch;

/// The stations, in their order; there is no way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Station {
    /// Names are resolved for the first time.
    Starting,
    /// All is in place, but the process before has not let go yet.
    Prepared,
    /// Requests are wanted.
    Ready,
    /// Requests are still served, but should go elsewhere.
    Leaving,
    /// No connections are taken any more.
    Draining,
}

/// The station of this process.
pub(crate) struct Lifecycle {
    station: watch::Sender<Station>,
    /// Shared with all plans.
    pub(crate) draining: Arc<AtomicBool>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { station: watch::Sender::new(Station::Starting), draining: Arc::default() }
    }
}

impl Lifecycle {
    /// Goes on to a later station.
    pub(crate) fn reach(&self, station: Station) {
        self.station.send_if_modified(|now| {
            let later = station > *now;
            *now = station.max(*now);
            later
        });
        if station >= Station::Draining {
            self.draining.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn station(&self) -> Station {
        *self.station.borrow()
    }

    /// Waits until the process is ready, or about to leave.
    pub(crate) async fn started(&self) {
        // The sender is this one, so it is not gone.
        let _ = self.station.subscribe().wait_for(|station| *station >= Station::Ready).await;
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let (ready, state) = match self.station() {
            Station::Starting => (false, "starting"),
            Station::Prepared => (false, "prepared"),
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

    #[tokio::test]
    async fn a_start_is_waited_for_and_an_end_ends_the_wait() {
        for last in [Station::Ready, Station::Leaving] {
            let lifecycle = Lifecycle::default();
            let started = lifecycle.started();
            tokio::pin!(started);
            lifecycle.reach(Station::Prepared);
            assert!(futures_now(&mut started).await.is_none());
            lifecycle.reach(last);
            started.await;
        }
    }

    /// What a future has by now.
    async fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! { biased; output = future => Some(output), () = std::future::ready(()) => None }
    }
}
