use std::sync::Arc;

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{MetricsApp, SCRAPES};
use crate::metrics::{BuildInfo, Metrics};

fn app() -> Arc<MetricsApp> {
    let build = BuildInfo { version: "0.1.0", revision: "", pingora: "0.9.1" };
    Arc::new(MetricsApp::new(Arc::new(Metrics::new(build))))
}

/// A loopback connection that Pingora's own loop serves.
async fn connect(app: Arc<MetricsApp>) -> (TcpStream, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let server = tokio::spawn(async move {
        let (_stop, shutdown) = tokio::sync::watch::channel(false);
        let mut stream: Option<pingora_core::protocols::Stream> = Some(Box::new(Stream::from(stream)));
        while let Some(next) = stream.take() {
            let session = ServerSession::new_http1(next);
            let reused = app.process_new_http(session, &shutdown).await;
            stream = reused.map(|reused| reused.consume().0);
        }
    });
    (client, server)
}

/// Sends `request` on a new connection; returns all that comes back until it is closed.
async fn ask(app: Arc<MetricsApp>, request: &str) -> String {
    let (mut client, server) = connect(app).await;
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    server.await.unwrap();
    answer
}

fn split(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap()
}

#[tokio::test]
async fn serves_the_metrics() {
    let answer = ask(app(), "GET /metrics?x HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").await;
    let (head, body) = split(&answer);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let format = format!("content-type: {}; charset=utf-8\r\n", prometheus::TEXT_FORMAT);
    assert!(head.to_lowercase().contains(&format), "{head}");
    assert!(head.to_lowercase().contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("\nseawall_build_info{version=\"0.1.0\""), "{body}");
}

#[tokio::test]
async fn health_and_what_is_not_there() {
    for (request, status, body) in [
        ("GET /healthz", "200", "ok\n"),
        ("GET /", "404", "not found; try /metrics, /livez or /readyz\n"),
        ("GET /metrics/x", "404", "not found; try /metrics, /livez or /readyz\n"),
        ("POST /elsewhere", "404", "not found; try /metrics, /livez or /readyz\n"),
        ("POST /metrics", "405", "only GET and HEAD\n"),
        ("DELETE /healthz", "405", "only GET and HEAD\n"),
    ] {
        let text = format!("{request} HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answer = ask(app(), &text).await;
        let (head, got) = split(&answer);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
        assert_eq!(got, body, "{request}");
        assert_eq!(status == "405", head.to_lowercase().contains("allow: get, head"), "{head}");
    }
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let answer = ask(app(), "HEAD /healthz HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").await;
    let (head, body) = split(&answer);
    assert!(head.starts_with("HTTP/1.1 200 ") && head.to_lowercase().contains("content-length: 3"), "{head}");
    assert_eq!(body, "");
}

/// A body that nobody asked for must not be read as the next request.
#[tokio::test]
async fn a_body_is_not_a_request() {
    let smuggled = "GET /nowhere HTTP/1.1\r\nHost: m\r\n\r\n";
    let length = smuggled.len();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: m\r\nContent-Length: {length}\r\n\r\n{smuggled}");
    let answer = ask(app(), &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_scrape() {
    let (mut client, server) = connect(app()).await;
    for _ in 0..3 {
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: m\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "closed after {answer:?}");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn scrapes_at_once_are_bounded() {
    let app = app();
    let taken = app.scrapes.try_acquire_many(u32::try_from(SCRAPES).unwrap()).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    assert!(ask(Arc::clone(&app), request).await.starts_with("HTTP/1.1 503 "));
    drop(taken);
    assert!(ask(app, request).await.starts_with("HTTP/1.1 200 "));
}
