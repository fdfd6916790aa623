//! How long a client keeps us waiting, and how much moves meanwhile.

use std::time::Duration;

use seawall_guard::Rate;
use tokio::time::Instant;

/// A client kept us waiting for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slow {
    /// Nothing moved at all.
    Stalled,
    /// Less than the rate moved.
    BelowRate,
}

/// Measures one direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Meter {
    waiting: Option<Waiting>,
    /// Waiting and bytes of the current window.
    waited: Duration,
    moved: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Instant,
    /// What was waited before is in `Meter::waited` or belongs to a window that is over.
    counted_from: Instant,
}

impl Meter {
    /// `bytes` moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        // Without waiting before it no clock is read.
        if let Some(waiting) = self.waiting.take() {
            self.waited = self.waited.saturating_add(waiting.counted_from.elapsed());
        }
        self.moved = self.moved.saturating_add(bytes as u64);
    }

    /// Another message begins: nothing of the one before counts.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// We wait. Says when to look again.
    ///
    /// # Errors
    /// When the client is too slow.
    pub(super) fn wait(&mut self, stall: Duration, rate: Rate) -> Result<Instant, Slow> {
        let now = Instant::now();
        let waiting = self.waiting.get_or_insert(Waiting { since: now, counted_from: now });
        let stalled_at = waiting.since + stall;
        if now >= stalled_at {
            return Err(Slow::Stalled);
        }
        let Some(window) = rate.window() else {
            return Ok(stalled_at);
        };
        let waited = self.waited.saturating_add(now.duration_since(waiting.counted_from));
        let Some(left) = window.checked_sub(waited).filter(|left| !left.is_zero()) else {
            if !rate.is_met_by(self.moved) {
                return Err(Slow::BelowRate);
            }
            (self.waited, self.moved, waiting.counted_from) = (Duration::ZERO, 0, now);
            return Ok(stalled_at.min(now + window));
        };
        Ok(stalled_at.min(now + left))
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, Slow};
    use seawall_guard::Rate;
    use std::time::Duration;
    use tokio::time::{Instant, advance};

    const STALL: Duration = Duration::from_secs(30);

    fn rate() -> Rate {
        Rate::new(100, Duration::from_secs(10))
    }

    /// Waits `seconds` and then gets `bytes`, `times` times.
    async fn drip(meter: &mut Meter, seconds: u64, bytes: usize, times: usize) -> Result<(), Slow> {
        for _ in 0..times {
            meter.wait(STALL, rate())?;
            advance(Duration::from_secs(seconds)).await;
            meter.wait(STALL, rate())?;
            meter.moved(bytes);
        }
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_above_the_rate_passes_for_ever() {
        assert_eq!(drip(&mut Meter::default(), 1, 120, 1000).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_below_the_rate_is_cut_after_a_window() {
        let start = Instant::now();
        assert_eq!(drip(&mut Meter::default(), 1, 90, 1000).await, Err(Slow::BelowRate));
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn speed_before_earns_no_slowness_later() {
        let mut meter = Meter::default();
        meter.moved(1 << 30);
        let start = Instant::now();
        assert_eq!(drip(&mut meter, 1, 10, 1000).await, Err(Slow::BelowRate));
        assert_eq!(start.elapsed().as_secs(), 20, "one window of grace, then none");
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_is_not_waited_does_not_count() {
        let mut meter = Meter::default();
        for _ in 0..100 {
            drip(&mut meter, 1, 120, 1).await.unwrap();
            advance(Duration::from_secs(1000)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_byte_at_all_is_a_stall() {
        let mut meter = Meter::default();
        let none = Rate::new(0, Duration::from_secs(10));
        let at = meter.wait(STALL, none).unwrap();
        assert_eq!(at, Instant::now() + STALL);
        advance(STALL).await;
        assert_eq!(meter.wait(STALL, none), Err(Slow::Stalled));
        meter.restart();
        assert!(meter.wait(STALL, none).is_ok());
    }
}
