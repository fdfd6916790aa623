//! A server given by DNS name: what it last resolved to, and when to ask again.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::Rng as _;

use crate::resolver::{Answer, ResolveError};
use crate::settings::DnsSettings;

/// A name that a pool resolves.
pub(crate) struct Name {
    /// Which of the settings' servers it is.
    pub(crate) source: usize,
    pub(crate) host: String,
    pub(crate) port: u16,
    state: Mutex<NameState>,
}

/// What is known about a name.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameState {
    pub(crate) addresses: Vec<IpAddr>,
    /// Addresses of the latest answer beyond the limit.
    pub(crate) left_out: usize,
    pub(crate) last_success: Option<Instant>,
    pub(crate) lookups: u64,
    pub(crate) failures: u64,
    /// Failures since the last success.
    pub(crate) failing: u32,
    pub(crate) last_error: Option<String>,
    /// When to ask again; `None` when nobody has asked yet.
    pub(crate) due: Option<Instant>,
}

impl Name {
    pub(crate) fn new(source: usize, host: &str, port: u16) -> Self {
        Self { source, host: host.to_owned(), port, state: Mutex::default() }
    }

    /// Takes over what a pool before knew about the same name, so that its servers are there at once.
    pub(crate) fn inherit(&self, old: &Self) {
        if self.host == old.host {
            self.state.lock().clone_from(&old.state());
        }
    }

    pub(crate) fn state(&self) -> NameState {
        self.state.lock().clone()
    }

    /// Where its servers are now.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.state.lock().addresses.iter().map(|ip| SocketAddr::new(*ip, self.port)).collect()
    }

    /// Takes in what a lookup gave. Returns whether the addresses changed, and after how long the next one is due.
    pub(crate) fn learn(
        &self,
        result: Result<Answer, ResolveError>,
        settings: &DnsSettings,
    ) -> (bool, Duration) {
        let result = result.and_then(|answer| {
            if answer.addresses.is_empty() {
                Err(ResolveError("no addresses".to_owned()))
            } else {
                Ok(answer)
            }
        });
        let mut state = self.state.lock();
        state.lookups += 1;
        let (changed, wait) = match result {
            Ok(answer) => {
                let changed = state.succeed(answer.addresses, settings.max_addresses as usize);
                (changed, clamp(answer.ttl, settings))
            }
            Err(error) => {
                state.failures += 1;
                state.failing = state.failing.saturating_add(1);
                state.last_error = Some(error.0);
                let doublings = (state.failing - 1).min(16);
                (false, clamp(settings.refresh_min.duration().saturating_mul(1 << doublings), settings))
            }
        };
        state.due = Some(later(wait));
        (changed, wait)
    }
}

impl NameState {
    fn succeed(&mut self, mut addresses: Vec<IpAddr>, most: usize) -> bool {
        // In order, so that the same answer in another order is no change and the limit leaves out the same ones.
        addresses.sort_unstable();
        addresses.dedup();
        self.left_out = addresses.len().saturating_sub(most);
        addresses.truncate(most);
        self.last_success = Some(Instant::now());
        self.failing = 0;
        self.last_error = None;
        let changed = self.addresses != addresses;
        self.addresses = addresses;
        changed
    }
}

/// Up to a tenth late, so that many names and many proxies do not ask together.
fn later(wait: Duration) -> Instant {
    Instant::now() + wait + wait.mul_f64(rand::rng().random_range(0.0..0.1))
}

/// Not `Ord::clamp`, which panics on limits the wrong way round.
fn clamp(wait: Duration, settings: &DnsSettings) -> Duration {
    wait.max(settings.refresh_min.duration()).min(settings.refresh_max.duration())
}

#[cfg(test)]
mod tests {
    use super::Name;
    use crate::resolver::{Answer, ResolveError};
    use crate::settings::DnsSettings;
    use std::time::Duration;

    fn answer(addresses: &[&str], ttl: u64) -> Result<Answer, ResolveError> {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Ok(Answer { addresses, ttl: Duration::from_secs(ttl) })
    }

    fn failure() -> Result<Answer, ResolveError> {
        Err(ResolveError("no such name".into()))
    }

    #[test]
    fn asks_again_when_the_answer_has_run_out_within_limits() {
        let (name, dns) = (Name::new(0, "app.example", 80), DnsSettings::default());
        for (ttl, wait) in [(0, 1), (30, 30), (86_400, 300)] {
            assert_eq!(name.learn(answer(&["192.0.2.1"], ttl), &dns).1, Duration::from_secs(wait));
        }
    }

    #[test]
    fn an_answer_in_another_order_is_no_change() {
        let (name, dns) = (Name::new(0, "app.example", 80), DnsSettings::default());
        assert!(name.learn(answer(&["192.0.2.2", "192.0.2.1", "192.0.2.2"], 1), &dns).0);
        assert!(!name.learn(answer(&["192.0.2.1", "192.0.2.2"], 1), &dns).0);
        assert!(name.learn(answer(&["192.0.2.1"], 1), &dns).0);
    }

    #[test]
    fn failures_keep_the_last_good_and_back_off() {
        let (name, dns) = (Name::new(0, "app.example", 80), DnsSettings::default());
        name.learn(answer(&["192.0.2.1"], 60), &dns);
        for wait in [1, 2, 4, 8] {
            assert_eq!(name.learn(failure(), &dns), (false, Duration::from_secs(wait)));
        }
        assert_eq!(name.addresses().len(), 1);
        for _ in 0..100 {
            name.learn(answer(&[], 60), &dns);
        }
        assert_eq!(name.learn(failure(), &dns).1, Duration::from_secs(300), "never longer than refresh_max");
        assert_eq!(name.addresses().len(), 1, "an empty answer is a failure too");
        assert_eq!(name.state().failures, 105);
        name.learn(answer(&["192.0.2.1"], 60), &dns);
        assert_eq!((name.state().failing, name.state().last_error), (0, None));
    }

    #[test]
    fn takes_no_more_addresses_than_allowed() {
        let dns = DnsSettings { max_addresses: 2, ..DnsSettings::default() };
        let name = Name::new(0, "app.example", 80);
        name.learn(answer(&["192.0.2.3", "192.0.2.1", "192.0.2.2"], 1), &dns);
        assert_eq!((name.addresses().len(), name.state().left_out), (2, 1));
        assert!(!name.learn(answer(&["192.0.2.2", "192.0.2.3", "192.0.2.1"], 1), &dns).0, "the same two");
    }
}
