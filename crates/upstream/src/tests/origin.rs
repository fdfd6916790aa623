//! Servers that answer, lie, hang and disappear.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

/// What an origin does with a request.
#[derive(Clone, Copy)]
pub(super) enum Manner {
    /// Answers with the status it is told.
    Answer,
    /// Reads, and says nothing.
    Hang,
    /// Sends a head that never ends, a byte at a time.
    Trickle,
}

/// A server on loopback that remembers what it was asked.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    pub(super) status: Arc<AtomicU16>,
    pub(super) head: Arc<Mutex<String>>,
    pub(super) accepted: Arc<AtomicUsize>,
}

impl Origin {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self::new(listener.local_addr().unwrap());
        let serving = origin.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serving.clone().serve(stream, manner));
            }
        });
        origin
    }

    pub(super) fn start_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let origin = Self::new(([127, 0, 0, 1], 0).into());
        let serving = origin.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream, Manner::Answer));
            }
        });
        origin
    }

    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            status: Arc::new(AtomicU16::new(200)),
            head: Arc::default(),
            accepted: Arc::default(),
        }
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        *self.head.lock() = String::from_utf8_lossy(&head).into_owned();
        match manner {
            Manner::Answer => {
                let status = self.status.load(Ordering::Relaxed);
                let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\n\r\nhi");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            Manner::Hang => std::future::pending().await,
            Manner::Trickle => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
                while stream.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}

/// A port on which nobody listens.
pub(super) async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
