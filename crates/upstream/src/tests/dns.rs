use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::origin::closed_port;
use super::{select, settings, until};
use crate::settings::Family;
use crate::{Answer, Pool, Resolve, ResolveError, SelectError};

/// A DNS that says what it is told; hangs when told nothing.
#[derive(Default)]
struct Told {
    answer: Mutex<Option<Result<Answer, ResolveError>>>,
    /// What names have of their own, instead of `answer`.
    by_name: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    asked: Mutex<Vec<(String, Family)>>,
}

impl Told {
    fn tell(&self, addresses: &[&str], ttl_millis: u64) {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        *self.answer.lock() = Some(Ok(Answer { addresses, ttl: Duration::from_millis(ttl_millis) }));
    }

    fn fail(&self) {
        *self.answer.lock() = Some(Err(ResolveError("SERVFAIL".into())));
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }
}

#[async_trait]
impl Resolve for Told {
    async fn lookup(&self, host: &str, family: Family) -> Result<Answer, ResolveError> {
        self.asked.lock().push((host.to_owned(), family));
        if let Some(addresses) = self.by_name.lock().get(host).cloned() {
            return Ok(Answer { addresses, ttl: Duration::ZERO });
        }
        let answer = self.answer.lock().clone();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

/// A running pool; stops when dropped.
struct Running {
    pool: Arc<Pool>,
    dns: Arc<Told>,
    _stop: watch::Sender<bool>,
}

fn start(yaml: &str, dns: Told) -> Running {
    let dns = Arc::new(dns);
    let resolver: Arc<dyn Resolve> = dns.clone();
    let pool = Arc::new(Pool::new("test", &settings(yaml), resolver).unwrap());
    let (stop, shutdown) = watch::channel(false);
    tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run(shutdown).await }
    });
    Running { pool, dns, _stop: stop }
}

fn addresses(pool: &Pool) -> BTreeSet<String> {
    pool.snapshot().servers.into_iter().map(|server| server.address).collect()
}

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|a| (*a).to_owned()).collect()
}

const QUICK: &str = "dns: { refresh_min: 5ms, refresh_max: 20ms, timeout: 50ms }";

#[tokio::test]
async fn every_address_becomes_a_server_and_changes_are_followed() {
    let dns = Told::default();
    dns.tell(&["192.0.2.1", "2001:db8::1"], 1);
    let running = start(&format!("{{ servers: [{{ address: app.example:81, weight: 2 }}], {QUICK} }}"), dns);
    until("resolved", || addresses(&running.pool) == set(&["192.0.2.1:81", "[2001:db8::1]:81"])).await;
    let held = select(&running.pool).unwrap();
    running.dns.tell(&["192.0.2.9", "2001:db8::1"], 1);
    until("changed", || addresses(&running.pool) == set(&["192.0.2.9:81", "[2001:db8::1]:81"])).await;
    assert!(!held.server().is_empty(), "a request in flight keeps its server");
    let snapshot = running.pool.snapshot();
    assert!(snapshot.servers.iter().all(|s| s.name == "app.example:81" && s.weight == 2));
    assert!(
        running.dns.asked.lock().iter().all(|(host, family)| host == "app.example" && *family == Family::Any)
    );
}

#[tokio::test]
async fn servers_that_stay_keep_their_counters() {
    let dns = Told::default();
    dns.tell(&["192.0.2.1"], 1);
    let running = start(&format!("{{ servers: [app.example:81], {QUICK} }}"), dns);
    until("resolved", || running.pool.snapshot().servers.len() == 1).await;
    let held = select(&running.pool).unwrap();
    running.dns.tell(&["192.0.2.1", "192.0.2.2"], 1);
    until("grown", || running.pool.snapshot().servers.len() == 2).await;
    assert_eq!(running.pool.snapshot().servers[0].in_flight, 1);
    drop(held);
    assert_eq!(running.pool.snapshot().servers[0].in_flight, 0);
}

#[tokio::test]
async fn failures_keep_the_last_good() {
    let dns = Told::default();
    dns.tell(&["192.0.2.1"], 1);
    let running = start(&format!("{{ servers: [app.example:81], {QUICK} }}"), dns);
    until("resolved", || select(&running.pool).is_ok()).await;
    running.dns.fail();
    until("failed", || running.pool.snapshot().names[0].failing > 2).await;
    assert!(select(&running.pool).is_ok());
    let name = &running.pool.snapshot().names[0];
    assert_eq!((name.addresses, name.last_error.as_deref()), (1, Some("SERVFAIL")));
    assert!(name.age_seconds.is_some());
    running.dns.tell(&["192.0.2.2"], 1);
    until("recovered", || addresses(&running.pool) == set(&["192.0.2.2:81"])).await;
    assert_eq!(running.pool.snapshot().names[0].failing, 0);
}

#[tokio::test]
async fn nothing_waits_for_a_dns_that_hangs() {
    let running = start(
        &format!("{{ servers: [app.example:81, {{ address: 192.0.2.7:80, backup: true }}], {QUICK} }}"),
        Told::default(),
    );
    assert_eq!(select(&running.pool).unwrap().server(), "192.0.2.7:80", "the backup until the name is known");
    until("timed out", || running.pool.snapshot().names[0].failures > 1).await;
    assert!(running.pool.snapshot().names[0].last_error.as_deref().unwrap().contains("within 50ms"));
    running.dns.tell(&["192.0.2.1"], 1);
    until("resolved", || select(&running.pool).is_ok_and(|s| !s.is_backup())).await;
}

#[tokio::test]
async fn an_unresolved_pool_has_no_server() {
    let running = start(&format!("{{ servers: [app.example:81], {QUICK} }}"), Told::default());
    assert_eq!(select(&running.pool).err(), Some(SelectError::NoServer));
}

#[tokio::test]
async fn the_time_to_live_is_respected() {
    let dns = Told::default();
    dns.tell(&["192.0.2.1"], 3_600_000);
    let running = start("{ servers: [app.example:81], dns: { refresh_min: 1ms, refresh_max: 1h } }", dns);
    until("resolved", || select(&running.pool).is_ok()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.dns.asked(), 1);
    // The negative control: with a limit the same answer is asked for again.
    let dns = Told::default();
    dns.tell(&["192.0.2.1"], 3_600_000);
    let eager = start(&format!("{{ servers: [app.example:81], {QUICK} }}"), dns);
    until("asked again", || eager.dns.asked() > 2).await;
}

#[tokio::test]
async fn one_address_of_two_names_is_one_server() {
    let dns = Told::default();
    dns.tell(&["192.0.2.1", "192.0.2.1"], 1);
    let running = start(&format!("{{ servers: [a.example:80, b.example:80, 192.0.2.1:80], {QUICK} }}"), dns);
    until("both asked", || running.pool.snapshot().names.iter().all(|name| name.lookups > 1)).await;
    assert_eq!(addresses(&running.pool), set(&["192.0.2.1:80"]));
}

#[tokio::test]
async fn an_address_that_changes_its_name_takes_on_the_new_ones_settings() {
    let dns = Told::default();
    let give = |dns: &Told, name: &str, address: &str| {
        dns.by_name.lock().insert(name.to_owned(), vec![address.parse().unwrap()]);
    };
    give(&dns, "a.example", "192.0.2.1");
    give(&dns, "b.example", "192.0.2.2");
    let yaml = format!("{{ servers: [a.example:80, {{ address: b.example:80, backup: true }}], {QUICK} }}");
    let running = start(&yaml, dns);
    let is = |address: &str, backup: bool| {
        let servers = running.pool.snapshot().servers;
        servers.iter().any(|s| s.address == address && s.backup == backup && s.healthy)
    };
    until("resolved", || is("192.0.2.1:80", false) && is("192.0.2.2:80", true)).await;
    // For a while both have it, and the first keeps it.
    give(&running.dns, "b.example", "192.0.2.1");
    until("shared", || addresses(&running.pool) == set(&["192.0.2.1:80"])).await;
    assert!(is("192.0.2.1:80", false));
    give(&running.dns, "a.example", "192.0.2.3");
    until("swapped", || is("192.0.2.3:80", false) && is("192.0.2.1:80", true)).await;
    assert_eq!(select(&running.pool).unwrap().address().to_string(), "192.0.2.3:80");
}

#[tokio::test]
async fn a_server_that_was_away_starts_healthy_and_is_checked_anew() {
    let port = closed_port().await.port();
    let dns = Told::default();
    dns.tell(&["127.0.0.1"], 1);
    let yaml = format!(
        "{{ servers: [app.example:{port}], {QUICK}, health: {{ interval: 10ms, timeout: 1s, unhealthy_threshold: 1 }} }}"
    );
    let running = start(&yaml, dns);
    let healthy = || running.pool.snapshot().servers.first().map(|s| (s.address.clone(), s.healthy));
    until("down", || healthy().is_some_and(|(_, healthy)| !healthy)).await;
    running.dns.tell(&["127.0.0.2"], 1);
    until("the new one is down too", || {
        healthy().is_some_and(|(address, healthy)| address.starts_with("127.0.0.2") && !healthy)
    })
    .await;
}
