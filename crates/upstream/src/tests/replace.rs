//! Pools that take over from others, and orders at run time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{NoNames, pool, select, settings};
use crate::{NoSuchServer, Override, Pool};

fn replacing(old: &Pool, yaml: &str) -> Pool {
    Pool::replacing(Some(old), "test", &settings(yaml), Arc::new(NoNames)).unwrap()
}

fn chosen(pool: &Pool) -> BTreeSet<String> {
    (0..40).filter_map(|_| select(pool).ok()).map(|selected| selected.server().to_owned()).collect()
}

fn set(servers: &[&str]) -> BTreeSet<String> {
    servers.iter().map(ToString::to_string).collect()
}

const DRAIN: Override = Override { drain: Some(true), weight: None };

#[test]
fn orders_count_at_once_and_can_be_taken_back() {
    let pool = pool("servers: [10.0.0.1:80, { address: 10.0.0.2:80, drain: true }]");
    assert_eq!(chosen(&pool), set(&["10.0.0.1:80"]));
    pool.order("10.0.0.2:80", Override { drain: Some(false), weight: Some(9) }).unwrap();
    pool.order("10.0.0.1:80", DRAIN).unwrap();
    assert_eq!(chosen(&pool), set(&["10.0.0.2:80"]));
    assert_eq!(pool.snapshot().servers[1].weight, 9);
    pool.order("10.0.0.1:80", Override::default()).unwrap();
    assert_eq!(chosen(&pool), set(&["10.0.0.1:80", "10.0.0.2:80"]));
    assert_eq!(pool.order("10.0.0.9:80", DRAIN), Err(NoSuchServer));
    assert_eq!(pool.ordered("10.0.0.9:80"), Override::default());
}

#[test]
fn an_order_waits_for_no_request_and_loses_none() {
    let pool = pool("servers: [10.0.0.1:80, 10.0.0.2:80]");
    let held = [select(&pool).unwrap(), select(&pool).unwrap()];
    pool.order("10.0.0.1:80", DRAIN).unwrap();
    let flying = |pool: &Pool| pool.snapshot().servers.iter().map(|server| server.in_flight).sum::<u32>();
    assert_eq!(flying(&pool), 2);
    drop(held);
    assert_eq!(flying(&pool), 0);
}

#[test]
fn a_successor_keeps_orders_of_entries_that_did_not_change() {
    let old = pool("servers: [10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80]");
    for server in ["10.0.0.1:80", "10.0.0.2:80"] {
        old.order(server, DRAIN).unwrap();
    }
    let new = replacing(&old, "servers: [10.0.0.1:80, { address: 10.0.0.2:80, weight: 2 }, 10.0.0.4:80]");
    assert_eq!(chosen(&new), set(&["10.0.0.2:80", "10.0.0.4:80"]));
    assert_eq!(new.ordered("10.0.0.1:80"), DRAIN);
}

#[test]
fn counts_and_requests_in_flight_are_shared() {
    let old = pool("servers: [10.0.0.1:80]");
    let held = select(&old).unwrap();
    let new = replacing(&old, "{ servers: [10.0.0.1:80], max_connections: 1 }");
    assert!(select(&new).is_err(), "its only place is taken by a request of the old pool");
    drop(held);
    assert!(select(&new).is_ok());
    assert_eq!(new.snapshot().servers[0].selected, 2);
}

#[tokio::test]
async fn the_unhealthy_stay_so_until_their_checks_say_otherwise() {
    let health = "health: { tcp: true, interval: 1h, healthy_threshold: 3, unhealthy_threshold: 3 }";
    let old = pool(&format!("{{ servers: [10.0.0.1:80, 10.0.0.2:80], {health} }}"));
    old.members.load().all[0].live.unhealthy.store(true, Ordering::Relaxed);
    let new =
        replacing(&old, &format!("{{ servers: [10.0.0.1:80, 10.0.0.2:80], {health}, max_connections: 9 }}"));
    assert_eq!(chosen(&new), set(&["10.0.0.2:80"]));
    // A look at the registry, as after each round of checks, agrees.
    new.take_over_health();
    assert_eq!(chosen(&new), set(&["10.0.0.2:80"]));
    new.order("10.0.0.2:80", Override { drain: None, weight: Some(3) }).unwrap();
    assert_eq!(chosen(&new), set(&["10.0.0.2:80"]), "an order is no reason to think a server healthy");
    let unchecked = replacing(&new, "servers: [10.0.0.1:80, 10.0.0.2:80]");
    assert_eq!(chosen(&unchecked).len(), 2, "without checks all count as healthy");
}

#[test]
fn only_what_changed_is_built_anew() {
    let pool = pool("{ servers: [10.0.0.1:80], timeouts: { read: 3s } }");
    assert!(pool.is_built_from(&settings("{ timeouts: { read: 3s }, servers: [10.0.0.1:80] }")));
    assert!(!pool.is_built_from(&settings("{ servers: [10.0.0.1:80], timeouts: { read: 4s } }")));
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let authority = || {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(vec!["ca.test".into()]).unwrap().self_signed(&key).unwrap().pem()
    };
    std::fs::write(&ca, authority()).unwrap();
    let with_tls =
        settings(&format!("{{ servers: [10.0.0.1:80], tls: {{ sni: a.test, ca: {} }} }}", ca.display()));
    let pool = Pool::new("test", &with_tls, Arc::new(NoNames)).unwrap();
    assert!(pool.is_built_from(&with_tls));
    std::fs::write(&ca, authority()).unwrap();
    assert!(!pool.is_built_from(&with_tls), "the file has other authorities");
}
