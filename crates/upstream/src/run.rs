//! What a pool does in the background: resolving names and checking health.

use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::names::Name;
use crate::pool::Pool;
use crate::resolver::ResolveError;
use crate::settings::HealthSettings;

impl Pool {
    /// Keeps the pool up to date: resolves names, checks health. Ends when `shutdown` becomes `true` or its sender is
    /// gone, and at once when there is nothing to do. To be run once for each pool.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        let work = async {
            tokio::join!(join_all(self.names.iter().map(|name| self.follow(name))), self.check_health());
        };
        tokio::select! {
            () = work => {}
            // An error says that nobody is left who could ask us to stop.
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }

    /// Resolves the names that never were, once, so that a pool can have its servers before requests meet it. Waits at
    /// most `dns.timeout`. Returns the names that still have no address.
    pub async fn resolve_new_names(&self) -> Vec<String> {
        let new = self.names.iter().filter(|name| name.state().last_success.is_none());
        join_all(new.map(|name| self.resolve(name))).await;
        let missing = self.names.iter().filter(|name| name.state().addresses.is_empty());
        missing.map(|name| name.host.clone()).collect()
    }

    /// Checks every server once, when there are checks, so that requests need not find out who is down.
    pub async fn check_now(&self) {
        if self.settings.health.is_some() {
            self.check_once().await;
        }
    }

    /// Resolves one name again and again. What was learnt before the pool began its work, or in the pool before, counts.
    async fn follow(&self, name: &Name) {
        loop {
            if let Some(due) = name.state().due {
                tokio::time::sleep_until(due.into()).await;
            }
            self.resolve(name).await;
        }
    }

    async fn resolve(&self, name: &Name) {
        let dns = &self.settings.dns;
        let lookup = self.resolver.lookup(&name.host, dns.family);
        let result = match tokio::time::timeout(dns.timeout.duration(), lookup).await {
            Ok(result) => result,
            Err(_) => Err(ResolveError(format!("no answer within {}", dns.timeout))),
        };
        let failed = result.as_ref().err().map(ToString::to_string);
        let (changed, _) = name.learn(result, dns);
        let state = name.state();
        if let Some(why) = failed.or_else(|| state.last_error.clone()) {
            let kept = state.addresses.len();
            log::warn!(
                "upstream {}: {} does not resolve: {why}; {kept} addresses kept",
                self.name,
                name.host
            );
        }
        if changed {
            log::info!("upstream {}: {} has {} addresses", self.name, name.host, state.addresses.len());
            if state.left_out > 0 {
                log::warn!(
                    "upstream {}: {} has {} addresses more than dns.max_addresses",
                    self.name,
                    name.host,
                    state.left_out
                );
            }
            self.refresh();
        }
    }

    /// Checks all servers again and again, all at once but for their jitter.
    async fn check_health(&self) {
        let Some(health) = &self.settings.health else { return };
        loop {
            let started = Instant::now();
            self.check_once().await;
            tokio::time::sleep_until(next_round(started, health)).await;
        }
    }

    /// One round: every server is checked once.
    pub(crate) async fn check_once(&self) {
        self.backends.run_health_check(true).await;
        self.take_over_health();
    }
}

/// An interval after the start of the round before, but never without a pause after its end.
fn next_round(started: Instant, health: &HealthSettings) -> Instant {
    let interval = health.interval.duration();
    (started + interval).max(Instant::now() + interval / 10)
}
