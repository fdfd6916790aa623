//! What is trusted, tried on real handshakes.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use pingora_core::tls::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVerifyMode, SslVersion};

use super::pool;
use crate::ServerSnapshot;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// `server` for a.example, `client`, and `other`, which signed neither; each its own authority.
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        for (file, name) in [("server", "a.example"), ("client", "client.example"), ("other", "a.example")] {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            std::fs::write(files.path(file, "pem"), made.cert.pem()).unwrap();
            std::fs::write(files.path(file, "key"), made.signing_key.serialize_pem()).unwrap();
        }
        files
    }

    fn path(&self, file: &str, kind: &str) -> PathBuf {
        self.folder.path().join(format!("{file}.{kind}"))
    }

    fn text(&self, file: &str, kind: &str) -> String {
        self.path(file, kind).display().to_string()
    }
}

/// A server that shakes hands and answers 200. Its thread ends with the process of the test.
fn serve(files: &Files, newest: Option<SslVersion>, client_ca: Option<&Path>) -> SocketAddr {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    builder.set_certificate_chain_file(files.path("server", "pem")).unwrap();
    builder.set_private_key_file(files.path("server", "key"), SslFiletype::PEM).unwrap();
    builder.set_max_proto_version(newest).unwrap();
    if let Some(ca) = client_ca {
        builder.set_ca_file(ca).unwrap();
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    let acceptor = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(mut tls) = acceptor.accept(stream) else { continue };
            let mut head = [0; 1024];
            let _ = std::io::Read::read(&mut tls, &mut head);
            let _ = std::io::Write::write_all(&mut tls, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

async fn check(address: SocketAddr, tls: &str) -> ServerSnapshot {
    let pool = pool(&format!(
        "{{ servers: ['{address}'], tls: {{ {tls} }}, health: {{ http: /, unhealthy_threshold: 1 }} }}"
    ));
    pool.check_once().await;
    pool.snapshot().servers[0].clone()
}

#[tokio::test]
async fn only_the_right_certificate_passes() {
    let files = Files::new();
    let address = serve(&files, None, None);
    let (ca, other) = (files.text("server", "pem"), files.text("other", "pem"));
    let twice = files.path("twice", "pem");
    std::fs::write(&twice, std::fs::read_to_string(&ca).unwrap().repeat(2)).unwrap();
    for (tls, passes) in [
        (format!("sni: a.example, ca: {ca}"), true),
        (format!("sni: a.example, ca: {}", twice.display()), true),
        (format!("sni: b.example, ca: {ca}"), false),
        (format!("sni: a.example, ca: {other}"), false),
        ("sni: a.example".to_owned(), false),
        ("sni: a.example, verify: false".to_owned(), true),
        ("verify: false".to_owned(), true),
    ] {
        let server = check(address, &tls).await;
        assert_eq!(server.healthy, passes, "{tls}: {:?}", server.check_error);
    }
}

#[tokio::test]
async fn an_old_version_is_refused() {
    let files = Files::new();
    let address = serve(&files, Some(SslVersion::TLS1_2), None);
    let ca = files.text("server", "pem");
    let fine = check(address, &format!("sni: a.example, ca: {ca}")).await;
    assert!(fine.healthy, "{:?}", fine.check_error);
    let old = check(address, &format!("sni: a.example, ca: {ca}, min_version: 1.3")).await;
    assert!(!old.healthy);
    assert!(old.check_error.as_deref().unwrap().contains("older than TLS 1.3"), "{:?}", old.check_error);
}

#[tokio::test]
async fn our_certificate_is_shown() {
    let files = Files::new();
    let address = serve(&files, None, Some(&files.path("client", "pem")));
    let trusted = format!("sni: a.example, ca: {}", files.text("server", "pem"));
    let with = |who: &str| {
        format!("{trusted}, certificate: {}, key: {}", files.text(who, "pem"), files.text(who, "key"))
    };
    let known = check(address, &with("client")).await;
    assert!(known.healthy, "{:?}", known.check_error);
    assert!(!check(address, &with("other")).await.healthy);
    assert!(!check(address, &trusted).await.healthy);
}
