//! What cannot start says so in one clear sentence and ends with 1.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use seawall_testkit::{Finished, Pki, Seawall, SeawallBuilder};

const SITE: &str = "
sites: [{ hosts: [example.com], routes: [{ path: /, respond: { body: x } }] }]
";

fn listening(listeners: &str) -> SeawallBuilder {
    Seawall::with(&format!("listeners: [{listeners}]\n{SITE}"))
}

/// The one sentence it ended with.
#[track_caller]
fn sentence(done: &Finished) -> String {
    assert_eq!((done.code, done.signal), (Some(1), None), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    // What is logged on the way begins with its time; the sentence is ours.
    let said: Vec<&str> = done.stderr.lines().filter(|line| line.starts_with("seawall: ")).collect();
    assert_eq!(said.len(), 1, "{}", done.stderr);
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    said[0].to_owned()
}

/// Without the rights of root, whoever runs the tests.
const UNPRIVILEGED: &[&str] = &["setpriv", "--bounding-set=-all", "--inh-caps=-all"];

fn unprivileged(builder: SeawallBuilder) -> SeawallBuilder {
    if nix::unistd::geteuid().is_root() { builder.through(UNPRIVILEGED) } else { builder }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    for yaml in ["{ address: '%{taken}' }", "{ address: '127.0.0.1:%{port}' }, { address: '%{taken}' }"] {
        let said = sentence(&listening(yaml).set("taken", address).fail());
        assert!(said.contains(&format!("cannot listen on {address}: address already in use")), "{said}");
    }
    drop(taken);
    // The control: it is the port that was wrong.
    assert_eq!(listening("{ address: '127.0.0.1:%{port}' }").start().stop().code, Some(0));
}

#[test]
fn a_metrics_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let builder =
        listening("{ address: '127.0.0.1:%{port}' }").set("metrics", taken.local_addr().expect("it"));
    let said = sentence(&builder.fail());
    assert!(said.starts_with("seawall: metrics: cannot listen on 127.0.0.1:"), "{said}");
    assert!(said.contains("address already in use"), "{said}");
}

#[test]
fn a_privileged_port_needs_the_right() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").expect("the sysctl");
    let first: u16 = first.trim().parse().expect("a port");
    assert!(
        first > 1,
        "this machine has no privileged ports: net.ipv4.ip_unprivileged_port_start is {first}"
    );
    let builder = listening(&format!("{{ address: '127.0.0.1:{}' }}", first.min(1024) - 1));
    let said = sentence(&unprivileged(builder).fail());
    assert!(
        said.contains("permission denied — ports below 1024 need root or CAP_NET_BIND_SERVICE"),
        "{said}"
    );
    // The control: without rights an ordinary port is no trouble.
    assert_eq!(unprivileged(listening("{ address: '127.0.0.1:%{port}' }")).start().stop().code, Some(0));
}

#[test]
fn files_that_must_not_be_read_or_written_are_named() {
    let pki = Pki::new();
    let identity = pki.server(&["example.com"]);
    let tls = || {
        listening(
            "{ address: '127.0.0.1:%{port}', tls: { certificates: [{ cert: '%{cert}', key: '%{key}' }] } }",
        )
        .set("cert", identity.cert.display())
        .set("key", identity.key.display())
    };
    let shut = |mode: u32| {
        std::fs::set_permissions(&identity.key, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    shut(0o000);
    let done = unprivileged(tls()).fail();
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains(&identity.key.display().to_string()), "{}", done.stderr);
    assert!(done.stderr.to_lowercase().contains("permission denied"), "{}", done.stderr);
    shut(0o600);
    assert_eq!(unprivileged(tls()).start().stop().code, Some(0), "the control");

    let log = listening("{ address: '127.0.0.1:%{port}' }");
    let folder = log.folder().join("logs");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).expect("a mode");
    let yaml = format!(
        "listeners: [{{ address: '127.0.0.1:%{{port}}' }}]\naccess_log: {{ path: '{}/access.log' }}\n{SITE}",
        folder.display()
    );
    let said = sentence(&unprivileged(Seawall::with(&yaml)).fail());
    assert!(said.contains("cannot open the access log") && said.contains("ermission denied"), "{said}");
}

#[test]
fn without_descriptors_it_does_not_start() {
    let start = |limit: u32| {
        let nofile = format!("--nofile={limit}:{limit}");
        listening("{ address: '127.0.0.1:%{port}' }").through(&["prlimit", &nofile])
    };
    // From standard input, output, error and one file on.
    for limit in [4, 8, 16, 32, 64, 127] {
        let said = sentence(&start(limit).fail());
        assert!(said.contains(&format!("only {limit} files may be open")), "{limit}: {said}");
    }
    assert_eq!(start(128).start().stop().code, Some(0), "the control");
}

#[test]
fn sockets_need_their_folder() {
    let said = sentence(&listening("{ address: 'unix:%{dir}/none/x.sock' }").fail());
    assert!(said.contains("its folder does not exist"), "{said}");
    let builder = listening("{ address: 'unix:%{dir}/file' }");
    std::fs::write(builder.folder().join("file"), "precious").expect("a file");
    let said = sentence(&builder.fail());
    assert!(said.contains("a file that is not a socket has this name"), "{said}");
}
