//! Certificates are exchanged under load, and sessions outlive restarts.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use seawall_test_upgrade::rounds;
use seawall_testkit::{Call, DEADLINE, Identity, Pki, Seawall, TlsClient, eventually, run};

const YAML: &str = "
listeners:
  - address: '127.0.0.1:%{port}'
    tls: { certificates: [{ cert: '%{dir}/site.pem', key: '%{dir}/site.key', ocsp: '%{dir}/site.ocsp' }] }
admin: { listen: 'unix:%{dir}/admin.sock' }
tls: { watch: 100ms, ticket_keys: '%{dir}/tickets' }
sites: [{ default: true, routes: [{ path: /, respond: 200 }] }]
";

/// Puts a file into its place at once, as every good tool does.
fn put(from: &Path, to: &Path) {
    let beside = to.with_extension("part");
    fs::copy(from, &beside).expect("a copy");
    fs::rename(&beside, to).expect("a rename");
}

fn install(identity: &Identity, folder: &Path) {
    put(&identity.cert, &folder.join("site.pem"));
    put(&identity.key, &folder.join("site.key"));
}

fn start(identity: &Identity) -> Seawall {
    let builder = Seawall::with(YAML);
    install(identity, builder.folder());
    builder.start()
}

/// The names of the certificate that a client is shown.
fn shown(seawall: &Seawall, pki: &Pki) -> Vec<String> {
    let client = TlsClient::new("a.example", pki.ca()).connect(seawall.addr(0)).expect("a handshake");
    client.tls().map(|info| info.peer_names.clone()).unwrap_or_default()
}

/// Handshakes without a pause, each a full one.
struct Handshakes {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Handshakes {
    fn start(seawall: &Seawall, pki: &Pki) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let client = || {
            let (address, stop) = (seawall.addr(0).to_owned(), Arc::clone(&stop));
            let client = TlsClient::new("a.example", pki.ca());
            move || {
                let (mut good, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match client.connect(&address) {
                        Ok(_) => good += 1,
                        Err(error) => failed.push(error.to_string()),
                    }
                }
                (good, failed)
            }
        };
        Self { clients: (0..2).map(|_| std::thread::spawn(client())).collect(), stop }
    }

    fn finish(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut good, mut failed) = (0, Vec::new());
        for client in self.clients {
            let (some, others) = client.join().expect("a client");
            good += some;
            failed.extend(others);
        }
        (good, failed)
    }
}

#[test]
fn half_a_pair_never_fails_a_handshake() {
    let pki = Pki::new();
    // A few are enough: what counts is that each differs from the one before.
    let identities: Vec<Identity> =
        (0..5).map(|number| pki.server(&["a.example", &format!("number-{number}.example")])).collect();
    let of = |number: u32| (&identities[number as usize % 5], format!("number-{}.example", number % 5));
    let seawall = start(of(0).0);
    let site = [("certificate", &*seawall.folder().join("site.pem").display().to_string())];
    let handshakes = Handshakes::start(&seawall, &pki);
    for number in 1..=rounds(6, 1000) {
        let ((next, now), (_, before)) = (of(number), of(number - 1));
        // First one half, on either side, long enough to be seen.
        if number % 2 == 0 {
            put(&next.cert, &seawall.folder().join("site.pem"));
        } else {
            put(&next.key, &seawall.folder().join("site.key"));
        }
        seawall.wait_metric("seawall_tls_certificate_stale", &site, 1.0);
        assert!(shown(&seawall, &pki).contains(&before), "half of {number}");
        install(next, seawall.folder());
        eventually(DEADLINE, "the new certificate", || shown(&seawall, &pki).contains(&now));
        seawall.wait_metric("seawall_tls_certificate_stale", &site, 0.0);
    }
    let (good, failed) = handshakes.finish();
    println!("{} pairs exchanged half by half, {good} handshakes, {} failed", rounds(6, 1000), failed.len());
    assert!(
        failed.is_empty() && good > 50,
        "{} of {good}: {:#?}",
        failed.len(),
        &failed[..failed.len().min(5)]
    );
    let renewed = seawall.metrics().get("seawall_tls_certificate_renewals_total", &[("result", "ok")]);
    assert!(renewed >= f64::from(rounds(6, 1000)), "{renewed}");
}

#[test]
fn a_handshake_that_fails_is_noticed() {
    let pki = Pki::new();
    let mut seawall = start(&pki.server(&["a.example"]));
    let handshakes = Handshakes::start(&seawall, &pki);
    assert!(!shown(&seawall, &pki).is_empty());
    seawall.signal(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(seawall.wait().signal, Some(9));
    assert!(TlsClient::new("a.example", pki.ca()).connect(seawall.addr(0)).is_err());
    let (_, failed) = handshakes.finish();
    assert!(!failed.is_empty());
}

#[test]
fn dates_that_do_not_hold_and_torn_files_are_refused() {
    let pki = Pki::new();
    let good = pki.server(&["a.example", "good.example"]);
    let seawall = start(&good);
    let expired = pki.expired(&["a.example", "expired.example"]);
    let site = [("certificate", &*seawall.folder().join("site.pem").display().to_string())];
    let until = seawall.metrics().get("seawall_tls_certificate_not_after_timestamp_seconds", &site);
    assert!(until > 1.7e9, "{until}");
    let torn = |bytes: &[u8]| fs::write(seawall.folder().join("site.pem"), bytes).expect("a torn file");
    let whole = fs::read(&good.cert).expect("the certificate");
    for (what, break_it) in [
        ("expired", Box::new(|| install(&expired, seawall.folder())) as Box<dyn Fn()>),
        ("empty", Box::new(|| torn(b""))),
        ("half", Box::new(|| torn(&whole[..whole.len() / 4]))),
        ("gone", Box::new(|| fs::remove_file(seawall.folder().join("site.pem")).expect("the file"))),
    ] {
        break_it();
        seawall.wait_metric("seawall_tls_certificate_stale", &site, 1.0);
        assert!(shown(&seawall, &pki).contains(&"good.example".to_owned()), "{what}");
        assert_eq!(seawall.control(&["reload"]).code, Some(if what == "expired" { 0 } else { 1 }), "{what}");
        install(&good, seawall.folder());
        assert_eq!(seawall.control(&["reload"]).code, Some(0), "{what}");
        seawall.wait_metric("seawall_tls_certificate_stale", &site, 0.0);
    }
}

#[test]
fn sessions_are_resumed_after_a_reload_and_a_restart() {
    let pki = Pki::new();
    let identity = pki.server(&["a.example"]);
    let seawall = start(&identity);
    let keys = seawall.folder().join("tickets");
    assert_eq!(fs::metadata(&keys).expect("the key file").permissions().mode() & 0o777, 0o600);
    let old_address = seawall.addr(0).to_owned();
    for versions in [("1.2", "1.2"), ("1.3", "1.3")] {
        let client = TlsClient::builder("a.example").ca(pki.ca()).versions(versions.0, versions.1).build();
        let visit = |client: &TlsClient, address: &str| {
            let mut connection = client.connect(address).expect("a handshake");
            assert_eq!(connection.exchange(&Call::get("a.example", "/")).expect("an answer").status, 200);
            connection.tls().is_some_and(|info| info.resumed)
        };
        assert!(!visit(&client, &old_address));
        assert!(client.has_session());
        assert!(visit(&client.resume(), &old_address), "{versions:?} at once");
        assert_eq!(seawall.control(&["reload"]).code, Some(0));
        assert!(visit(&client.resume(), &old_address), "{versions:?} after a reload");
        // Another process with the same file; and one with a file of its own, which must not know the session.
        let other = Seawall::with(&YAML.replace("%{dir}/tickets", "%{keys}")).set("keys", keys.display());
        install(&identity, other.folder());
        let other = other.start();
        assert!(visit(&client.resume(), other.addr(0)), "{versions:?} at another process");
        let stranger = start(&identity);
        assert!(!visit(&client.resume(), stranger.addr(0)), "{versions:?} at a stranger");
    }
}

#[test]
fn an_ocsp_answer_is_stapled_as_soon_as_it_is_there() {
    let pki = Pki::new();
    let seawall = start(&pki.server(&["a.example"]));
    let asked = || {
        let address = seawall.addr(0);
        run(
            "sh",
            &[
                "-c",
                &format!("echo | openssl s_client -connect {address} -servername a.example -status 2>&1"),
            ],
        )
        .stdout
    };
    assert!(asked().contains("OCSP response: no response sent"));
    // As short as a successful answer can be; a client would refuse it, but shows that it was sent.
    let answer = [
        &[0x30, 0x0e, 0x0a, 0x01, 0x00, 0xa0, 0x09][..],
        &[0x30, 0x07, 0x06, 0x03, 0x2a, 0x03, 0x04, 0x04, 0x00],
    ]
    .concat();
    let file = seawall.folder().join("site.ocsp");
    fs::write(&file, b"nonsense").expect("a file");
    fs::write(seawall.folder().join("ocsp.part"), &answer).expect("a file");
    fs::rename(seawall.folder().join("ocsp.part"), &file).expect("a rename");
    eventually(DEADLINE, "the answer to be stapled", || {
        let said = asked();
        if said.contains("no response sent") { Err(said) } else { Ok(()) }
    });
}
