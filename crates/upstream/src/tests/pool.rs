use std::collections::BTreeMap;

use super::{pool, select, select_for, settings};
use crate::{Outcome, PoolError, SelectError, Selected};

fn servers(pool: &crate::Pool, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        *counts.entry(select(pool).unwrap().server().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn weights_are_exact_over_a_cycle() {
    let pool = pool("servers: [10.0.0.1:80, { address: 10.0.0.2:80, weight: 3 }]");
    assert_eq!(servers(&pool, 40), BTreeMap::from([("10.0.0.1:80".into(), 10), ("10.0.0.2:80".into(), 30)]));
}

#[test]
fn drained_servers_and_idle_backups_take_nothing() {
    for balance in ["round_robin", "random", "least_conn", "consistent_hash"] {
        let pool = pool(&format!(
            "{{ balance: {balance}, servers: [{{ address: 10.0.0.1:80, drain: true }}, 10.0.0.2:80,
               {{ address: 10.0.0.3:80, backup: true }}] }}"
        ));
        assert_eq!(servers(&pool, 20).into_keys().collect::<Vec<_>>(), ["10.0.0.2:80"], "{balance}");
    }
}

#[test]
fn tries_go_round_all_servers_then_backups_then_again() {
    for balance in ["round_robin", "random", "least_conn", "consistent_hash"] {
        let pool = pool(&format!(
            "{{ balance: {balance}, servers: [10.0.0.1:80, 10.0.0.2:80, {{ address: 10.0.0.3:80, backup: true }},
               {{ address: 10.0.0.4:80, drain: true }}] }}"
        ));
        let mut tried = Vec::new();
        let mut order = Vec::new();
        for _ in 0..4 {
            let selected = select_for(&pool, "192.0.2.1", &tried).unwrap();
            tried.push(selected.id());
            order.push(selected.server().to_owned());
        }
        let mut primaries = order[..2].to_vec();
        primaries.sort();
        assert_eq!(primaries, ["10.0.0.1:80", "10.0.0.2:80"], "{balance}");
        assert_eq!(order[2], "10.0.0.3:80", "{balance}: no primary is left, so the backup");
        assert_ne!(order[3], "10.0.0.3:80", "{balance}: then the primaries again");
        assert_ne!(order[3], "10.0.0.4:80", "{balance}: but never a drained one");
    }
}

#[test]
fn a_single_server_is_tried_again() {
    let pool = pool("servers: [10.0.0.1:80]");
    let first = select(&pool).unwrap();
    assert_eq!(select_for(&pool, "192.0.2.1", &[first.id()]).unwrap().id(), first.id());
}

#[test]
fn full_servers_pass_requests_on_and_then_refuse() {
    let pool = pool(
        "{ max_connections: 2, servers: [10.0.0.1:80, 10.0.0.2:80, { address: 10.0.0.3:80, backup: true }] }",
    );
    let mut held: Vec<Selected> = (0..4).map(|_| select(&pool).unwrap()).collect();
    assert!(held.iter().all(|s| !s.is_backup()));
    assert!(pool.snapshot().servers[..2].iter().all(|s| s.in_flight == 2));
    held.extend((0..2).map(|_| select(&pool).unwrap()));
    assert!(held[4..].iter().all(Selected::is_backup));
    assert_eq!(select(&pool).err(), Some(SelectError::Full));
    let freed = held.swap_remove(0);
    let name = freed.server().to_owned();
    drop(freed);
    assert_eq!(select(&pool).unwrap().server(), name);
    assert_eq!(pool.snapshot().full, 1);
}

#[test]
fn a_key_whose_server_is_full_goes_to_the_next_on_the_ring() {
    for balance in ["consistent_hash", "least_conn", "random", "round_robin"] {
        let pool = pool(&format!(
            "{{ max_connections: 1, balance: {balance}, servers: [10.0.0.1:80, {{ address: 10.0.0.2:80, weight: 99 }}, 10.0.0.3:80] }}"
        ));
        let held: Vec<Selected> = (0..3).map(|_| select(&pool).unwrap()).collect();
        assert_eq!(select(&pool).err(), Some(SelectError::Full), "{balance}");
        drop(held);
    }
}

#[test]
fn a_server_never_takes_more_than_its_limit() {
    let pool = pool("{ max_connections: 5, balance: least_conn, servers: [10.0.0.1:80, 10.0.0.2:80] }");
    let over = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..2_000).any(|_| {
                        let held: Vec<_> = (0..4).filter_map(|_| select(&pool).ok()).collect();
                        let over = pool.snapshot().servers.iter().any(|s| s.in_flight > 5);
                        drop(held);
                        over
                    })
                })
            })
            .collect();
        threads.into_iter().any(|thread| thread.join().unwrap())
    });
    assert!(!over);
    assert!(pool.snapshot().servers.iter().all(|s| s.in_flight == 0), "every place was given back");
}

#[test]
fn the_same_client_stays_with_its_server() {
    let pool = pool(
        "{ balance: consistent_hash, hash: client_address, servers: [10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80] }",
    );
    let mut seen = BTreeMap::new();
    for client in 0..50 {
        let client = format!("192.0.2.{client}");
        let of = || select_for(&pool, &client, &[]).unwrap().server().to_owned();
        let first = of();
        assert!((0..5).all(|_| of() == first));
        seen.insert(first, ());
    }
    assert_eq!(seen.len(), 3, "and clients are spread");
}

#[test]
fn outcomes_are_counted() {
    let pool = pool("servers: [10.0.0.1:80]");
    for outcome in
        [Outcome::Answered, Outcome::Answered, Outcome::ServerError, Outcome::ConnectFailed, Outcome::Broken]
    {
        select(&pool).unwrap().report(outcome);
    }
    let server = &pool.snapshot().servers[0];
    let counts =
        (server.selected, server.answered, server.server_errors, server.connect_failures, server.broken);
    assert_eq!(counts, (5, 2, 1, 1, 1));
}

#[test]
fn what_cannot_work_is_no_pool() {
    let build =
        |yaml: &str| crate::Pool::new("app", &settings(yaml), std::sync::Arc::new(super::NoNames)).err();
    let unnamed = build("{ servers: [10.0.0.1:443], tls: true }").unwrap();
    assert!(unnamed.to_string().contains("tls.sni"), "{unnamed}");
    let unread = build("{ servers: [a.example:443], tls: { ca: /nonexistent } }").unwrap();
    assert!(matches!(unread, PoolError::Credentials { .. }), "{unread}");
    assert!(build("{ servers: [a.example:443], balance: consistent_hash, hash: { by: header } }").is_some());
    // Without verification no name is needed: that is what it means.
    assert!(build("{ servers: [10.0.0.1:443], tls: { verify: false } }").is_none());
}

#[test]
fn the_host_header_is_kept_or_set() {
    assert!(pool("servers: [10.0.0.1:80]").host().is_none());
    assert_eq!(pool("{ servers: [10.0.0.1:80], host: a.example }").host().unwrap(), "a.example");
}
