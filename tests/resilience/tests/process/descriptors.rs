//! A process that runs out of file descriptors waits, tells, and recovers.

use std::time::Duration;

use seawall_testkit::{Call, Closing, Origin, RawClient, Reply, Seawall, eventually, get, run};

/// Leaves the process so many descriptors beside those it has open.
fn limit(seawall: &Seawall, spare: usize) {
    let pid = seawall.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count();
    let nofile = format!("--nofile={0}:{0}", open + spare);
    assert_eq!(run("prlimit", &["--pid", &pid, &nofile]).code, Some(0));
}

fn served(client: &mut RawClient, path: &str) -> Result<u16, String> {
    client
        .deadline(Duration::from_secs(2))
        .exchange(&Call::get("example.com", path))
        .map(|response| response.status)
        .map_err(|error| error.to_string())
}

#[test]
fn without_descriptors_new_connections_wait_and_are_served_when_there_are_some() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let seawall = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
limits: { max_connections: 1000, head_timeout: 30s }
upstreams: { app: { servers: ['%{origin}'], retries: { attempts: 0 } } }
sites:
  - hosts: [example.com]
    routes: [{ path: /here, respond: { body: here } }, { path: /, upstream: app }]
",
    )
    .set("origin", origin.addr())
    .start();
    seawall.wait_metric("seawall_connections", &[], 0.0);
    limit(&seawall, 20);
    // More than it can take: the last ones wait in the system's queue.
    let mut clients: Vec<RawClient> = (0..40).map(|_| RawClient::tcp(seawall.addr(0))).collect();
    eventually(seawall_testkit::DEADLINE, "the log to say so", || {
        seawall.stderr().contains("cannot accept connections")
    });
    assert_eq!(served(&mut clients[0], "/here"), Ok(200), "those inside are served");
    let no_descriptor = served(&mut clients[1], "/there").expect("an answer");
    assert!((500..=503).contains(&no_descriptor), "a connection to the origin needs one: {no_descriptor}");
    let last = clients.last_mut().expect("a client");
    assert_eq!(last.closing(Duration::from_millis(200)), Closing::Open, "it waits");

    let mut waiting = clients.split_off(30);
    drop(clients);
    for client in &mut waiting {
        assert_eq!(client.exchange(&Call::get("example.com", "/here")).expect("an answer").status, 200);
    }
    drop(waiting);
    assert_eq!(get(seawall.addr(0), "example.com", "/there", &[]).text(), "x");
    let metrics = seawall.metrics();
    let failed = metrics.get("seawall_connections_refused_total", &[("reason", "exhausted")]);
    assert!(failed >= 1.0, "{}", metrics.show("seawall_connections_refused_total"));
    assert!(!seawall.stderr().contains("panicked"), "{}", seawall.stderr());
    assert_eq!(seawall.stop().code, Some(0));
}
