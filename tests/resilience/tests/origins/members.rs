//! Drained servers, backups, full servers.

use seawall_testkit::{Call, Gate, Origin, Reply, get, request};

use crate::rig::{list, pool, wait_up, with_backup};

#[test]
fn a_drained_server_gets_nothing() {
    let (first, drained) = (Origin::h1(|_| Reply::ok("first")), Origin::h1(|_| Reply::ok("drained")));
    let servers = format!("'{}', {{ address: '{}', drain: true }}", first.addr(), drained.addr());
    let seawall = pool(&servers, "");
    for _ in 0..8 {
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "first");
    }
    assert_eq!(drained.connections(), 0);
    let metrics = seawall.metrics();
    for (server, value) in [(first.addr(), 0.0), (drained.addr(), 1.0)] {
        let seen = metrics.get("seawall_upstream_server_drained", &[("server", server)]);
        assert!((seen - value).abs() < f64::EPSILON, "{server}");
    }
    // The control: the same server, not drained, takes its share.
    let seawall = pool(&list(&[first.addr(), drained.addr()]), "");
    let answers: Vec<_> = (0..8).map(|_| get(seawall.addr(0), "example.com", "/", &[]).text()).collect();
    assert_eq!(answers.iter().filter(|text| *text == "drained").count(), 4, "{answers:?}");
}

#[test]
fn a_backup_takes_over_and_gives_back() {
    let mut first = Origin::h1(|_| Reply::ok("first"));
    let backup = Origin::h1(|_| Reply::ok("backup"));
    let health =
        "health: { tcp: true, interval: 50ms, timeout: 1s, healthy_threshold: 1, unhealthy_threshold: 1 }";
    let seawall = pool(&with_backup(first.addr(), backup.addr()), health);
    let answers =
        || -> Vec<String> { (0..6).map(|_| get(seawall.addr(0), "example.com", "/", &[]).text()).collect() };
    assert_eq!(answers(), ["first"; 6]);
    first.stop();
    wait_up(&seawall, first.addr(), false);
    assert_eq!(answers(), ["backup"; 6]);
    let first = first.again().start();
    wait_up(&seawall, first.addr(), true);
    assert_eq!(answers(), ["first"; 6]);
    let backups = seawall.metrics().get("seawall_upstream_server_backup", &[("server", backup.addr())]);
    assert!(backups > 0.5);
}

#[test]
fn a_full_server_is_no_server() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| Reply::ok("late").hold(&held));
    let seawall = pool(&list(&[origin.addr()]), "max_connections: 2");
    let address = seawall.addr(0).to_owned();
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || get(address, "example.com", "/", &[]).text())
        })
        .collect();
    gate.wait_waiting(2);
    let refused = request(&address, &Call::get("example.com", "/")).expect("an answer");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    let labels = [("upstream", "app"), ("server", origin.addr())];
    seawall.wait_metric("seawall_upstream_in_flight", &labels, 2.0);
    gate.open();
    for client in busy {
        assert_eq!(client.join().expect("an answer"), "late");
    }
    assert_eq!(get(&address, "example.com", "/", &[]).status, 200, "and there is room again");
}
