//! A reload changes everything at once and nothing else.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::Signal;
use seawall_test_upgrade::{Client, Load, rounds};
use seawall_testkit::{Call, Child, DEADLINE, Origin, RawClient, Reply, Response, Seawall, eventually, get};

/// A configuration whose every answer carries its number twice: once from the origin, which was sent it, and once added
/// on the way back. The routes and their names change with it.
fn numbered(number: u64) -> String {
    let mut routes = String::new();
    for i in 0..40 {
        routes.push_str(&format!(
            "      - {{ name: n{number}-{i}, regex: '^/n{number}/{i}/[a-z]+/([0-9]{{1,9}})$', respond: 404 }}\n"
        ));
    }
    format!(
        "
listeners: [{{ address: '127.0.0.1:%{{port}}', h2c: true }}]
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
access_log: {{ format: off }}
log: {{ level: warn }}
upstreams: {{ app: {{ servers: ['%{{origin}}'], retries: {{ attempts: 0 }} }} }}
sites:
  - hosts: [example.com]
    routes:
{routes}      - path: /
        name: all
        upstream: app
        request_headers: {{ set: {{ X-Plan: '{number}' }} }}
        response_headers: {{ set: {{ X-Plan: '{number}' }} }}
"
    )
}

/// Answers with the number it was sent.
fn mirror() -> Origin {
    Origin::h1(|request| Reply::ok(request.header("x-plan").unwrap_or("none").to_owned()))
}

fn reload(seawall: &Seawall) -> Response {
    let mut client = RawClient::unix(seawall.folder().join("admin.sock"));
    client.deadline(DEADLINE * 4);
    client.exchange(&Call::post("localhost", "/v1/reload", "")).expect("an answer of the control API")
}

fn numbers(response: &Response) -> Result<u64, String> {
    let (sent, added) = (response.text(), response.header("x-plan").unwrap_or("none"));
    if response.status != 200 || sent != added {
        return Err(format!("status {}: the origin was sent {sent}, the client {added}", response.status));
    }
    sent.parse().map_err(|_| format!("no number: {sent}"))
}

#[test]
fn under_load_every_answer_belongs_to_the_plan_before_or_after() {
    let origin = mirror();
    let seawall = Seawall::with(&numbered(0)).set("origin", origin.addr()).start();
    let (begun, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let judge = {
        let (begun, done) = (Arc::clone(&begun), Arc::clone(&done));
        Arc::new(move || {
            let least = done.load(Ordering::SeqCst);
            let begun = Arc::clone(&begun);
            let judge = move |response: &Response| {
                let (number, most) = (numbers(response)?, begun.load(Ordering::SeqCst));
                if (least..=most).contains(&number) {
                    return Ok(());
                }
                Err(format!("plan {number}, but {least} was in effect before it and {most} is the latest"))
            };
            Box::new(judge) as Box<dyn FnOnce(&Response) -> Result<(), String>>
        })
    };
    let clients =
        [Client::Fresh, Client::Fresh, Client::KeepAlive, Client::KeepAlive, Client::H2, Client::H2];
    let load = Load::start(seawall.addr(0), &Call::get("example.com", "/x"), &clients, 40, judge);
    let rounds = u64::from(rounds(60, 500));
    let mut memory = Vec::new();
    for number in 1..=rounds {
        seawall.rewrite(&numbered(number));
        begun.store(number, Ordering::SeqCst);
        let answer = reload(&seawall);
        assert_eq!(answer.status, 200, "{}", answer.text());
        done.store(number, Ordering::SeqCst);
        let sent = load.sent();
        eventually(DEADLINE, "requests between two reloads", || load.sent() > sent);
        memory.push(seawall.metrics().get("process_resident_memory_bytes", &[]));
    }
    let metrics = seawall.metrics();
    assert_eq!(metrics.get("seawall_config_generation", &[]), rounds as f64 + 1.0);
    assert_eq!(metrics.get("seawall_config_loads_total", &[("result", "ok")]), rounds as f64 + 1.0);
    assert_eq!(metrics.get("seawall_config_last_load_successful", &[]), 1.0);
    let tally = load.finish();
    tally.assert_clean(rounds);
    // Kept connections outlive every reload.
    let kept = clients.iter().filter(|client| **client != Client::Fresh).count() as u64;
    assert_eq!(tally.kept, kept, "kept connections are opened once");
    // The series of routes that are gone go with the last request of their plan.
    let routes: std::collections::BTreeSet<String> = seawall
        .metrics()
        .samples
        .iter()
        .filter(|sample| sample.name == "seawall_http_requests_total")
        .filter_map(|sample| sample.labels.get("route").cloned())
        .collect();
    assert!(routes.len() < 90, "series of {} routes", routes.len());
    let third = memory.len() / 3;
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let (early, late) = (most(&memory[..third * 2]), most(&memory[third * 2..]));
    assert!(late - early < 8e6, "memory grows: {early} to {late} bytes");
}

#[test]
fn the_load_notices_a_process_that_is_killed() {
    let origin = mirror();
    let mut seawall = Seawall::with(&numbered(0)).set("origin", origin.addr()).start();
    let judge = Arc::new(|| Box::new(|r: &Response| numbers(r).map(drop)) as Box<dyn FnOnce(&Response) -> _>);
    for client in [Client::Fresh, Client::KeepAlive, Client::H2] {
        if !seawall.is_running() {
            seawall = Seawall::with(&numbered(0)).set("origin", origin.addr()).start();
        }
        let load =
            Load::start(seawall.addr(0), &Call::get("example.com", "/x"), &[client], 100, judge.clone());
        eventually(DEADLINE, "some requests", || load.sent() > 10);
        seawall.signal(Signal::SIGKILL);
        assert_eq!(seawall.wait().signal, Some(9));
        let sent = load.sent();
        eventually(DEADLINE, "a request after the end", || load.sent() > sent + 2);
        let tally = load.finish();
        assert!(tally.good > 0 && !tally.failures.is_empty(), "{client:?}: {tally:?}");
    }
}

const SMALL: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: 'unix:%{dir}/admin.sock' }
";

fn small(body: &str) -> String {
    format!("{SMALL}sites: [{{ default: true, routes: [{{ path: /, respond: {{ body: {body} }} }}] }}]\n")
}

fn body(seawall: &Seawall) -> String {
    get(seawall.addr(0), "any", "/", &[]).text()
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_with_its_line() {
    let seawall = Seawall::with(&small("old")).start();
    seawall.rewrite(&format!("{SMALL}sites: [{{ default: true, routes: [{{ path: /, respnd: 200 }}] }}]\n"));
    let refused = seawall.control(&["reload"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in ["unknown key `respnd`", "seawall.yaml:5:", "did you mean `respond`?", "the one before stays"]
    {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let json = seawall.control(&["reload", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json.stderr).expect("JSON");
    assert_eq!(value["error"]["details"]["diagnostics"][0]["line"], 5, "{value}");
    assert_eq!(body(&seawall), "old");
    let metrics = seawall.metrics();
    assert_eq!(metrics.get("seawall_config_generation", &[]), 1.0);
    assert_eq!(metrics.get("seawall_config_loads_total", &[("result", "refused")]), 2.0);
    assert_eq!(metrics.get("seawall_config_last_load_successful", &[]), 0.0);
    let status = seawall.control(&["status"]);
    assert!(status.stdout.contains("last reload  refused"), "{}", status.stdout);
    std::fs::remove_file(seawall.file()).expect("the file");
    assert_eq!(seawall.control(&["reload"]).code, Some(1));
    assert_eq!(body(&seawall), "old");
    seawall.rewrite(&small("new"));
    let taken = seawall.control(&["reload"]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    assert!(taken.stdout.contains("configuration 2 is in effect"), "{}", taken.stdout);
    assert_eq!(body(&seawall), "new");
    assert_eq!(seawall.metrics().get("seawall_config_last_load_successful", &[]), 1.0);
}

#[test]
fn sighup_and_a_watched_file_reload_too() {
    let seawall = Seawall::with(&small("one")).start();
    seawall.rewrite(&small("two"));
    seawall.signal(Signal::SIGHUP);
    eventually(DEADLINE, "the second body", || body(&seawall) == "two");
    seawall.rewrite(&format!("{}server: {{ watch: true }}\n", small("three")));
    seawall.signal(Signal::SIGHUP);
    eventually(DEADLINE, "the third body", || body(&seawall) == "three");
    seawall.rewrite("sites: {");
    seawall.wait_metric("seawall_config_loads_total", &[("result", "refused")], 1.0);
    assert_eq!(body(&seawall), "three");
    seawall.rewrite(&format!("{}server: {{ watch: true }}\n", small("four")));
    eventually(DEADLINE, "the fourth body", || body(&seawall) == "four");
}

#[test]
fn what_waits_for_an_upgrade_is_named_and_the_rest_is_taken() {
    let seawall = Seawall::with(&small("old")).start();
    seawall.rewrite(&format!(
        "{}cache: {{ memory: 64MiB }}\nserver: {{ threads: 3 }}\n",
        small("new").replace("listeners: [", "listeners: [{ address: '127.0.0.1:%{port2}' }, ")
    ));
    let done = seawall.control(&["reload"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for part in [
        "wait for `seawall upgrade` or a restart",
        "(new in the file, not open yet)",
        "cache.memory",
        "server.threads",
    ] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    assert_eq!(body(&seawall), "new");
}

#[test]
fn limits_access_and_logs_change_for_what_comes_after() {
    let seawall = Seawall::with(&format!("{}access_log: {{ format: off }}\n", small("x"))).start();
    let mut early = RawClient::tcp(seawall.addr(0));
    let long = format!("/{}", "a".repeat(200));
    let ask = |client: &mut RawClient, path: &str| {
        client.exchange(&Call::get("x", path)).map(|answer| answer.status)
    };
    // A connection that is refused may be so while it is being made.
    let on_a_new_one = |path: &str| {
        let mut client = RawClient::try_tcp(seawall.addr(0)).map_err(|error| error.to_string())?;
        ask(&mut client, path).map_err(|error| format!("{error:?}"))
    };
    assert_eq!(ask(&mut early, &long).expect("an answer"), 200);
    seawall.rewrite(&format!("{}limits: {{ max_uri: 100B }}\nlog: {{ level: debug }}\n", small("x")));
    assert_eq!(seawall.control(&["reload"]).code, Some(0));
    // Limits of a request count at once; the log is there.
    assert_eq!(on_a_new_one(&long), Ok(414));
    assert_eq!(ask(&mut early, "/logged").expect("an answer"), 200);
    let _ = seawall.wait_log(|line| line["uri"] == "/logged");
    // Rules of a connection count for new ones.
    let closed = small("x").replace("%{port}'", "%{port}', access: { deny: 127.0.0.0/8 }");
    seawall.rewrite(&closed);
    assert_eq!(seawall.control(&["reload"]).code, Some(0));
    assert!(on_a_new_one("/").is_err());
    assert_eq!(ask(&mut early, "/").expect("an answer"), 200);
    seawall.rewrite(&format!("{}limits: {{ max_connections: 1 }}\n", small("x")));
    assert_eq!(seawall.control(&["reload"]).code, Some(0));
    assert!(on_a_new_one("/").is_err(), "the only place is taken");
    drop(early);
    eventually(DEADLINE, "the place to be free", || on_a_new_one("/"));
}

#[test]
fn many_reloads_at_once_are_done_one_after_the_other() {
    let seawall = Seawall::with(&small("old")).start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(reload(&seawall).status, 200));
        }
    });
    assert_eq!(seawall.metrics().get("seawall_config_generation", &[]), 9.0);
}

#[test]
fn health_and_orders_outlive_a_reload() {
    let sick =
        Origin::h1(|request| Reply::new(if request.path() == "/healthz" { 500 } else { 200 }).body("sick"));
    let (one, two) = (Origin::h1(|_| Reply::ok("one")), Origin::h1(|_| Reply::ok("two")));
    let yaml = |timeout: &str| {
        format!(
            "
listeners: [{{ address: '127.0.0.1:%{{port}}' }}]
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
upstreams:
  app:
    servers: ['%{{sick}}', '%{{one}}', '%{{two}}']
    health: {{ http: /healthz, interval: 1h, unhealthy_threshold: 1 }}
    timeouts: {{ read: {timeout} }}
sites: [{{ default: true, routes: [{{ path: /, upstream: app }}] }}]
"
        )
    };
    let seawall = Seawall::with(&yaml("9s"))
        .set("sick", sick.addr())
        .set("one", one.addr())
        .set("two", two.addr())
        .start();
    let down = [("upstream", "app"), ("server", sick.addr())];
    seawall.wait_metric("seawall_upstream_server_up", &down, 0.0);
    let drained = seawall.control(&["pools", "app", "--drain", one.addr()]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    assert!(drained.stdout.contains("drained"), "{}", drained.stdout);
    let before = two.count();
    let mut opened = 0;
    // The same pool, then one with other settings: the next check is an hour away.
    for timeout in ["9s", "8s", "7s"] {
        seawall.rewrite(&yaml(timeout));
        assert_eq!(seawall.control(&["reload"]).code, Some(0));
        let connections = two.connections();
        for _ in 0..6 {
            assert_eq!(body(&seawall), "two", "after {timeout}");
        }
        opened += two.connections() - connections;
        assert_eq!(seawall.metrics().get("seawall_upstream_server_up", &down), 0.0);
    }
    assert!(two.count() >= before + 18);
    // The first request opens one, and one that comes before it is back in the pool another; a reload opens none.
    assert!(opened <= 2, "{opened} connections to an unchanged server");
    assert_eq!(seawall.control(&["pools", "app", "--reset", one.addr()]).code, Some(0));
    eventually(DEADLINE, "the enabled server", || body(&seawall) == "one");
    let unknown = seawall.control(&["pools", "app", "--drain", "10.9.9.9:1"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("it has"), "{}", unknown.stderr);
}

#[test]
fn an_error_of_the_control_api_says_what_to_do() {
    let seawall = Seawall::with(&small("x")).start();
    let mut command = std::process::Command::new(seawall_testkit::binary());
    command.args(["status", "--admin"]).arg(format!("unix:{}/none.sock", seawall.folder().display()));
    let failed = Child::spawn(command).wait(DEADLINE);
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("is Seawall running with `admin:"), "{}", failed.stderr);
}
