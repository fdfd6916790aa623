//! What a reload cannot change: it is bound to sockets, threads or memory that the process was started with.

use seawall_listen::ListenerSettings;
use serde_json::Value;

use crate::settings::{Settings, ZoneSettings};

/// Keys of `cache` and `server` that do change with a reload; every other is one of the start.
const LIVE_CACHE: [&str; 2] = ["purge", "collapse"];
/// What is compared one by one.
const ZONES: &str = "zones";
const LIVE_SERVER: [&str; 4] = ["watch", "shutdown_delay", "shutdown_timeout", "upgrade_timeout"];

/// At the end of those that even an upgrade does not change: they are of a socket that it keeps.
const RESTART: &str = " (takes a restart)";

/// Whether an upgrade puts some of these in effect.
pub(super) fn upgrade_helps(waiting: &[String]) -> bool {
    waiting.iter().any(|one| !one.ends_with(RESTART))
}

/// The settings of `new` that differ from those the process was started with and wait for an upgrade or a restart.
pub(super) fn waiting(first: &Settings, new: &Settings) -> Vec<String> {
    let mut waiting = Vec::new();
    listeners(&first.listeners, &new.listeners, &mut waiting);
    differ("metrics", &first.metrics, &new.metrics, &[], &mut waiting);
    differ("admin", &first.admin, &new.admin, &[], &mut waiting);
    // Secrets look all the same in a dump.
    let token = |settings: &Settings| settings.admin.as_ref().and_then(|admin| admin.token.clone());
    if token(first) != token(new) {
        waiting.push("admin.token".into());
    }
    differ("cache", &first.cache, &new.cache, &[LIVE_CACHE[0], LIVE_CACHE[1], ZONES], &mut waiting);
    zones(&first.cache.zones, &new.cache.zones, &mut waiting);
    if first.cache.collapse.fetch != new.cache.collapse.fetch {
        waiting.push("cache.collapse.fetch".into());
    }
    differ("server", &first.server, &new.server, &LIVE_SERVER, &mut waiting);
    differ("tls", &first.tls, &new.tls, &["watch"], &mut waiting);
    waiting
}

/// Compares two maps key by key. A key that is new to this list is one of the start: better to promise too little.
fn differ<T: serde::Serialize>(at: &str, first: &T, new: &T, live: &[&str], waiting: &mut Vec<String>) {
    let (first, new) = (plain(first), plain(new));
    match (&first, &new) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> =
                a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.retain(|key| !live.contains(&key.as_str()) && a.get(*key) != b.get(*key));
            waiting.extend(keys.into_iter().map(|key| format!("{at}.{key}")));
        }
        _ if first != new => waiting.push(at.into()),
        _ => {}
    }
}

fn zones(first: &[ZoneSettings], new: &[ZoneSettings], waiting: &mut Vec<String>) {
    for zone in first {
        match new.iter().find(|now| now.name == zone.name) {
            Some(now) => differ(&format!("cache.zones: {}", zone.name), zone, now, &[], waiting),
            None => waiting.push(format!("cache.zones: {} (gone from the file, still there)", zone.name)),
        }
    }
    for zone in new.iter().filter(|now| first.iter().all(|known| known.name != now.name)) {
        waiting.push(format!(
            "cache.zones: {} (new in the file, not there yet; its routes use the zone default)",
            zone.name
        ));
    }
}

fn plain<T: serde::Serialize>(settings: &T) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

fn listeners(first: &[ListenerSettings], new: &[ListenerSettings], waiting: &mut Vec<String>) {
    for listener in first {
        let address = &listener.address;
        let Some(now) = new.iter().find(|now| now.address == *address) else {
            waiting.push(format!("listeners: {address} (gone from the file, still open)"));
            continue;
        };
        for (key, differs, kept) in [
            ("tls", listener.tls.is_some() != now.tls.is_some(), ""),
            ("h2c", listener.h2c != now.h2c, ""),
            ("backlog", listener.backlog != now.backlog, ""),
            ("reuse_port", listener.reuse_port != now.reuse_port, RESTART),
            ("v6only", listener.v6only != now.v6only, RESTART),
            ("mode", listener.mode != now.mode, RESTART),
        ] {
            if differs {
                waiting.push(format!("listeners: {address} {key}{kept}"));
            }
        }
    }
    for listener in new.iter().filter(|now| first.iter().all(|known| known.address != now.address)) {
        waiting.push(format!("listeners: {} (new in the file, not open yet)", listener.address));
    }
}

#[cfg(test)]
mod tests {
    use super::waiting;
    use crate::settings::Settings;

    fn settings(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn what_can_change_waits_for_nothing() {
        let first = settings("listeners: [{ address: ':80' }]");
        for live in [
            "{ listeners: [{ address: ':80', access: { allow: 10.0.0.0/8 } }], log: { level: debug } }",
            "{ listeners: [{ address: ':80' }], limits: { max_connections: 7, keepalive_requests: 3 } }",
            "{ listeners: [{ address: ':80' }], server: { watch: true, shutdown_timeout: 1s } }",
            "{ listeners: [{ address: ':80' }], cache: { purge: { allow: [10.0.0.1] }, collapse: { wait: 1s } } }",
            "{ listeners: [{ address: ':80' }], access_log: { format: off }, tls: { watch: 1s } }",
        ] {
            assert_eq!(waiting(&first, &settings(live)), Vec::<String>::new(), "{live}");
        }
    }

    #[test]
    fn the_rest_is_named() {
        let first =
            settings("{ listeners: [{ address: ':80' }], admin: { listen: ':1', token: aaaaaaaaaaaaaaaa } }");
        for (yaml, named) in [
            ("listeners: [{ address: ':81' }]", vec![":80 (gone", ":81 (new"]),
            ("listeners: [{ address: ':80', backlog: 7 }]", vec![":80 backlog"]),
            ("{ listeners: [{ address: ':80' }], cache: { memory: 1GiB } }", vec!["cache.memory"]),
            (
                "{ listeners: [{ address: ':80' }], cache: { disk: { path: /var/x, size: 1GiB } } }",
                vec!["cache.disk"],
            ),
            (
                "{ listeners: [{ address: ':80' }], cache: { collapse: { fetch: 1s } } }",
                vec!["cache.collapse.fetch"],
            ),
            (
                "{ listeners: [{ address: ':80' }], cache: { zones: [{ name: a, memory: 2MiB }] } }",
                vec!["cache.zones: a (new"],
            ),
            ("{ listeners: [{ address: ':80' }], server: { threads: 3 } }", vec!["server.threads"]),
            ("{ listeners: [{ address: ':80' }], metrics: { listen: '127.0.0.1:9' } }", vec!["metrics"]),
            (
                "{ listeners: [{ address: ':80' }], tls: { ticket_rotation: 1h } }",
                vec!["tls.ticket_rotation"],
            ),
        ] {
            let mut new = settings(yaml);
            new.admin.clone_from(&first.admin);
            let found = waiting(&first, &new);
            assert_eq!(found.len(), named.len(), "{yaml}: {found:?}");
            assert!(found.iter().zip(named).all(|(found, part)| found.contains(part)), "{yaml}: {found:?}");
        }
    }

    #[test]
    fn zones_are_compared_by_their_names() {
        let with = |zones: &str| settings(&format!("cache: {{ zones: [{zones}] }}"));
        let first = with("{ name: a, memory: 1MiB }, { name: b, memory: 1MiB }");
        for (zones, named) in [
            ("{ name: b, memory: 1MiB }, { name: a, memory: 1MiB }", &[][..]),
            ("{ name: a, memory: 2MiB }, { name: b, memory: 1MiB }", &["cache.zones: a.memory"]),
            (
                "{ name: a, memory: 1MiB, max_fills: 1 }, { name: b, memory: 1MiB }",
                &["cache.zones: a.max_fills"],
            ),
            (
                "{ name: a, memory: 1MiB }, { name: c, memory: 1MiB }",
                &[
                    "cache.zones: b (gone from the file, still there)",
                    "cache.zones: c (new in the file, not there yet; its routes use the zone default)",
                ],
            ),
        ] {
            assert_eq!(waiting(&first, &with(zones)), named, "{zones}");
        }
    }

    #[test]
    fn an_upgrade_is_no_help_where_the_socket_stays() {
        let first = settings("listeners: [{ address: ':80' }]");
        for (yaml, helps) in [
            ("listeners: [{ address: ':80' }]", false),
            ("listeners: [{ address: ':80', reuse_port: true }]", false),
            ("listeners: [{ address: ':80', reuse_port: true, backlog: 7 }]", true),
            ("{ listeners: [{ address: ':80' }], cache: { memory: 1GiB } }", true),
        ] {
            assert_eq!(super::upgrade_helps(&waiting(&first, &settings(yaml))), helps, "{yaml}");
        }
    }

    #[test]
    fn another_token_is_seen_though_it_is_masked() {
        let with = |token: &str| settings(&format!("{{ admin: {{ listen: ':1', token: {token} }} }}"));
        assert_eq!(waiting(&with("aaaaaaaaaaaaaaaa"), &with("bbbbbbbbbbbbbbbb")), ["admin.token"]);
    }
}
