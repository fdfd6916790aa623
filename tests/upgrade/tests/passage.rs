//! What comes in the middle of an upgrade: orders, reloads, stops, signals; and a process without folder, binary or
//! descriptors.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seawall_test_upgrade::{is_gone, own_program};
use seawall_testkit::{
    Call, DEADLINE, Dns, Finished, Gate, Origin, RawClient, Reply, Seawall, binary, eventually, get, run,
};
use serde_json::Value;

/// A pool whose name the DNS may be slow to tell: a process that starts meanwhile is in the middle.
struct Slow {
    seawall: Seawall,
    dns: Dns,
    origin: Origin,
}

fn yaml(body: &str) -> String {
    format!(
        "
listeners: [{{ address: '127.0.0.1:%{{port}}' }}]
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
upstreams:
  app: {{ servers: ['%{{origin}}'] }}
  named: {{ servers: ['app.example:80'], dns: {{ servers: '%{{dns}}', family: ipv4, timeout: 2s, refresh_min: 1h, refresh_max: 2h }} }}
sites:
  - default: true
    routes:
      - {{ path: /said, respond: {{ body: {body} }} }}
      - {{ path: /named, upstream: named }}
      - {{ path: /, upstream: app }}
server: {{ shutdown_timeout: 30s, upgrade_timeout: 20s }}
"
    )
}

impl Slow {
    fn start(origin: Origin) -> Self {
        let dns = Dns::start();
        dns.tell("app.example", &["127.0.0.2"], 3600);
        let builder = Seawall::with(&yaml("one")).set("origin", origin.addr()).set("dns", dns.addr());
        let program = own_program(builder.folder());
        let seawall = builder.program(&program).start();
        // It has asked the DNS by then: who asks after that is another process.
        eventually(DEADLINE, "the first process to be ready", || status(&seawall)["state"] == "ready");
        Self { seawall, dns, origin }
    }

    /// Runs `middle` while a new process waits for the DNS, and returns what the upgrade came to.
    fn upgrade_and<T>(&self, middle: impl FnOnce() -> T) -> (Finished, T) {
        self.dns.mute(true);
        let before = self.dns.asked("app.example");
        std::thread::scope(|scope| {
            let upgrade = scope.spawn(|| self.seawall.control(&["upgrade", "--json"]));
            self.dns.wait_asked("app.example", before + 1);
            let done = middle();
            self.dns.mute(false);
            (upgrade.join().expect("the command"), done)
        })
    }

    fn said(&self) -> String {
        get(self.seawall.addr(0), "x", "/said", &[]).text()
    }
}

fn status(seawall: &Seawall) -> Value {
    let said = seawall.control(&["status", "--json"]);
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("no status: {said:?}"))
}

fn process(seawall: &Seawall) -> Pid {
    Pid::from_raw(status(seawall)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid"))
}

/// The processes that are to succeed this one: the children of its guardians.
fn successors(process: Pid) -> Vec<Pid> {
    children(process).into_iter().flat_map(children).collect()
}

fn children(parent: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    pids.filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

fn plain() -> Origin {
    Origin::h1(|_| Reply::ok("x"))
}

#[test]
fn an_upgrade_during_the_start_waits_for_its_end() {
    let dns = Dns::start();
    dns.mute(true);
    let origin = plain();
    let builder = Seawall::with(&yaml("one")).set("origin", origin.addr()).set("dns", dns.addr());
    let program = own_program(builder.folder());
    let seawall = builder.program(&program).start();
    assert_eq!(status(&seawall)["state"], "starting", "the DNS says nothing yet");
    let before = process(&seawall);
    let done = seawall.control(&["upgrade"]);
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    assert_ne!(process(&seawall), before);
}

#[test]
fn orders_and_reloads_in_the_middle_reach_the_new_process() {
    let slow = Slow::start(plain());
    let old = process(&slow.seawall);
    let (done, (drained, busy, reloaded)) = slow.upgrade_and(|| {
        let drained = slow.seawall.control(&["pools", "app", "--drain", slow.origin.addr()]);
        let busy = slow.seawall.control(&["upgrade"]);
        // The new process has read the file before this; the reload must not end with the old one.
        slow.seawall.rewrite(&yaml("two"));
        (drained, busy, slow.seawall.control(&["reload"]))
    });
    assert_eq!(done.code, Some(0), "{done:?}\n{}", slow.seawall.stderr());
    assert_eq!(drained.code, Some(0), "{drained:?}");
    assert!(busy.code == Some(1) && busy.stderr.contains("an upgrade is under way"), "{busy:?}");
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert_ne!(process(&slow.seawall), old);
    assert_eq!((slow.said().as_str(), &status(&slow.seawall)["generation"]), ("two", &2.into()));
    let pools = slow.seawall.control(&["pools", "app", "--json"]);
    let pools: Value = serde_json::from_str(&pools.stdout).expect("JSON");
    assert_eq!(pools["servers"][0]["drained"], true, "{pools}");
    assert_eq!(get(slow.seawall.addr(0), "x", "/", &[]).status, 503, "nobody is left to ask");
}

#[test]
fn a_sighup_to_the_old_process_is_passed_on() {
    let slow = Slow::start(plain());
    let old = process(&slow.seawall);
    let (done, ()) = slow.upgrade_and(|| {
        slow.seawall.rewrite(&yaml("two"));
        for _ in 0..3 {
            kill(old, Signal::SIGHUP).expect("a signal");
        }
    });
    assert_eq!(done.code, Some(0), "{done:?}\n{}", slow.seawall.stderr());
    eventually(DEADLINE, "the new file", || slow.said() == "two");
    assert_ne!(process(&slow.seawall), old);
}

#[test]
fn a_stop_in_the_middle_wins_and_leaves_nobody_behind() {
    for stop in ["api", "now", "signal"] {
        let mut slow = Slow::start(plain());
        let old = process(&slow.seawall);
        let (_, new) = slow.upgrade_and(|| {
            let new = successors(old);
            assert_eq!(new.len(), 1, "{new:?}");
            match stop {
                "api" => assert_eq!(slow.seawall.control(&["stop"]).code, Some(0)),
                "now" => assert_eq!(slow.seawall.control(&["stop", "--now"]).code, Some(0)),
                _ => kill(old, Signal::SIGTERM).expect("a signal"),
            }
            new[0]
        });
        assert_eq!(slow.seawall.wait().code, Some(0), "{stop}");
        eventually(DEADLINE, "the new process to end", || is_gone(new));
        assert!(RawClient::try_tcp(slow.seawall.addr(0)).is_err(), "{stop}: nobody listens");
    }
}

#[test]
fn a_successor_that_hangs_does_not_outlive_a_stop() {
    let mut slow = Slow::start(plain());
    let (program, beside) =
        (slow.seawall.folder().join("seawall-under-test"), slow.seawall.folder().join("next"));
    let script = "#!/usr/bin/env python3
import os, socket, time
end = socket.socket(fileno=os.dup(0))
end.send(b'{\"say\":\"hello\",\"version\":2,\"pid\":%d}' % os.getpid())
end.recvmsg(65536, 4096)
open(os.path.dirname(os.path.abspath(__file__)) + '/holds', 'w').close()
time.sleep(600)
";
    fs::write(&beside, script).expect("a script");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::rename(&beside, &program).expect("another program");
    let old = process(&slow.seawall);
    let hung = std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| slow.seawall.control(&["upgrade"]));
        let holds = slow.seawall.folder().join("holds");
        eventually(DEADLINE, "the successor to have the sockets", || {
            if holds.exists() { Ok(()) } else { Err(slow.seawall.stderr()) }
        });
        let hung = successors(old);
        kill(old, Signal::SIGTERM).expect("a signal");
        assert_eq!(upgrade.join().expect("the command").code, Some(1));
        hung
    });
    assert_eq!(slow.seawall.wait().code, Some(0));
    assert_eq!(hung.len(), 1);
    eventually(DEADLINE, "the successor to be gone", || is_gone(hung[0]));
}

#[test]
fn a_new_process_that_is_told_to_stop_does_not_take_over() {
    let slow = Slow::start(plain());
    let old = process(&slow.seawall);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let (failed, new) = slow.upgrade_and(|| {
            let new = successors(old);
            kill(new[0], signal).expect("a signal");
            new[0]
        });
        assert_eq!(failed.code, Some(1), "{signal}: {failed:?}");
        eventually(DEADLINE, "the new process to be gone", || is_gone(new));
        assert_eq!(status(&slow.seawall)["pid"], old.as_raw(), "{signal}");
        assert_eq!(slow.said(), "one");
    }
    assert_eq!(slow.upgrade_and(|| ()).0.code, Some(0));
}

#[test]
fn a_successor_that_fails_leaves_the_files_of_sockets_alone() {
    let yaml = |more: &str| {
        format!(
            "
listeners: [{{ address: '127.0.0.1:%{{port}}' }}, {{ address: 'unix:%{{dir}}/a.sock' }}{more}]
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
sites: [{{ default: true, routes: [{{ path: /, respond: 200 }}] }}]
"
        )
    };
    let origin = plain();
    let builder = Seawall::with(&yaml(""));
    let program = own_program(builder.folder());
    let seawall = builder.program(&program).start();
    let old = process(&seawall);
    // Taken: the new process has the sockets by the time it finds out.
    seawall.rewrite(&yaml(&format!(", {{ address: '{}' }}", origin.addr())));
    let failed = seawall.control(&["upgrade"]);
    assert!(failed.code == Some(1) && failed.stderr.contains("address already in use"), "{failed:?}");
    let ask = || {
        RawClient::unix(seawall.folder().join("a.sock"))
            .exchange(&Call::get("x", "/"))
            .expect("an answer")
            .status
    };
    assert_eq!(ask(), 200);
    assert_eq!(status(&seawall)["state"], "ready", "and so does the control API");
    seawall.rewrite(&yaml(""));
    assert_eq!(seawall.control(&["upgrade"]).code, Some(0));
    assert_eq!(ask(), 200);
    eventually(DEADLINE, "the old process to end", || is_gone(old));
    let now = process(&seawall);
    kill(now, Signal::SIGTERM).expect("a signal");
    eventually(DEADLINE, "the new process to end", || is_gone(now));
    for left in ["a.sock", "admin.sock"] {
        assert!(!seawall.folder().join(left).exists(), "{left} is left behind");
    }
}

/// A server with a client whose answer waits for `gate`.
fn in_the_middle_of_an_answer(gate: &Gate) -> (Slow, RawClient) {
    let held = gate.clone();
    let slow = Slow::start(Origin::h1(move |_| Reply::new(200).body("first").gate(&held).body("last")));
    let mut long = RawClient::tcp(slow.seawall.addr(0));
    long.call(&Call::get("x", "/long"));
    gate.wait_waiting(1);
    (slow, long)
}

#[test]
fn the_first_signal_to_a_process_with_a_successor_cuts_nobody_off() {
    let gate = Gate::new();
    let held = gate.clone();
    let slow = Slow::start(Origin::h1(move |request| {
        let reply = Reply::new(200).body("first");
        if request.path() == "/long" { reply.gate(&held).body("last") } else { reply }
    }));
    let old = process(&slow.seawall);
    let (mut long, mut longer) = (RawClient::tcp(slow.seawall.addr(0)), RawClient::tcp(slow.seawall.addr(0)));
    long.call(&Call::get("x", "/long"));
    gate.wait_waiting(1);
    assert_eq!(slow.seawall.control(&["upgrade"]).code, Some(0));
    kill(old, Signal::SIGTERM).expect("a signal");
    // It hears the signal before what comes after it, and is still there then.
    kill(old, Signal::SIGHUP).expect("a signal");
    eventually(DEADLINE, "the signal after it to be passed on", || status(&slow.seawall)["generation"] == 2);
    assert!(!is_gone(old));
    gate.open();
    assert_eq!(long.response().text(), "firstlast");
    assert_eq!(longer.exchange(&Call::get("x", "/")).map_or(0, |answer| answer.status), 200);
    drop((long, longer));
    eventually(DEADLINE, "the old process to end", || is_gone(old));
    // The second one does cut.
    let gate = Gate::new();
    let (slow, mut long) = in_the_middle_of_an_answer(&gate);
    let old = process(&slow.seawall);
    assert_eq!(slow.seawall.control(&["upgrade"]).code, Some(0));
    kill(old, Signal::SIGTERM).expect("a signal");
    kill(old, Signal::SIGINT).expect("a signal");
    eventually(DEADLINE, "the old process to end", || is_gone(old));
    assert!(long.read_response("GET").is_err());
    gate.open();
}

const SMALL: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: 'unix:%{dir}/admin.sock' }
sites: [{ default: true, routes: [{ path: /, respond: 200 }] }]
";

#[test]
fn the_new_process_is_nobodys_child_before_it_is_named_the_main_one() {
    let gate = Gate::new();
    let (slow, mut long) = in_the_middle_of_an_answer(&gate);
    let old = process(&slow.seawall);
    assert_eq!(slow.seawall.control(&["upgrade"]).code, Some(0));
    // The old one is still there, and so would be its child.
    assert!(!is_gone(old));
    assert_eq!(children(old), Vec::<Pid>::new());
    let stat = fs::read_to_string(format!("/proc/{}/stat", process(&slow.seawall))).expect("its state");
    let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).expect("its parent");
    assert_ne!(parent, old.to_string());
    gate.open();
    assert_eq!(long.response().text(), "firstlast");
}

#[test]
fn a_folder_that_is_gone_and_a_relative_path_are_no_hindrance() {
    let builder = Seawall::with(SMALL);
    let gone = builder.folder().join("gone");
    fs::create_dir(&gone).expect("a folder");
    let change = format!("cd {} && exec \"$1\" run ../seawall.yaml", gone.display());
    let seawall = builder.through(&["sh", "-c", &change, "sh"]).start();
    assert_eq!(status(&seawall)["file"], seawall.folder().join("gone/../seawall.yaml").display().to_string());
    fs::create_dir(seawall.folder().join("other")).expect("a folder");
    fs::remove_dir(&gone).expect("the folder");
    // `..` of a folder that is gone leads nowhere; the file itself is where it was.
    fs::create_dir(&gone).expect("another folder of that name");
    let before = process(&seawall);
    assert_eq!(seawall.control(&["reload"]).code, Some(0));
    let done = seawall.control(&["upgrade"]);
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    assert_ne!(process(&seawall), before);
}

#[test]
fn without_a_binary_or_descriptors_the_old_process_goes_on() {
    let builder = Seawall::with(SMALL);
    let program = own_program(builder.folder());
    let seawall = builder.program(&program).start();
    let old = process(&seawall);
    fs::remove_file(&program).expect("the binary");
    let said = status(&seawall);
    assert_eq!(said["program"]["replaced"], Value::Null, "{said}");
    let failed = seawall.control(&["upgrade"]);
    assert!(failed.code == Some(1) && failed.stderr.contains("cannot start"), "{failed:?}");
    assert_eq!(own_program(seawall.folder()), program);
    let open = fs::read_dir(format!("/proc/{old}/fd")).expect("its descriptors").count();
    let limit = |count: usize, hard: &str| {
        let nofile = format!("--nofile={count}:{hard}");
        assert_eq!(run("prlimit", &["--pid", &old.to_string(), &nofile]).code, Some(0));
    };
    // One for the command's connection, and then fewer than an upgrade takes.
    for spare in 1..3 {
        limit(open + spare, "");
        let failed = seawall.control(&["upgrade"]);
        assert_eq!(failed.code, Some(1), "{spare}: {failed:?}");
        limit(1000, "");
        assert_eq!(process(&seawall), old, "{spare}");
        assert_eq!(get(seawall.addr(0), "x", "/", &[]).status, 200, "{spare}");
    }
    assert_eq!(seawall.control(&["upgrade"]).code, Some(0));
    let old_one = old;
    let old = process(&seawall);
    assert_ne!(old, old_one);
    eventually(DEADLINE, "the old process to end", || is_gone(old_one));
    // Enough here and not for the next one, which inherits the limit.
    let nofile = ["--pid", &old.to_string(), "--nofile=100:100"];
    assert_eq!(run("prlimit", &nofile).code, Some(0));
    let failed = seawall.control(&["upgrade"]);
    assert!(failed.code == Some(1) && failed.stderr.contains("files may be open"), "{failed:?}");
    assert_eq!((process(&seawall), get(seawall.addr(0), "x", "/", &[]).status), (old, 200));
}

fn version_folder(folder: &Path, name: &str) -> PathBuf {
    let place = folder.join(name);
    fs::create_dir(&place).expect("a folder");
    fs::copy(binary(), place.join("seawall")).expect("a binary");
    place.join("seawall")
}

#[test]
fn a_link_to_the_binary_is_followed_anew_and_a_reload_upgrades_only_where_it_must() {
    let builder = Seawall::with(SMALL);
    let folder = builder.folder().to_owned();
    let (one, two) = (version_folder(&folder, "1.0"), version_folder(&folder, "2.0"));
    let link = folder.join("seawall-link");
    symlink(&one, &link).expect("a link");
    let seawall = builder.program(&link).start();
    let reload = || seawall.control(&["reload", "--upgrade-if-needed"]);
    let first = process(&seawall);
    // The same program under another inode, and another file: neither takes an upgrade.
    let same = folder.join("same");
    fs::copy(&one, &same).expect("a copy");
    fs::rename(&same, &one).expect("a rename");
    assert_eq!(status(&seawall)["program"]["replaced"], false);
    seawall.rewrite(&SMALL.replace("200", "204"));
    let done = reload();
    assert_eq!((done.code, process(&seawall)), (Some(0), first), "{done:?}");
    assert_eq!(get(seawall.addr(0), "x", "/", &[]).status, 204);
    // What is refused is refused, also with a change in it that an upgrade would take.
    seawall.rewrite("server: { threads: 3 }\nsites: {");
    assert_eq!((reload().code, process(&seawall)), (Some(1), first));
    // A setting that waits for an upgrade.
    seawall.rewrite(&format!("{SMALL}server: {{ threads: 3 }}\n"));
    let done = reload();
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    let second = process(&seawall);
    assert_ne!(second, first);
    assert_eq!(status(&seawall)["waiting"], Value::Array(Vec::new()));
    assert_eq!((reload().code, process(&seawall)), (Some(0), second), "and nothing waits after it");
    // Another version, by its link. Its last byte is behind what is run.
    let mut bytes = fs::read(&two).expect("the binary");
    bytes.push(0);
    fs::write(&two, bytes).expect("another binary");
    fs::remove_file(&link).expect("the link");
    symlink(&two, &link).expect("a link");
    assert!(seawall.control(&["status"]).stdout.contains("has been replaced"));
    let done = reload();
    assert_eq!(done.code, Some(0), "{done:?}\n{}", seawall.stderr());
    let third = process(&seawall);
    assert_ne!(third, second);
    assert_eq!(
        fs::read_link(format!("/proc/{third}/exe")).expect("its binary"),
        two.canonicalize().expect("a path")
    );
    let said = status(&seawall);
    assert_eq!(
        (&said["program"]["path"], &said["program"]["replaced"]),
        (&link.display().to_string().into(), &false.into())
    );
}
