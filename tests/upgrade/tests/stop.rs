//! The way to the end, and what the service manager hears of it.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use seawall_testkit::{
    Call, Closing, DEADLINE, Gate, H2Client, Origin, RawClient, Reply, Seawall, eventually, get, request,
};

fn slow(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::h1(move |request| {
        let reply = Reply::ok("whole");
        if request.path() == "/slow" { reply.hold(&gate) } else { reply }
    })
}

fn start(origin: &Origin, more: &str) -> Seawall {
    Seawall::with(&format!(
        "
listeners: [{{ address: '127.0.0.1:%{{port}}', h2c: true }}]
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
upstreams: {{ app: {{ servers: ['%{{origin}}'] }} }}
sites: [{{ default: true, routes: [{{ path: /, upstream: app }}] }}]
server: {{ {more} }}
"
    ))
    .set("origin", origin.addr())
    .start()
}

fn ready(seawall: &Seawall) -> (u16, String) {
    let response = get(seawall.metrics_addr(), "localhost", "/readyz", &[]);
    (response.status, response.text().trim().to_owned())
}

#[test]
fn readiness_goes_first_then_new_connections_then_the_last_request() {
    let gate = Gate::new();
    let origin = slow(&gate);
    let mut seawall = start(&origin, "shutdown_delay: 1s, shutdown_timeout: 30s");
    eventually(DEADLINE, "readiness", || (ready(&seawall).0 == 200).then_some(()).ok_or(ready(&seawall).1));
    let (mut active, mut idle) = (RawClient::tcp(seawall.addr(0)), RawClient::tcp(seawall.addr(0)));
    active.call(&Call::get("x", "/slow"));
    gate.wait_waiting(1);
    assert_eq!(idle.exchange(&Call::get("x", "/")).expect("an answer").status, 200);
    seawall.signal(Signal::SIGTERM);
    let left = eventually(DEADLINE, "the process to be unready", || {
        let (status, state) = ready(&seawall);
        if status == 503 { Ok(state) } else { Err(state) }
    });
    assert_eq!(left, "leaving");
    assert_eq!(get(seawall.metrics_addr(), "localhost", "/livez", &[]).status, 200);
    // Requests are still taken, on new connections, too.
    assert_eq!(get(seawall.addr(0), "x", "/", &[]).text(), "whole");
    eventually(DEADLINE, "the listener to close", || RawClient::try_tcp(seawall.addr(0)).is_err());
    assert_eq!(ready(&seawall), (503, "draining".into()));
    // An idle connection may be used once more and is then told to close.
    let last = idle.exchange(&Call::get("x", "/")).expect("an answer on an idle connection");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert_eq!(idle.closing(DEADLINE), Closing::Closed);
    assert!(seawall.is_running());
    gate.open();
    let answer = active.response();
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("whole", Some("close")));
    assert_eq!(seawall.wait().code, Some(0));
}

#[test]
fn http2_gets_goaway_and_its_streams_their_end() {
    let gate = Gate::new();
    let origin = slow(&gate);
    let mut seawall = start(&origin, "shutdown_timeout: 30s");
    let client = H2Client::tcp(seawall.addr(0)).expect("a connection");
    let stream = client.start(&Call::get("x", "/slow")).expect("a stream");
    gate.wait_waiting(1);
    seawall.signal(Signal::SIGTERM);
    eventually(DEADLINE, "the listener to close", || RawClient::try_tcp(seawall.addr(0)).is_err());
    // With the goodbye read no stream can be begun.
    eventually(DEADLINE, "a goodbye", || client.start(&Call::get("x", "/")).is_err());
    gate.open();
    assert_eq!(stream.finish().expect("the whole answer").text(), "whole");
    let _ = client.wait_end();
    assert_eq!(seawall.wait().code, Some(0));
}

#[test]
fn the_limit_and_a_second_signal_cut() {
    for (settings, signals, least) in [
        ("shutdown_timeout: 300ms", 1, Duration::from_millis(300)),
        ("shutdown_timeout: 1h", 2, Duration::ZERO),
        ("shutdown_delay: 1h", 2, Duration::ZERO),
    ] {
        let gate = Gate::new();
        let origin = slow(&gate);
        let mut seawall = start(&origin, settings);
        let mut client = RawClient::tcp(seawall.addr(0));
        client.call(&Call::get("x", "/slow"));
        gate.wait_waiting(1);
        let began = Instant::now();
        seawall.signal(Signal::SIGTERM);
        eventually(DEADLINE, "the process to be unready", || ready_or_gone(&seawall));
        if signals == 2 {
            seawall.signal(Signal::SIGTERM);
        }
        assert_eq!(seawall.wait().code, Some(0), "{settings}");
        assert!(began.elapsed() >= least && began.elapsed() < DEADLINE, "{settings}: {:?}", began.elapsed());
        assert!(client.read_response("GET").is_err());
    }
}

fn ready_or_gone(seawall: &Seawall) -> bool {
    request(seawall.metrics_addr(), &Call::get("localhost", "/readyz"))
        .map_or(true, |answer| answer.status == 503)
}

#[test]
fn it_stops_when_asked_over_the_control_api() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let mut seawall = start(&origin, "shutdown_timeout: 30s");
    assert_eq!(seawall.control(&["stop"]).code, Some(0));
    assert_eq!(seawall.wait().code, Some(0));
    let mut seawall = start(&origin, "shutdown_timeout: 1h");
    let _held = RawClient::tcp(seawall.addr(0));
    assert_eq!(seawall.control(&["stop", "--now"]).code, Some(0));
    assert_eq!(seawall.wait().code, Some(0));
}

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> (Self, String) {
        let folder = seawall_testkit::folder();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        (Self { socket, _folder: folder }, path.display().to_string())
    }

    /// The next message that is not the dog's.
    fn next(&self) -> Vec<String> {
        loop {
            let message = self.message();
            if message != ["WATCHDOG=1"] {
                return message;
            }
        }
    }

    fn message(&self) -> Vec<String> {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_service_manager_hears_of_everything() {
    let (manager, path) = Manager::new();
    let yaml = "
listeners: [{ address: '127.0.0.1:%{port}' }]
sites: [{ default: true, routes: [{ path: /, respond: 200 }] }]
";
    let mut seawall = Seawall::with(yaml).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", 200_000).start();
    let has = |message: &[String], part: &str| message.iter().any(|line| line == part);
    let first = manager.next();
    assert!(has(&first, "READY=1") && has(&first, &format!("MAINPID={}", seawall.pid())), "{first:?}");
    for (file, _) in [(yaml, "good"), ("sites: {", "bad")] {
        seawall.rewrite(file);
        seawall.signal(Signal::SIGHUP);
        let (reloading, done) = (manager.next(), manager.next());
        assert!(has(&reloading, "RELOADING=1"), "{reloading:?}");
        let stamp = reloading.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let stamp: i64 = stamp.expect("a stamp").parse().expect("a number");
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("the clock");
        let now = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000;
        assert!(stamp <= now && now - stamp < 60_000_000, "{stamp} at {now}");
        assert!(has(&done, "READY=1"), "{done:?}");
    }
    eventually(DEADLINE, "the dog to be fed", || manager.message() == ["WATCHDOG=1"]);
    seawall.signal(Signal::SIGTERM);
    let last = manager.next();
    assert!(has(&last, "STOPPING=1"), "{last:?}");
    assert_eq!(seawall.wait().code, Some(0));
}
