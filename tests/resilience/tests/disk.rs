//! The disk tier in a whole process: what a client sees across restarts, kills and purges.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use nix::sys::signal::Signal;
use seawall_testkit::{
    Call, DEADLINE, Origin, Reply, Response, Seawall, body, check_body, eventually, get, request,
};

/// Lengths by path: memory and disk, one chunk and many, a file of its own.
const OBJECTS: [(&str, usize); 5] =
    [("/0", 0), ("/1", 1000), ("/2", 100_000), ("/3", 1_000_000), ("/4", 5_000_000)];

fn origin() -> Origin {
    Origin::h1(|request| {
        let path = request.path();
        let number = path.get(1..2).and_then(|digit| digit.parse::<usize>().ok()).unwrap_or(0);
        let len = OBJECTS.get(number).map_or(10, |object| object.1);
        Reply::ok(body(number as u64, len)).headers(&[
            ("cache-control", "max-age=3600, stale-while-revalidate=7"),
            ("vary", "x-kind"),
            ("x-answer", "original"),
        ])
    })
}

fn seawall(origin: &Origin, more: &str) -> Seawall {
    seawall_that_takes(origin, "all", more)
}

fn seawall_that_takes(origin: &Origin, admission: &str, more: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
cache:
  memory: 8MiB
  disk: { path: '%{dir}/store', size: 64MiB, admission: %{admission} }
  purge: { allow: [127.0.0.1] }
%{more}
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
",
    )
    .set("origin", origin.addr())
    .set("admission", admission)
    .set("more", more)
    .start()
}

fn ask(seawall: &Seawall, path: &str) -> Response {
    get(seawall.addr(0), "example.com", path, &[])
}

fn is_hit(response: &Response) -> bool {
    response.header("cache-status").is_some_and(|status| status.starts_with("seawall; hit"))
}

/// All objects are hits, with the bytes of the origin.
#[track_caller]
fn all_hit(seawall: &Seawall, when: &str) -> Vec<Response> {
    let hit = |(number, (path, len)): (usize, &(&str, usize))| {
        let hit = ask(seawall, path);
        assert!(is_hit(&hit), "{path} {when}: {:?}", hit.header("cache-status"));
        check_body(number as u64, *len, &hit.body).expect("the same bytes");
        hit
    };
    OBJECTS.iter().enumerate().map(hit).collect()
}

/// Waits until everything is in its files.
fn settled(seawall: &Seawall, objects: f64) {
    seawall.wait_metric("seawall_cache_objects", &[("tier", "disk")], objects);
}

#[test]
fn hits_survive_a_stop_and_a_kill() {
    let origin = origin();
    let mut seawall = seawall(&origin, "");
    for (number, (path, len)) in OBJECTS.iter().enumerate() {
        let miss = ask(&seawall, path);
        check_body(number as u64, *len, &miss.body).expect("the origin's body");
        assert!(!is_hit(&miss));
    }
    settled(&seawall, 5.0);
    let asked = origin.count();
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGINT, Signal::SIGKILL] {
        seawall = seawall.restart(signal);
        seawall.wait_metric("seawall_disk_recovered_ratio", &[], 1.0);
        for hit in all_hit(&seawall, &format!("after {signal}")) {
            assert_eq!(hit.header("x-answer"), Some("original"));
            assert!(hit.header("age").is_some(), "what was decided about it is there, too");
        }
        let part = get(seawall.addr(0), "example.com", "/4", &[("Range", "bytes=4000000-4000009")]);
        assert_eq!((part.status, &part.body[..]), (206, &body(4, 5_000_000)[4_000_000..4_000_010]));
        let variant = get(seawall.addr(0), "example.com", "/1", &[("X-Kind", "other")]);
        assert_eq!(is_hit(&variant), signal != Signal::SIGTERM, "a variant is another response");
        settled(&seawall, 6.0);
    }
    assert_eq!(origin.count(), asked + 1, "only the variant was fetched");
}

fn wait_first_requests(seawall: &Seawall, count: f64) {
    let labels = [("tier", "disk"), ("reason", "first_request")];
    seawall.wait_metric("seawall_cache_rejected_total", &labels, count);
}

#[test]
fn a_picky_disk_takes_what_is_asked_for_twice_and_has_it_after_a_restart() {
    let origin = origin();
    let mut seawall = seawall_that_takes(&origin, "second_request", "");
    for (path, _) in OBJECTS {
        let miss = ask(&seawall, path);
        let said = miss.header("cache-status").expect("what the cache did");
        assert_eq!(said.contains("detail=first-request"), path == "/4", "{path}: {said}");
        assert_eq!(said.contains("stored"), path != "/4", "{path}: {said}");
    }
    wait_first_requests(&seawall, 5.0);
    seawall.wait_metric("seawall_disk_written_bytes_total", &[], 0.0);
    settled(&seawall, 0.0);
    for (number, (path, len)) in OBJECTS.iter().enumerate() {
        let second = ask(&seawall, path);
        assert_eq!(is_hit(&second), *path != "/4", "memory has what fits there: {path}");
        check_body(number as u64, *len, &second.body).expect("the origin's body");
    }
    settled(&seawall, 5.0);
    assert_eq!(origin.count(), 6);
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        seawall = seawall.restart(signal);
        seawall.wait_metric("seawall_disk_recovered_ratio", &[], 1.0);
        all_hit(&seawall, &format!("after {signal}"));
    }
    assert_eq!(origin.count(), 6);
}

#[test]
fn a_disk_that_takes_all_takes_the_first_request() {
    let origin = origin();
    let seawall = seawall_that_takes(&origin, "all", "");
    for (path, _) in OBJECTS {
        ask(&seawall, path);
    }
    settled(&seawall, 5.0);
    wait_first_requests(&seawall, 0.0);
}

/// The first goes past the cache; of those who wait for it one stores, and the others read along.
#[test]
fn a_crowd_for_something_large_costs_a_picky_disk_two_fetches() {
    let origin = origin();
    let seawall = seawall_that_takes(&origin, "second_request", "");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&seawall, "/4"))).collect();
        for client in clients {
            let response = client.join().expect("a client");
            check_body(4, 5_000_000, &response.body).expect("the origin's body");
        }
    });
    assert_eq!(origin.count(), 2);
    wait_first_requests(&seawall, 1.0);
    settled(&seawall, 1.0);
}

#[test]
fn no_restart_undoes_a_purge() {
    let origin = origin();
    let mut seawall = seawall(&origin, "");
    for (path, _) in OBJECTS {
        ask(&seawall, path);
    }
    settled(&seawall, 5.0);
    for path in ["/1", "/4"] {
        let purged = request(seawall.addr(0), &Call::new("PURGE", "example.com", path));
        assert_eq!(purged.expect("an answer").status, 200);
    }
    seawall = seawall.restart(Signal::SIGKILL);
    seawall.wait_metric("seawall_disk_recovered_ratio", &[], 1.0);
    for (path, _) in OBJECTS {
        assert_eq!(is_hit(&ask(&seawall, path)), !["/1", "/4"].contains(&path), "{path}");
    }
}

#[test]
fn the_first_answer_does_not_wait_for_the_disk_to_be_read() {
    let origin = origin();
    let seawall = seawall(&origin, "");
    ask(&seawall, "/1");
    settled(&seawall, 1.0);
    let seawall = seawall.restart(Signal::SIGKILL);
    // From the moment it listens; a hit or a miss, but an answer.
    assert_eq!(ask(&seawall, "/1").status, 200);
    eventually(DEADLINE, "a hit", || {
        let response = ask(&seawall, "/1");
        if is_hit(&response) { Ok(()) } else { Err(format!("{:?}", response.header("cache-status"))) }
    });
}

#[test]
fn a_folder_that_is_not_ours_is_refused_with_its_line() {
    let builder = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
cache: { disk: { path: '%{dir}', size: 64MiB } }
sites: [{ hosts: [example.com], routes: [{ path: /, respond: 204 }] }]
",
    );
    let finished = builder.fail();
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("is not empty and is not a Seawall store"), "{}", finished.stderr);
}

#[test]
fn the_folder_can_be_looked_into() {
    let origin = origin();
    let seawall = seawall(&origin, "");
    for (path, _) in OBJECTS {
        ask(&seawall, path);
    }
    settled(&seawall, 5.0);
    let store = seawall.folder().join("store");
    let look = |task: &str| {
        let mut command = std::process::Command::new(seawall_testkit::binary());
        command.args(["store", task]).arg(&store);
        let done = command.output().expect("the binary");
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    for task in ["stats", "verify"] {
        let (code, text) = look(task);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("with 5 records") && text.contains("1 bodies in files"), "{text}");
    }
    assert_eq!(look("dump").1.lines().filter(|line| line.contains("status=200")).count(), 5);
    // One flipped bit in the file of the largest body.
    let sub = std::fs::read_dir(store.join("objects")).expect("bodies").next().expect("one").expect("one");
    let file = std::fs::read_dir(sub.path()).expect("a folder").next().expect("one").expect("one").path();
    let mut bytes = std::fs::read(&file).expect("a body");
    bytes[1_000_000] ^= 1;
    std::fs::write(&file, bytes).expect("a damaged body");
    assert_eq!(look("stats").0, Some(0));
    assert_eq!(look("verify").0, Some(1));
}
