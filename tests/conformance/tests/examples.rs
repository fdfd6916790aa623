//! Every example under `conf/` is sound, starts, and serves.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use seawall_testkit::{Child, Pki, Port, RawClient, binary, eventually, get};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What examples with TLS have on a node: a certificate, its key and authority, a token.
fn keys(folder: &Path) {
    let (pki, copy) = (Pki::new(), |from: &Path, to: &str| std::fs::copy(from, folder.join(to)));
    let identity = pki.server(&["shop.example.com", "edge-1.example.net"]);
    std::fs::create_dir_all(folder).expect("a folder");
    copy(&identity.cert, "cert.pem").expect("a certificate");
    copy(&identity.key, "key.pem").expect("a key");
    copy(pki.ca(), "ca.pem").expect("an authority");
    std::fs::write(folder.join("token"), "0123456789abcdef0123456789abcdef").expect("a token");
}

/// Starts an example on free ports and its own files, and hands it to `look` once it listens.
fn with_example(file: &Path, look: impl Fn(&str)) {
    let (http, metrics) = (Port::reserve(), Port::reserve());
    let folder = std::env::temp_dir().join(format!("seawall-example-{}", http.number()));
    std::fs::create_dir_all(&folder).expect("a folder");
    keys(&folder.join("x-tls"));
    let included = format!("include: {}/", root().join("conf/examples").display());
    let text = std::fs::read_to_string(file)
        .expect("an example")
        .replace("0.0.0.0:8080", &http.addr())
        .replace("127.0.0.1:8080", &http.addr())
        .replace("127.0.0.1:9091", &metrics.addr())
        .replace("include: ./", &included)
        .replace("/tmp/seawall-example", &folder.join("x").display().to_string());
    let copy = folder.join("seawall.yaml");
    std::fs::write(&copy, text).expect("a copy");
    let mut command = Command::new(binary());
    command.current_dir(root()).args(["run".as_ref(), copy.as_os_str()]).env_remove("API_SERVER");
    let mut child = Child::spawn(command);
    eventually(Duration::from_secs(15), "the example to listen", || {
        assert!(child.is_running(), "{}: {}", file.display(), child.stderr());
        RawClient::try_tcp(http.addr()).map(drop)
    });
    look(&http.addr());
    child.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(child.wait(Duration::from_secs(30)).code, Some(0), "{}", file.display());
    std::fs::remove_dir_all(&folder).expect("the folder to go");
}

#[test]
fn every_example_starts() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("conf/examples")).expect("examples") {
        let file = entry.expect("an example").path();
        if file.is_dir() {
            continue;
        }
        with_example(&file, |_| ());
        count += 1;
    }
    assert!(count >= 4, "only {count} examples");
}

#[test]
fn the_default_configuration_shows_a_miss_then_a_hit() {
    with_example(&root().join("conf/seawall.yaml"), |address| {
        for expected in ["fwd=uri-miss", "hit"] {
            let response = get(address, "localhost", "/", &[]);
            assert_eq!(response.status, 200);
            assert!(response.header("cache-status").is_some_and(|status| status.contains(expected)));
        }
    });
}
