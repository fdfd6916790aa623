//! TLS: which certificate, which versions, which protocol, resumption, and handshakes that go wrong.

use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora_boringssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslSession, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use pingora_boringssl::tokio_ssl::SslStream;
use rcgen::{CertificateParams, KeyPair};
use seawall_listen::ListenerSettings;
use seawall_tls::{CertificateSettings, TlsSettings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::rig::{PATIENCE, Rig, exchange, fetch_h2, pattern, plain, read_all};

fn issue(folder: &Path, name: &str) -> CertificateSettings {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let file = name.replace('*', "any");
    let (cert_path, key_path) = (folder.join(format!("{file}.pem")), folder.join(format!("{file}.key")));
    fs::write(&cert_path, cert.pem()).unwrap();
    fs::write(&key_path, key.serialize_pem()).unwrap();
    CertificateSettings { cert: cert_path, key: key_path, ocsp: None, default: false }
}

/// A TLS listener with certificates for three names; `yaml` for the rest.
fn listener(yaml: &str) -> (ListenerSettings, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let names = ["www.a.example", "*.a.example", "b.example"];
    let mut certificates: Vec<_> = names.iter().map(|name| issue(folder.path(), name)).collect();
    certificates[2].default = true;
    let extra: TlsSettings = serde_yaml::from_str(yaml).unwrap();
    let mut settings = plain();
    settings.tls = Some(TlsSettings { certificates, ..extra });
    (settings, folder)
}

fn rig(yaml: &str, limits: &str) -> Rig {
    let (settings, _folder) = listener(yaml);
    Rig::start(&settings, limits)
}

/// A client that trusts all and keeps the session it is given.
struct Client {
    context: SslContextBuilder,
    sessions: Arc<Mutex<Option<SslSession>>>,
}

impl Client {
    fn new() -> Self {
        let mut context = SslContext::builder(SslMethod::tls()).unwrap();
        context.set_verify(SslVerifyMode::NONE);
        let sessions = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&sessions);
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT);
        context.set_new_session_callback(move |_, session| *kept.lock() = Some(session));
        Self { context, sessions }
    }

    fn versions(mut self, only: SslVersion) -> Self {
        self.context.set_min_proto_version(Some(only)).unwrap();
        self.context.set_max_proto_version(Some(only)).unwrap();
        self
    }

    fn alpn(mut self, protocols: &[u8]) -> Self {
        self.context.set_alpn_protos(protocols).unwrap();
        self
    }

    fn ready(self) -> Ready {
        Ready { context: self.context.build(), sessions: self.sessions }
    }
}

struct Ready {
    context: SslContext,
    sessions: Arc<Mutex<Option<SslSession>>>,
}

impl Ready {
    async fn connect(&self, rig: &Rig, name: Option<&str>) -> Result<SslStream<TcpStream>, String> {
        let mut ssl = Ssl::new(&self.context).unwrap();
        if let Some(name) = name {
            ssl.set_hostname(name).unwrap();
        }
        if let Some(session) = self.sessions.lock().as_ref() {
            // SAFETY: the session came from a connection of this very context.
            unsafe { ssl.set_session(session) }.unwrap();
        }
        let mut stream = SslStream::new(ssl, rig.connect().await).unwrap();
        let done = timeout(PATIENCE, Pin::new(&mut stream).connect()).await.expect("no handshake");
        done.map(|()| stream).map_err(|error| error.to_string())
    }
}

async fn get(stream: &mut SslStream<TcpStream>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(stream).await
}

fn certificate_name(stream: &SslStream<TcpStream>) -> String {
    let certificate = stream.ssl().peer_certificate().unwrap();
    let names = certificate.subject_alt_names().unwrap();
    names.iter().find_map(|name| name.dnsname().map(ToOwned::to_owned)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_chooses_the_certificate() {
    let rig = rig("{}", "{}");
    let client = Client::new().ready();
    for (name, certificate) in [
        (Some("www.a.example"), "www.a.example"),
        (Some("WWW.A.example"), "www.a.example"),
        (Some("api.a.example"), "*.a.example"),
        (Some("x.api.a.example"), "b.example"),
        (Some("b.example"), "b.example"),
        (Some("unknown.test"), "b.example"),
        (None, "b.example"),
    ] {
        *client.sessions.lock() = None;
        let mut stream = client.connect(&rig, name).await.unwrap();
        assert_eq!(certificate_name(&stream), certificate, "{name:?}");
        assert!(get(&mut stream, "/").await.ends_with("hello"));
    }
    assert_eq!((rig.tally.of("TLSv1.3"), rig.tally.of("full")), (7, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let rig = rig("{}", "{}");
        let client = Client::new().versions(version).ready();
        for expected in [false, true, true] {
            let mut stream = client.connect(&rig, Some("www.a.example")).await.unwrap();
            assert_eq!(stream.ssl().session_reused(), expected, "{version:?}");
            // TLS 1.3 tickets come with the first data.
            get(&mut stream, "/").await;
        }
        assert_eq!((rig.tally.of("full"), rig.tally.of("resumed")), (1, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tickets_nothing_is_resumed() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let rig = rig("session_tickets: false", "{}");
        let client = Client::new().versions(version).ready();
        for _ in 0..2 {
            let mut stream = client.connect(&rig, Some("www.a.example")).await.unwrap();
            get(&mut stream, "/").await;
        }
        assert_eq!(rig.tally.of("resumed"), 0, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_agreed_on() {
    let both = b"\x08http/1.1\x02h2";
    for (yaml, offer, agreed) in [
        ("{}", &both[..], Some(&b"h2"[..])),
        ("{}", b"\x08http/1.1", Some(b"http/1.1")),
        ("{}", b"\x03foo", None),
        ("http2: false", both, Some(b"http/1.1")),
    ] {
        let rig = rig(yaml, "{}");
        let client = Client::new().alpn(offer).ready();
        let stream = client.connect(&rig, Some("b.example")).await.unwrap();
        assert_eq!(stream.ssl().selected_alpn_protocol(), agreed, "{yaml}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_are_refused() {
    let rig = rig("{}", "{}");
    for old in [SslVersion::TLS1, SslVersion::TLS1_1] {
        assert!(Client::new().versions(old).ready().connect(&rig, None).await.is_err());
    }
    rig.tally.reaches("failed_version", 2).await;
    assert!(Client::new().versions(SslVersion::TLS1_2).ready().connect(&rig, None).await.is_ok());
    let strict = self::rig("min_version: 1.3", "{}");
    assert!(Client::new().versions(SslVersion::TLS1_2).ready().connect(&strict, None).await.is_err());
    assert!(Client::new().versions(SslVersion::TLS1_3).ready().connect(&strict, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn ciphers_are_those_that_were_asked_for() {
    let rig = rig("ciphers: [ECDHE-ECDSA-AES256-GCM-SHA384]", "{}");
    let client = Client::new().versions(SslVersion::TLS1_2).ready();
    let stream = client.connect(&rig, None).await.unwrap();
    assert_eq!(stream.ssl().current_cipher().unwrap().name(), "ECDHE-ECDSA-AES256-GCM-SHA384");
    let mut other = Client::new().versions(SslVersion::TLS1_2);
    other.context.set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256").unwrap();
    assert!(other.ready().connect(&rig, None).await.is_err());
    rig.tally.reaches("failed_cipher", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_is_cut() {
    let rig = rig("{}", "{ handshake_timeout: 300ms }");
    let start = Instant::now();
    let mut stream = rig.connect().await;
    // The beginning of a record, and then nothing.
    stream.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
    rig.tally.reaches("failed_timeout", 1).await;
    assert_eq!(rig.gate.snapshot().handshakes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_in_progress_are_capped_and_freed() {
    let rig = rig("{}", "{ max_handshakes: 2 }");
    let held = (rig.connect().await, rig.connect().await);
    rig.tally.reaches("opened", 2).await;
    rig.expect_refusal("127.0.0.1").await;
    rig.tally.reaches("max_handshakes", 1).await;
    drop(held);
    rig.tally.reaches("failed_closed", 2).await;
    rig.tally.reaches("closed", 2).await;
    let mut stream = Client::new().ready().connect(&rig, None).await.unwrap();
    assert!(get(&mut stream, "/").await.ends_with("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tls_is_named() {
    let rig = rig("{}", "{}");
    exchange(rig.connect().await, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    rig.tally.reaches("failed_plain_http", 1).await;
    exchange(rig.connect().await, b"SSH-2.0-OpenSSH_9.2p1\r\nand so on and on").await;
    let failed = || rig.tally.of("failed_version") + rig.tally.of("failed_protocol");
    while failed() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_arrive_whole_over_tls() {
    let rig = rig("{}", "{}");
    let mut stream = Client::new().ready().connect(&rig, None).await.unwrap();
    stream.write_all(b"GET /pattern HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    let body = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(all[body..] == pattern()[..], "{} bytes", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_share_a_connection() {
    let rig = rig("{}", "{}");
    let client = Client::new().alpn(b"\x02h2").ready();
    let stream = client.connect(&rig, Some("b.example")).await.unwrap();
    let bodies = fetch_h2(stream, "/pattern", 4).await;
    assert!(bodies.iter().all(|body| *body == pattern()), "{:?}", bodies.iter().map(Vec::len));
    assert_eq!((rig.tally.of("h2"), rig.tally.of("opened")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_arrive_whole_over_tls() {
    let rig = rig("{}", "{}");
    let mut stream = Client::new().ready().connect(&rig, None).await.unwrap();
    let body = pattern();
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut all = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    assert!(all.ends_with(&body), "{} bytes", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_timed_over_tls_too() {
    let rig = rig("{}", "{ head_timeout: 400ms }");
    let mut stream = Client::new().ready().connect(&rig, None).await.unwrap();
    for _ in 0..5 {
        stream.write_all(b"G").await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 408 "));
    let h2 = Client::new().alpn(b"\x02h2").ready();
    let mut silent = h2.connect(&rig, None).await.unwrap();
    let start = Instant::now();
    let mut buf = [0; 1024];
    while timeout(PATIENCE, silent.read(&mut buf)).await.unwrap().is_ok_and(|read| read > 0) {}
    assert!(start.elapsed() >= Duration::from_millis(350), "{:?}", start.elapsed());
    rig.tally.reaches("head_timeout", 2).await;
}
