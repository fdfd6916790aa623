//! Pools of servers that DNS names: all addresses, asked for again in time, the last good ones kept.

use std::collections::BTreeSet;

use seawall_testkit::{Dns, Origin, Port, Reply, Seawall, eventually, get};

use crate::rig::{pool, site, wait_up};

/// An origin on another address of the loopback, which answers with that address.
fn origin(ip: &'static str, port: &Port) -> Origin {
    Origin::builder(move |_| Reply::ok(ip)).at(format!("{ip}:{port}")).start()
}

fn named(dns: &Dns, port: &Port, more: &str) -> Seawall {
    pool(
        &format!("app.example:{port}"),
        &format!("dns: {{ servers: '{}', family: ipv4, refresh_min: 50ms{more} }}", dns.addr()),
    )
}

fn addresses(seawall: &Seawall, count: f64) {
    let labels = [("upstream", "app"), ("name", "app.example")];
    seawall.wait_metric("seawall_upstream_dns_addresses", &labels, count);
}

/// Who answers so many requests.
fn answers(seawall: &Seawall, count: usize) -> BTreeSet<String> {
    (0..count).map(|_| get(seawall.addr(0), "example.com", "/", &[]).text()).collect()
}

fn set(ips: &[&str]) -> BTreeSet<String> {
    ips.iter().map(|ip| (*ip).to_owned()).collect()
}

#[test]
fn every_address_takes_requests_and_changes_are_followed() {
    let (port, dns) = (Port::reserve(), Dns::start());
    let _origins = (origin("127.0.0.2", &port), origin("127.0.0.3", &port), origin("127.0.0.4", &port));
    dns.tell("app.example", &["127.0.0.2", "127.0.0.3"], 0);
    let seawall = named(&dns, &port, "");
    addresses(&seawall, 2.0);
    assert_eq!(answers(&seawall, 8), set(&["127.0.0.2", "127.0.0.3"]));
    dns.tell("app.example", &["127.0.0.4"], 0);
    addresses(&seawall, 1.0);
    assert_eq!(answers(&seawall, 8), set(&["127.0.0.4"]));
    let server = format!("app.example:{port} (127.0.0.4:{port})");
    let up = seawall.metrics().find("seawall_upstream_server_up", &[("server", &server)]);
    assert_eq!(up, Some(1.0), "both names show");
}

#[test]
fn a_name_is_asked_for_again_when_its_time_is_over_and_not_before() {
    let (port, dns) = (Port::reserve(), Dns::start());
    dns.tell("short.example", &["127.0.0.2"], 1);
    dns.tell("long.example", &["127.0.0.2"], 3600);
    let _seawall = pool(
        &format!("short.example:{port}, long.example:{port}"),
        &format!("dns: {{ servers: '{}', family: ipv4, refresh_min: 10ms, refresh_max: 1h }}", dns.addr()),
    );
    dns.wait_asked("long.example", 1);
    dns.wait_asked("short.example", 3);
    assert_eq!(dns.asked("long.example"), 1);
}

#[test]
fn while_dns_fails_the_last_good_addresses_stay() {
    let (port, dns) = (Port::reserve(), Dns::start());
    let _origins = (origin("127.0.0.2", &port), origin("127.0.0.3", &port));
    dns.tell("app.example", &["127.0.0.2"], 0);
    let seawall = named(&dns, &port, ", refresh_max: 100ms, timeout: 200ms");
    addresses(&seawall, 1.0);
    let failures =
        || seawall.metrics().get("seawall_upstream_dns_failures_total", &[("name", "app.example")]);
    let grow = |what: &str| {
        let before = failures();
        eventually(seawall_testkit::DEADLINE, what, || {
            let now = failures();
            if now >= before + 2.0 { Ok(()) } else { Err(format!("{now} failures")) }
        });
        assert_eq!(answers(&seawall, 4), set(&["127.0.0.2"]), "{what}");
    };
    assert!(failures() < 0.5);
    dns.fail(true);
    grow("SERVFAIL");
    dns.fail(false);
    dns.mute(true);
    grow("silence");
    dns.mute(false);
    dns.tell("app.example", &[], 0);
    grow("an answer without addresses");
    dns.tell("app.example", &["127.0.0.3"], 0);
    eventually(seawall_testkit::DEADLINE, "the new address", || answers(&seawall, 1) == set(&["127.0.0.3"]));
}

#[test]
fn a_dead_dns_server_is_passed_over_for_the_next() {
    let (port, dead, dns) = (Port::reserve(), Dns::start(), Dns::start());
    let _origin = origin("127.0.0.2", &port);
    dns.tell("app.example", &["127.0.0.2"], 0);
    let first = dead.addr();
    drop(dead);
    let seawall = pool(
        &format!("app.example:{port}"),
        &format!("dns: {{ servers: ['{first}', '{}'], family: ipv4, timeout: 15s }}", dns.addr()),
    );
    addresses(&seawall, 1.0);
    assert_eq!(answers(&seawall, 2), set(&["127.0.0.2"]));
}

#[test]
fn a_name_that_never_resolved_is_no_server() {
    let (port, dns) = (Port::reserve(), Dns::start());
    let _origin = origin("127.0.0.2", &port);
    let seawall = named(&dns, &port, ", refresh_max: 100ms");
    dns.wait_asked("app.example", 1);
    let response = get(seawall.addr(0), "example.com", "/", &[]);
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    dns.tell("app.example", &["127.0.0.2"], 60);
    addresses(&seawall, 1.0);
    assert_eq!(answers(&seawall, 2), set(&["127.0.0.2"]), "as soon as it does, it is one");
}

#[test]
fn a_flood_of_addresses_is_bounded() {
    let (port, dns) = (Port::reserve(), Dns::start());
    let many: Vec<String> = (1..=60).map(|last| format!("127.0.1.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    dns.tell("app.example", &many, 60);
    addresses(&named(&dns, &port, ", max_addresses: 5"), 5.0);
    addresses(&named(&dns, &port, ""), 60.0);
}

#[test]
fn a_dead_address_of_a_living_name_is_passed_over() {
    let (port, dns) = (Port::reserve(), Dns::start());
    let _origin = origin("127.0.0.3", &port);
    dns.tell("app.example", &["127.0.0.2", "127.0.0.3"], 60);
    let seawall = site(
        &format!("app.example:{port}"),
        &format!(
            "dns: {{ servers: '{}' }}, health: {{ interval: 50ms, unhealthy_threshold: 1 }}",
            dns.addr()
        ),
        "",
    )
    .start();
    addresses(&seawall, 2.0);
    assert_eq!(answers(&seawall, 6), set(&["127.0.0.3"]));
    let server = format!("app.example:{port} (127.0.0.2:{port})");
    wait_up(&seawall, &server, false);
}
