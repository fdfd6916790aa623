//! A new process takes over, and nobody notices.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seawall_test_upgrade::{
    Client, Judge, Load, content, is_gone, own_program, rounds, tunnel_call, tunnel_reply,
};
use seawall_testkit::{
    Call, DEADLINE, Finished, Gate, Identity, Origin, Pki, RawClient, Reply, Response, Seawall, TlsClient,
    binary, body, eventually, get, request,
};
use serde_json::Value;

const LOAD: [Client; 6] =
    [Client::Fresh, Client::Fresh, Client::KeepAlive, Client::KeepAlive, Client::H2, Client::H2];

const YAML: &str = "
listeners: [{ address: '127.0.0.1:%{port}', h2c: true }]
admin: { listen: 'unix:%{dir}/admin.sock' }
access_log: { format: off }
upstreams: { app: { servers: ['%{origin}'], retries: { attempts: 0 } } }
sites: [{ default: true, routes: [{ path: /, upstream: app }] }]
server: { shutdown_timeout: 20s, upgrade_timeout: %{patience} }
";

fn replace_program(seawall: &Seawall, script: &str) {
    let beside = seawall.folder().join("next");
    fs::write(&beside, script).expect("a script");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::rename(&beside, seawall.folder().join("seawall-under-test")).expect("another program");
}

fn start(yaml: &str, origin: &Origin, patience: &str) -> Seawall {
    let builder = Seawall::with(yaml).set("origin", origin.addr()).set("patience", patience);
    let program = own_program(builder.folder());
    builder.program(&program).start()
}

fn judge() -> Judge {
    let whole = content();
    Arc::new(move || {
        let whole = whole.clone();
        Box::new(move |response: &Response| {
            if response.status == 200 && response.text() == whole {
                return Ok(());
            }
            Err(format!("status {}, {} bytes", response.status, response.body.len()))
        })
    })
}

fn status(seawall: &Seawall) -> Value {
    let said = seawall.control(&["status", "--json"]);
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("no status: {said:?}"))
}

fn upgrade(seawall: &Seawall) -> Finished {
    seawall.control(&["upgrade", "--json"])
}

fn pid(value: &Value) -> Pid {
    Pid::from_raw(value["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process id"))
}

#[test]
fn under_load_nothing_fails_is_cut_or_comes_twice() {
    let origin = Origin::h1(|_| Reply::ok(content()));
    let seawall = start(YAML, &origin, "30s");
    let load = Load::start(seawall.addr(0), &Call::get("example.com", "/x"), &LOAD, 40, judge());
    eventually(DEADLINE, "some requests", || load.sent() > 50);
    let mut process = pid(&status(&seawall));
    for number in 0..rounds(5, 50) {
        let done = upgrade(&seawall);
        assert_eq!(done.code, Some(0), "upgrade {number}: {done:?}\n{}", seawall.stderr());
        let said: Value = serde_json::from_str(&done.stdout).expect("JSON");
        eventually(DEADLINE * 2, "the old process to end", || is_gone(process));
        let now = status(&seawall);
        assert_eq!((&now["pid"], &now["instance"]), (&said["pid"], &said["instance"]));
        assert_ne!(pid(&now), process);
        process = pid(&now);
        let sent = load.sent();
        eventually(DEADLINE, "requests to the new process", || load.sent() > sent + 20);
    }
    let tally = load.finish();
    tally.assert_clean(200);
    // Both ends have seen the same requests, each once.
    let arrived: Vec<String> = origin
        .requests()
        .iter()
        .map(|request| request.header("x-sequence").unwrap_or("none").to_owned())
        .collect();
    let unique: BTreeSet<&String> = arrived.iter().collect();
    assert_eq!(unique.len(), arrived.len(), "some came twice");
    assert_eq!(unique, tally.sequences.iter().collect::<BTreeSet<_>>());
}

#[test]
fn a_long_answer_and_a_tunnel_live_on_in_the_old_process() {
    let gate = Gate::new();
    let origin = {
        let gate = gate.clone();
        Origin::h1(move |request| match request.path() {
            "/tunnel" => tunnel_reply(),
            "/long" => Reply::new(200).body("first").gate(&gate).body("last"),
            _ => Reply::ok(content()),
        })
    };
    let seawall = start(YAML, &origin, "30s");
    let mut long = RawClient::tcp(seawall.addr(0));
    long.call(&Call::get("x", "/long"));
    gate.wait_waiting(1);
    let mut tunnel = RawClient::tcp(seawall.addr(0));
    let head = tunnel_call(Call::get("x", "/tunnel"));
    tunnel.call(&head);
    assert_eq!(tunnel.read_response("GET").expect("a tunnel").status, 101);
    let before = pid(&status(&seawall));
    let done = upgrade(&seawall);
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    assert_ne!(pid(&status(&seawall)), before);
    tunnel.send("through the old process");
    assert_eq!(tunnel.read_exact(23), b"through the old process");
    assert!(!is_gone(before), "it is still at work");
    gate.open();
    assert_eq!(long.response().text(), "firstlast");
    drop(tunnel);
    eventually(DEADLINE, "the old process to end with its last connection", || is_gone(before));
}

#[test]
fn what_outlasts_the_limit_is_cut() {
    let origin = Origin::h1(|_| tunnel_reply());
    let seawall = start(&YAML.replace("shutdown_timeout: 20s", "shutdown_timeout: 500ms"), &origin, "30s");
    let mut tunnel = RawClient::tcp(seawall.addr(0));
    let head = tunnel_call(Call::get("x", "/tunnel"));
    assert_eq!(tunnel.exchange(&head).expect("a tunnel").status, 101);
    let before = pid(&status(&seawall));
    let began = Instant::now();
    assert_eq!(upgrade(&seawall).code, Some(0));
    eventually(DEADLINE, "the old process to end", || is_gone(before));
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    let _ = tunnel.read_to_close();
}

#[test]
fn the_new_process_knows_who_is_sick_before_it_takes_a_request() {
    let sick =
        Origin::h1(|request| Reply::new(if request.path() == "/healthz" { 500 } else { 200 }).body("sick"));
    let well = Origin::h1(|_| Reply::ok("well"));
    let yaml = "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: 'unix:%{dir}/admin.sock' }
upstreams:
  app:
    servers: ['%{sick}', '%{well}']
    health: { http: /healthz, interval: 1h, unhealthy_threshold: 1 }
sites: [{ default: true, routes: [{ path: /, upstream: app }] }]
";
    let builder = Seawall::with(yaml).set("sick", sick.addr()).set("well", well.addr());
    let program = own_program(builder.folder());
    let seawall = builder.program(&program).start();
    let down = [("upstream", "app"), ("server", sick.addr())];
    seawall.wait_metric("seawall_upstream_server_up", &down, 0.0);
    let load = Load::start(seawall.addr(0), &Call::get("x", "/"), &LOAD[..2], 100, {
        Arc::new(|| {
            Box::new(|response: &Response| match response.text().as_str() {
                "well" => Ok(()),
                other => Err(format!("status {}: {other}", response.status)),
            })
        })
    });
    for number in 1..=3 {
        let sent = load.sent();
        assert_eq!(upgrade(&seawall).code, Some(0));
        // The next check by the clock is an hour away: this one came with the upgrade.
        assert_eq!(sick.requests_for("/healthz").len(), number + 1);
        eventually(DEADLINE, "requests to the new process", || load.sent() > sent + 20);
    }
    load.finish().assert_clean(60);
    assert!(sick.requests_for("/").is_empty());
}

/// A successor that speaks the first words and then does as the test says.
fn impostor(rest: &str) -> String {
    format!(
        "#!/usr/bin/env python3
import json, os, signal, socket, struct, sys, time
end = socket.socket(fileno=os.dup(0))
taken = []
def say(**words): end.send(json.dumps(words).encode())
def hear():
    words, more, _, _ = end.recvmsg(65536, 4096)
    for _, _, fds in more: taken.extend(struct.unpack(str(len(fds) // 4) + 'i', fds))
    return json.loads(words)
def until(word):
    while hear()['say'] != word: pass
def health(status='200 OK', instance='x', state='prepared'):
    say(say='prepared', instance='x')
    until('ask')
    asked = socket.socket(fileno=taken[-1])
    body = json.dumps(dict(instance=instance, state=state))
    asked.recv(65536)
    asked.sendall(('HTTP/1.1 ' + status + '\\r\\n\\r\\n' + body).encode())
    asked.close()
say(say='hello', version=2, pid=os.getpid())
until('state')
{rest}
"
    )
}

#[test]
fn whatever_the_new_process_does_the_old_one_goes_on() {
    let origin = Origin::h1(|_| Reply::ok(content()));
    let seawall = start(YAML, &origin, "5s");
    let good = fs::read_to_string(seawall.file()).expect("the configuration");
    let load = Load::start(seawall.addr(0), &Call::get("example.com", "/x"), &LOAD, 40, judge());
    let before = status(&seawall);
    let script = |text: &str| format!("#!/bin/sh\n{text}\n");
    let mut failures = 0.0;
    for (what, program, reason) in [
        ("exits", script("exit 3"), "exit status: 3"),
        ("hangs", script("exec sleep 600"), "hangs"),
        ("is no program", "\0\0".to_owned(), "cannot start"),
        (
            "is not who was started",
            impostor("").replace("pid=os.getpid()", "pid=os.getppid()"),
            "which was not started for this",
        ),
        ("speaks nonsense", impostor("end.send(b'what?')\ntime.sleep(600)"), "makes no sense"),
        ("dies with the sockets", impostor("os.kill(os.getpid(), signal.SIGKILL)"), "signal: 9"),
        ("never gets ready", impostor("time.sleep(600)"), "hangs"),
        ("gives no health", impostor("say(say='prepared', instance='x')\ntime.sleep(600)"), "asked for its health"),
        (
            "dies when asked for its health",
            impostor("say(say='prepared', instance='x')\nuntil('ask')"),
            "ended while asked for its health",
        ),
        ("is sick", impostor("health(status='503 Service Unavailable')\ntime.sleep(600)"), "says `HTTP/1.1 503"),
        ("is not ready", impostor("health(state='leaving')\ntime.sleep(600)"), "not ready"),
        ("is another one", impostor("health(instance='y')\ntime.sleep(600)"), "another process"),
        ("dies at the last step", impostor("health()\nuntil('commit')"), "ended"),
        ("fails at the last step", impostor("health()\nuntil('commit')\nsay(say='failed', why='no room')\ntime.sleep(600)"), "no room"),
        ("speaks another version", "#!/usr/bin/env python3\nimport os, socket, time\nsocket.socket(fileno=os.dup(0)).send(b'{\"say\":\"hello\",\"version\":99,\"pid\":1}')\ntime.sleep(600)\n".to_owned(), "version 99"),
    ] {
        replace_program(&seawall, &program);
        let failed = seawall.control(&["upgrade"]);
        failures += 1.0;
        assert_eq!(failed.code, Some(1), "{what}: {failed:?}");
        assert!(failed.stderr.contains(reason) && failed.stderr.contains("goes on"), "{what}: {}", failed.stderr);
        let now = status(&seawall);
        assert_eq!((&now["pid"], &now["state"]), (&before["pid"], &"ready".into()), "{what}");
        assert_eq!(seawall.metrics().get("seawall_upgrades_total", &[("result", "failed")]), failures);
    }
    // A binary that is good and a file that is not; then neither is wrong.
    fs::remove_file(seawall.folder().join("seawall-under-test")).expect("the last impostor");
    let _ = own_program(seawall.folder());
    seawall.rewrite("sites: [{ hosts: }");
    let failed = seawall.control(&["upgrade"]);
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.contains("the configuration is refused") && failed.stderr.contains("seawall.yaml:"),
        "{failed:?}"
    );
    assert_eq!(status(&seawall)["pid"], before["pid"]);
    fs::write(seawall.file(), good).expect("the configuration");
    let done = upgrade(&seawall);
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    assert_ne!(status(&seawall)["pid"], before["pid"]);
    let sent = load.sent();
    eventually(DEADLINE, "requests to the new process", || load.sent() > sent + 20);
    load.finish().assert_clean(100);
}

#[test]
fn sigquit_out_of_nowhere_changes_nothing() {
    let origin = Origin::h1(|_| Reply::ok(content()));
    let mut seawall = start(YAML, &origin, "30s");
    let load = Load::start(seawall.addr(0), &Call::get("example.com", "/x"), &LOAD, 40, judge());
    let before = status(&seawall);
    for _ in 0..5 {
        seawall.signal(Signal::SIGQUIT);
        let sent = load.sent();
        eventually(DEADLINE, "more requests", || load.sent() > sent + 10);
    }
    assert!(seawall.is_running());
    assert_eq!(status(&seawall)["instance"], before["instance"]);
    load.finish().assert_clean(50);
}

#[test]
fn all_listeners_orders_and_sessions_are_handed_over() {
    let (pki, origin) = (Pki::new(), Origin::h1(|_| Reply::ok("x")));
    let Identity { cert, key } = pki.server(&["a.example"]);
    let unix: String = (0..40).map(|i| format!("  - address: 'unix:%{{dir}}/{i}.sock'\n")).collect();
    let yaml = |ports: &str| {
        format!(
            "
listeners:
  - address: '127.0.0.1:%{{port}}'
    tls: {{ certificates: [{{ cert: '{}', key: '{}' }}] }}
{ports}{unix}
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
upstreams: {{ app: {{ servers: ['%{{origin}}', '127.0.0.1:9'] }} }}
sites: [{{ default: true, routes: [{{ path: /, upstream: app }}] }}]
server: {{ upgrade_timeout: %{{patience}} }}
",
            cert.display(),
            key.display()
        )
    };
    let second = "  - address: '127.0.0.1:%{port2}'\n";
    let third = "  - address: '127.0.0.1:%{port3}'\n";
    let seawall = start(&yaml(second), &origin, "30s");
    assert_eq!(seawall.control(&["pools", "app", "--drain", "127.0.0.1:9"]).code, Some(0));
    let client = TlsClient::new("a.example", pki.ca());
    let visit = |client: &TlsClient| {
        let mut connection = client.connect(seawall.addr(0)).expect("a handshake");
        assert_eq!(connection.exchange(&Call::get("a.example", "/")).expect("an answer").status, 200);
        connection.tls().is_some_and(|info| info.resumed)
    };
    assert!(!visit(&client));
    let before = pid(&status(&seawall));
    // The second port goes, the third comes.
    seawall.rewrite(&yaml(third));
    let done = upgrade(&seawall);
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    eventually(DEADLINE, "the old process to end", || is_gone(before));
    for number in 0..40 {
        let mut client = RawClient::unix(seawall.folder().join(format!("{number}.sock")));
        assert_eq!(client.exchange(&Call::get("x", "/")).expect("an answer").status, 200, "{number}");
    }
    assert_eq!(get(seawall.spare_port().addr(), "x", "/", &[]).status, 200);
    assert!(RawClient::try_tcp(seawall.addr(1)).is_err());
    assert!(visit(&client.resume()), "the keys of tickets were handed over");
    let pools = seawall.control(&["pools", "app", "--json"]);
    let pools: Value = serde_json::from_str(&pools.stdout).expect("JSON");
    assert_eq!(pools["servers"][1]["drained"], true, "{pools}");
    let now = pid(&status(&seawall));
    kill(now, Signal::SIGTERM).expect("a signal");
    eventually(DEADLINE, "the new process to end", || is_gone(now));
    for number in 0..40 {
        assert!(!seawall.folder().join(format!("{number}.sock")).exists(), "{number} is left behind");
    }
    assert!(!seawall.folder().join("admin.sock").exists());
}

#[test]
fn the_service_manager_is_told_who_is_the_main_process() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let folder = seawall_testkit::folder();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
    let builder = Seawall::with(YAML)
        .set("origin", origin.addr())
        .set("patience", "30s")
        .env("NOTIFY_SOCKET", path.display());
    let program = own_program(builder.folder());
    let seawall = builder.program(&program).start();
    let done = upgrade(&seawall);
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    let said: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let wanted = format!("MAINPID={}", said["pid"]);
    let (until, mut heard) = (Instant::now() + DEADLINE, Vec::new());
    while Instant::now() < until && !heard.iter().any(|text: &String| text.contains(&wanted)) {
        let mut bytes = [0; 1024];
        if let Ok(length) = manager.recv(&mut bytes) {
            heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
    }
    assert!(heard.iter().any(|text| text.contains(&wanted)), "{heard:?}");
    assert!(!heard.iter().any(|text| text.contains("STOPPING")), "the service does not stop: {heard:?}");
}

const ON_DISK: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: 'unix:%{dir}/admin.sock' }
access_log: { format: off }
cache:
  memory: 4MiB
  disk: { path: '%{dir}/store', size: 64MiB }
  purge: { allow: [127.0.0.1] }
upstreams: { app: { servers: ['%{origin}'], retries: { attempts: 0 } } }
sites: [{ default: true, routes: [{ path: /, upstream: app, cache: on }] }]
server: { shutdown_timeout: 20s, upgrade_timeout: %{patience} }
";

/// Objects of the disk test: their bodies differ in every place, and so do their lengths.
fn object(path: &str) -> Vec<u8> {
    let number = path.trim_start_matches("/o").parse::<usize>().unwrap_or(0);
    body(number as u64, 200 + number * 7919 % 40_000 + if number.is_multiple_of(10) { 1_500_000 } else { 0 })
}

fn is_hit(response: &Response) -> bool {
    response.header("cache-status").is_some_and(|status| status.starts_with("seawall; hit"))
}

#[test]
fn what_is_on_disk_is_served_by_the_successor() {
    let origin =
        Origin::h1(|request| Reply::ok(object(request.path())).header("Cache-Control", "max-age=600"));
    let seawall = start(ON_DISK, &origin, "30s");
    let paths: Vec<String> = (0..40).map(|number| format!("/o{number}")).collect();
    let ask = |path: &str| {
        let response = get(seawall.addr(0), "example.com", path, &[]);
        assert!(response.status == 200 && response.body == object(path), "{path}: a wrong body");
        is_hit(&response)
    };
    for path in &paths {
        assert!(!ask(path));
    }
    seawall.wait_metric("seawall_cache_objects", &[("tier", "disk")], 40.0);
    let purged = request(seawall.addr(0), &Call::new("PURGE", "example.com", "/o7")).expect("an answer");
    assert_eq!(purged.status, 200);
    let asked = origin.count();
    // Clients read the same objects all the while, and check each byte.
    let watched = object("/o3");
    let judge: Judge = Arc::new(move || {
        let whole = watched.clone();
        Box::new(move |response: &Response| {
            if response.status == 200 && response.body == whole {
                return Ok(());
            }
            Err(format!("status {}, {} bytes", response.status, response.body.len()))
        })
    });
    let clients = [Client::Fresh, Client::KeepAlive, Client::KeepAlive];
    let load = Load::start(seawall.addr(0), &Call::get("example.com", "/o3"), &clients, 20, judge);
    let mut process = pid(&status(&seawall));
    for number in 0..rounds(2, 10) {
        let done = upgrade(&seawall);
        assert_eq!(done.code, Some(0), "upgrade {number}: {done:?}\n{}", seawall.stderr());
        eventually(DEADLINE * 2, "the old process to end", || is_gone(process));
        process = pid(&status(&seawall));
        seawall.wait_metric("seawall_disk_recovered_ratio", &[], 1.0);
        for path in paths.iter().filter(|path| *path != "/o7") {
            assert!(ask(path), "{path} after upgrade {number}");
        }
    }
    load.finish().assert_clean(20);
    assert_eq!(origin.count(), asked, "nothing was fetched again");
    assert!(!ask("/o7"), "no upgrade undoes a purge");
    // The successor owns the folder: it writes, and what it wrote is there after the next upgrade.
    assert!(!ask("/o41"));
    seawall.wait_metric("seawall_cache_objects", &[("tier", "disk")], 41.0);
    assert_eq!(upgrade(&seawall).code, Some(0));
    eventually(DEADLINE * 2, "the old process to end", || is_gone(process));
    seawall.wait_metric("seawall_disk_recovered_ratio", &[], 1.0);
    assert!(ask("/o41") && ask("/o7"));
    let mut verify = std::process::Command::new(binary());
    verify.args(["store", "verify"]).arg(seawall.folder().join("store"));
    assert!(verify.output().expect("the binary").status.success());
}
