use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::origin::{Manner, Origin, closed_port};
use super::{NoNames, pool, select, settings, until};
use crate::{Pool, SelectError, ServerSnapshot};

fn only(pool: &Pool) -> ServerSnapshot {
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.servers.len(), 1);
    snapshot.servers[0].clone()
}

/// A pool of one server whose health follows a single check.
fn strict(server: &str, health: &str) -> Pool {
    pool(&format!(
        "{{ servers: ['{server}'], health: {{ healthy_threshold: 1, unhealthy_threshold: 1, {health} }} }}"
    ))
}

#[tokio::test]
async fn a_connection_is_enough_without_http() {
    let origin = Origin::start(Manner::Hang).await;
    let pool = strict(&origin.address.to_string(), "tcp: true");
    pool.check_once().await;
    let server = only(&pool);
    assert!(server.healthy);
    assert_eq!((server.checks_passed, server.checks_failed, server.check_error), (1, 0, None));
}

#[tokio::test]
async fn nobody_listening_is_unhealthy() {
    let pool = strict(&closed_port().await.to_string(), "");
    assert!(only(&pool).healthy, "until checked");
    pool.check_once().await;
    let server = only(&pool);
    assert!(!server.healthy);
    assert!(server.check_error.unwrap().to_lowercase().contains("refused"));
    assert_eq!(select(&pool).err(), Some(SelectError::NoServer));
    assert_eq!(pool.snapshot().no_server, 1);
}

#[tokio::test]
async fn without_checks_every_server_is_healthy() {
    let pool = pool(&format!("servers: ['{}']", closed_port().await));
    pool.check_once().await;
    assert!(only(&pool).healthy);
}

#[tokio::test]
async fn the_status_decides() {
    let origin = Origin::start(Manner::Answer).await;
    let pool = strict(&origin.address.to_string(), "http: { path: /up, expected_statuses: [204, 300-399] }");
    for (status, healthy) in [(204, true), (200, false), (302, true), (500, false), (399, true), (404, false)]
    {
        origin.status.store(status, Ordering::Relaxed);
        pool.check_once().await;
        assert_eq!(only(&pool).healthy, healthy, "{status}");
    }
    assert_eq!(only(&pool).checks_failed, 3);
}

#[tokio::test]
async fn the_request_is_as_it_is_set() {
    let origin = Origin::start(Manner::Answer).await;
    let address = origin.address.to_string();
    for (yaml, wanted) in [
        (
            "http: { path: '/up?full=1', method: HEAD, host: app.example }",
            ["HEAD /up?full=1 HTTP/1.1", "Host: app.example"],
        ),
        ("http: /", ["GET / HTTP/1.1", &format!("Host: {address}")]),
    ] {
        strict(&address, yaml).check_once().await;
        let head = origin.head.lock().clone();
        for line in wanted {
            assert!(head.lines().any(|l| l.eq_ignore_ascii_case(line)), "no {line} in {head}");
        }
    }
    let hosted = settings(&format!("{{ servers: ['{address}'], host: h.example, health: {{ http: / }} }}"));
    Pool::new("test", &hosted, Arc::new(NoNames)).unwrap().check_once().await;
    assert!(origin.head.lock().contains("h.example"));
}

#[tokio::test]
async fn silence_and_trickling_run_into_the_timeout() {
    for manner in [Manner::Hang, Manner::Trickle] {
        let origin = Origin::start(manner).await;
        let pool = strict(&origin.address.to_string(), "http: /, timeout: 100ms");
        let started = Instant::now();
        pool.check_once().await;
        assert!(started.elapsed() < Duration::from_secs(5));
        let server = only(&pool);
        assert!(!server.healthy);
        assert!(server.check_error.unwrap().contains("did not end within 100ms"));
    }
}

#[tokio::test]
async fn unix_sockets_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let pool = strict(&format!("unix:{}", path.display()), "http: /");
    pool.check_once().await;
    assert!(!only(&pool).healthy, "nobody is there yet");
    let origin = Origin::start_unix(&path);
    pool.check_once().await;
    assert!(only(&pool).healthy);
    assert!(origin.head.lock().to_lowercase().contains("host: localhost"));
}

#[tokio::test]
async fn http2_servers_are_checked_over_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let fine = request.uri().path() == "/up" && request.uri().host() == Some("app.example");
                    let answer =
                        http::Response::builder().status(if fine { 200 } else { 500 }).body(()).unwrap();
                    respond.send_response(answer, false).unwrap().send_data(Bytes::new(), true).unwrap();
                }
            });
        }
    });
    let h2 = pool(&format!(
        "{{ servers: ['{address}'], protocol: http2, host: app.example,
           health: {{ http: /up, healthy_threshold: 1, unhealthy_threshold: 1, jitter_percent: 0 }} }}"
    ));
    h2.check_once().await;
    assert!(only(&h2).healthy, "{:?}", only(&h2).check_error);
    h2.check_once().await;
    assert_eq!(accepted.load(Ordering::Relaxed), 2, "each check has a connection of its own");
    // The negative control: HTTP/1.1 is not what it speaks.
    let h1 = strict(&address.to_string(), "http: /up, timeout: 500ms");
    h1.check_once().await;
    assert!(!only(&h1).healthy);
}

#[tokio::test]
async fn thresholds_count_checks_in_a_row() {
    let origin = Origin::start(Manner::Answer).await;
    let pool = pool(&format!(
        "{{ servers: ['{}'], health: {{ http: /, healthy_threshold: 2, unhealthy_threshold: 3, jitter_percent: 0 }} }}",
        origin.address
    ));
    let script = [
        (500, true),
        (500, true),
        (200, true),
        (500, true),
        (500, true),
        (500, false),
        (200, false),
        (500, false),
        (200, false),
        (200, true),
    ];
    for (round, (status, healthy)) in script.into_iter().enumerate() {
        origin.status.store(status, Ordering::Relaxed);
        pool.check_once().await;
        assert_eq!(only(&pool).healthy, healthy, "after round {round}");
    }
}

#[tokio::test]
async fn each_server_has_its_own_health() {
    let (good, bad) = (Origin::start(Manner::Answer).await, closed_port().await);
    let pool =
        pool(&format!("{{ servers: ['{bad}', '{}'], health: {{ unhealthy_threshold: 1 }} }}", good.address));
    pool.check_once().await;
    for _ in 0..20 {
        assert_eq!(select(&pool).unwrap().server(), good.address.to_string());
    }
}

#[tokio::test]
async fn every_check_has_a_connection_of_its_own() {
    let origin = Origin::start(Manner::Answer).await;
    let pool = strict(&origin.address.to_string(), "http: /, jitter_percent: 0");
    for _ in 0..3 {
        pool.check_once().await;
    }
    assert_eq!(origin.accepted.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn running_follows_a_server_down_and_up_and_stops() {
    let origin = Origin::start(Manner::Answer).await;
    let pool = Arc::new(strict(&origin.address.to_string(), "http: /, interval: 10ms, timeout: 5s"));
    let (stop, shutdown) = watch::channel(false);
    let running = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run(shutdown).await }
    });
    until("checked", || only(&pool).checks_passed > 2).await;
    origin.status.store(503, Ordering::Relaxed);
    until("down", || select(&pool).is_err()).await;
    origin.status.store(200, Ordering::Relaxed);
    until("up", || select(&pool).is_ok()).await;
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(10), running).await.expect("run must end").unwrap();
}

#[tokio::test]
async fn running_ends_at_once_with_nothing_to_do() {
    let (_stop, shutdown) = watch::channel(false);
    let pool = pool("servers: [127.0.0.1:1]");
    tokio::time::timeout(Duration::from_secs(10), pool.run(shutdown)).await.expect("run must end");
}
