//! A process without file descriptors neither dies nor stays deaf. Alone in its file: the limit is the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::Service;
use seawall_guard::{Limits, LimitsSettings};
use seawall_listen::{AcceptFault, BoundListener, Door, DoorObserver, Gate, ListenerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

struct Greeter;

#[async_trait]
impl ServerApp for Greeter {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        let _ = stream.write_all(b"hello").await;
        let _ = stream.flush().await;
        None
    }
}

#[derive(Default)]
struct Exhausted(AtomicUsize);

impl DoorObserver for Exhausted {
    fn accept_failed(&self, why: AcceptFault) {
        assert_eq!(why, AcceptFault::Exhausted);
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes every descriptor there is.
fn take_all(held: &mut Vec<File>) {
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_descriptors_is_a_pause_not_an_end() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 128, hard).unwrap();
    let settings = LimitsSettings { max_connections: Some(100), ..LimitsSettings::default() };
    let limits = Limits::new(&settings);
    let bound = BoundListener::bind(&ListenerSettings::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let addr = bound.local_addr().unwrap();
    let observer = Arc::new(Exhausted::default());
    let heard: Arc<dyn DoorObserver> = observer.clone();
    let mut door = Door::new("test", Greeter, vec![(bound, heard)], Gate::new(&limits));
    let (_stop, stopped) = watch::channel(false);
    let service = tokio::spawn(async move { door.start_service(None, stopped, 1).await });

    let mut greeted = String::new();
    TcpStream::connect(addr).await.unwrap().read_to_string(&mut greeted).await.unwrap();
    assert_eq!(greeted, "hello");

    let mut held = Vec::new();
    take_all(&mut held);
    held.pop();
    // One for the client; nothing is left to accept it with.
    let mut client = TcpStream::connect(addr).await.unwrap();
    take_all(&mut held);
    timeout(Duration::from_secs(20), async {
        while observer.0.load(Ordering::Relaxed) < 5 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("accept never failed");
    let failures = observer.0.load(Ordering::Relaxed);
    sleep(Duration::from_secs(1)).await;
    let spun = observer.0.load(Ordering::Relaxed) - failures;
    assert!(spun < 50, "{spun} failures a second: it spins");

    held.clear();
    let mut greeted = String::new();
    timeout(Duration::from_secs(5), client.read_to_string(&mut greeted)).await.unwrap().unwrap();
    assert_eq!(greeted, "hello", "the client that waited is served");
    assert!(!service.is_finished());
}
