//! Unix sockets on both sides.

use std::os::unix::fs::PermissionsExt;

use crate::rig::wait_up;
use seawall_testkit::{Call, Origin, RawClient, Reply, Seawall, eventually, get};

const BOTH: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }, { address: 'unix:%{dir}/front.sock', mode: '0600' }]
upstreams: { app: { servers: ['unix:%{dir}/app.sock'], health: { http: /healthz, interval: 50ms, timeout: 1s, healthy_threshold: 1, unhealthy_threshold: 1 } } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: on }] }]
";

#[test]
fn requests_come_and_go_over_unix_sockets() {
    let builder = Seawall::with(BOTH);
    let app = format!("unix:{}/app.sock", builder.folder().display());
    let mut origin =
        Origin::builder(|request| Reply::ok(request.body.clone()).header("cache-control", "max-age=60"))
            .at(&app)
            .start();
    let seawall = builder.start();
    let front = seawall.folder().join("front.sock");
    let mode = std::fs::metadata(&front).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let told = Call::post("example.com", "/a", "over a socket").header("X-Forwarded-For", "192.0.2.7");
    let mut client = RawClient::unix(&front);
    for _ in 0..3 {
        let response = client.exchange(&told).expect("an answer");
        assert_eq!((response.status, response.text().as_str()), (200, "over a socket"));
    }
    let seen = origin.requests_for("/a").pop().expect("a request");
    assert_eq!(seen.header("x-forwarded-for"), Some("192.0.2.7"), "a local peer is believed");
    let line = seawall.wait_log(|line| line["uri"] == "/a");
    assert_eq!((&line["client"], &line["server"]), (&"192.0.2.7".into(), &app.as_str().into()));
    let over_tcp = get(seawall.addr(0), "example.com", "/b", &[("X-Forwarded-For", "192.0.2.7")]);
    assert_eq!(over_tcp.status, 200);
    let hit = RawClient::unix(&front).exchange(&Call::get("example.com", "/b")).expect("an answer");
    assert!(hit.header("cache-status").is_some_and(|status| status.contains("hit")), "one cache for both");

    origin.stop();
    wait_up(&seawall, &app, false);
    assert_eq!(get(seawall.addr(0), "example.com", "/c", &[]).status, 503);
    let _again = origin.again().start();
    wait_up(&seawall, &app, true);
    assert_eq!(get(seawall.addr(0), "example.com", "/c", &[]).status, 200);

    assert_eq!(seawall.stop().code, Some(0));
}

#[test]
fn a_socket_of_a_killed_process_is_taken_over_and_removed_at_the_end() {
    let yaml = "
listeners: [{ address: 'unix:%{socket}' }]
sites: [{ default: true, routes: [{ path: /, respond: { body: '%{name}' } }] }]
";
    let folder = Seawall::with(yaml);
    let socket = folder.folder().join("front.sock");
    let start = |name: &str| Seawall::with(yaml).set("socket", socket.display()).set("name", name).start();
    let ask = || RawClient::unix(&socket).exchange(&Call::get("x.example", "/")).expect("an answer").text();
    let mut first = start("first");
    assert_eq!(ask(), "first");
    let second = Seawall::with(yaml).set("socket", socket.display()).set("name", "second").fail();
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("a process listens on this socket already"), "{}", second.stderr);
    first.signal(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(first.wait().signal, Some(9));
    assert!(socket.exists(), "nobody could take it away");
    let third = start("third");
    assert_eq!(ask(), "third");
    assert_eq!(third.stop().code, Some(0));
    eventually(seawall_testkit::DEADLINE, "the socket to go", || !socket.exists());
}

#[test]
fn a_missing_socket_is_a_502_and_no_wait() {
    let seawall = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['unix:%{dir}/nobody.sock'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
",
    )
    .start();
    let response = get(seawall.addr(0), "example.com", "/", &[]);
    assert_eq!(response.status, 502);
    assert!(!response.text().contains("nobody.sock"), "no origin in the error");
}
