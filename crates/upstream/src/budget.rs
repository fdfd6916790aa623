//! How many retries a pool may make in all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::settings::BudgetSettings;

/// One retry, in the unit of the balance: a hundredth of a percent point is lost by no rounding.
const RETRY: u64 = 100_000;

/// A token bucket that requests fill and retries empty; without a lock.
#[derive(Debug)]
pub struct RetryBudget {
    per_request: u64,
    per_milli: u64,
    full: u64,
    balance: AtomicU64,
    /// Up to when the steady part has been paid, in milliseconds since `started`.
    paid_until: AtomicU64,
    started: Instant,
    spent: AtomicU64,
    denied: AtomicU64,
}

impl RetryBudget {
    /// A full bucket.
    #[must_use]
    pub fn new(settings: &BudgetSettings) -> Self {
        let full = u64::from(settings.burst) * RETRY;
        Self {
            per_request: u64::from(settings.percent) * RETRY / 100,
            per_milli: u64::from(settings.min_per_second) * RETRY / 1000,
            full,
            balance: AtomicU64::new(full),
            paid_until: AtomicU64::new(0),
            started: Instant::now(),
            spent: AtomicU64::new(0),
            denied: AtomicU64::new(0),
        }
    }

    /// Pays in for one request. Call it once for each request that goes to the upstream, not for its retries.
    pub fn deposit(&self) {
        self.pay(self.per_request);
    }

    /// Takes one retry out; `false` when there is none left, and then the retry must not be made.
    pub fn try_withdraw(&self) -> bool {
        self.try_withdraw_at(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Retries that could be made now.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.balance.load(Ordering::Relaxed) / RETRY
    }

    /// Retries made so far.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Retries refused so far.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    fn try_withdraw_at(&self, millis: u64) -> bool {
        let before = self.paid_until.fetch_max(millis, Ordering::Relaxed);
        self.pay(millis.saturating_sub(before).saturating_mul(self.per_milli));
        let taken = self
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| balance.checked_sub(RETRY))
            .is_ok();
        let counter = if taken { &self.spent } else { &self.denied };
        counter.fetch_add(1, Ordering::Relaxed);
        taken
    }

    fn pay(&self, amount: u64) {
        // A full bucket is the usual case, and then nothing is written: no cache line moves between cores.
        let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
            let next = balance.saturating_add(amount).min(self.full);
            (next != balance).then_some(next)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::RetryBudget;
    use crate::settings::BudgetSettings;

    fn budget(percent: u32, min_per_second: u32, burst: u32) -> RetryBudget {
        RetryBudget::new(&BudgetSettings { percent, min_per_second, burst })
    }

    fn drain(budget: &RetryBudget, millis: u64) -> u64 {
        (0..).take_while(|_| budget.try_withdraw_at(millis)).count() as u64
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
        let budget = budget(20, 0, 100);
        assert_eq!(drain(&budget, 0), 100);
        for _ in 0..50 {
            budget.deposit();
        }
        assert_eq!(drain(&budget, 1_000_000), 10);
        assert_eq!((budget.spent(), budget.denied()), (110, 2));
    }

    #[test]
    fn a_quiet_pool_has_its_minimum() {
        let budget = budget(0, 3, 100);
        drain(&budget, 0);
        assert_eq!(drain(&budget, 999), 2);
        assert_eq!(drain(&budget, 2_000), 4, "3 a second for 2 s, less the 2 already taken");
        assert_eq!(drain(&budget, 1_000), 0, "time paid once is not paid again");
    }

    #[test]
    fn saves_no_more_than_the_burst() {
        let budget = budget(100, 100, 7);
        for _ in 0..1000 {
            budget.deposit();
        }
        assert_eq!(budget.available(), 7);
        assert_eq!(drain(&budget, u64::MAX), 7);
    }

    #[test]
    fn many_threads_get_no_more_than_there_is() {
        let budget = budget(0, 0, 1000);
        let got: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..500).filter(|_| budget.try_withdraw_at(0)).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(got, 1000);
    }
}
