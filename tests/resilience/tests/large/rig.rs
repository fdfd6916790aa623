//! An origin of large bodies that are made while they are sent, and readers that check them while they come.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as Plain};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use seawall_testkit::{DEADLINE, Seawall, body};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BLOCK: usize = 1 << 20;
/// What may wait to be written of a large body, in bytes.
pub(crate) const FILL_BUFFER: u64 = 16 << 20;
const PAGE: usize = 4096;
/// However slow the machine: without a byte for so long something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The size of the large object in MiB.
pub(crate) fn large() -> u64 {
    std::env::var("SEAWALL_LARGE")
        .ok()
        .map_or(48, |mib| mib.parse().expect("SEAWALL_LARGE is a number of MiB"))
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    // Both ends of a thousand connections may be here, as far as the test is concerned.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192), hard);
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A MiB of noise.
fn noise() -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    NOISE.get_or_init(|| body(7, BLOCK))
}

/// What stands at the head of each page, so that no two are alike.
fn stamp(page: u64) -> [u8; 8] {
    page.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()
}

/// The bytes from `at` on of a body without an end: noise, with a stamp on each page.
pub(crate) fn bytes(at: u64, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + PAGE);
    let first = at / PAGE as u64;
    let skip = (at % PAGE as u64) as usize;
    for page in first.. {
        if bytes.len() >= skip + count {
            break;
        }
        let in_block = (page % (BLOCK / PAGE) as u64) as usize * PAGE;
        bytes.extend_from_slice(&stamp(page));
        bytes.extend_from_slice(&noise()[in_block + 8..in_block + PAGE]);
    }
    bytes.drain(..skip);
    bytes.truncate(count);
    bytes
}

/// Panics unless `bytes` are those from `at` on.
pub(crate) fn check(at: u64, bytes: &[u8]) {
    let mut seen = 0;
    while seen < bytes.len() {
        let at = at + seen as u64;
        let (page, skip) = (at / PAGE as u64, (at % PAGE as u64) as usize);
        let count = (PAGE - skip).min(bytes.len() - seen);
        let got = &bytes[seen..seen + count];
        let in_block = (page % (BLOCK / PAGE) as u64) as usize * PAGE + skip;
        let stamped = 8usize.saturating_sub(skip).min(count);
        let right = got[..stamped] == stamp(page)[skip.min(8)..(skip + stamped).min(8)]
            && got[stamped..] == noise()[in_block + stamped..in_block + count];
        assert!(right, "wrong bytes at {at}");
        seen += count;
    }
}

/// Answers `/object` with the large body, `/small` with 200 KiB of it, and holds the body back until it may go.
pub(crate) struct Bodies {
    address: String,
    count: Arc<AtomicUsize>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Bodies {
    fn start(mib: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new((Mutex::new(false), Condvar::new())));
        let (counter, at_gate) = (Arc::clone(&count), Arc::clone(&gate));
        // It ends with the process.
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (counter, at_gate) = (Arc::clone(&counter), Arc::clone(&at_gate));
                std::thread::spawn(move || serve(socket, mib << 20, &counter, &at_gate));
            }
        });
        Self { address, count, gate }
    }

    /// Requests for bodies so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Lets bodies go.
    pub(crate) fn go(&self) {
        *self.gate.0.lock().expect("the gate") = true;
        self.gate.1.notify_all();
    }
}

fn serve(mut socket: Plain, len: u64, count: &AtomicUsize, gate: &(Mutex<bool>, Condvar)) -> Option<()> {
    let mut head = Vec::new();
    loop {
        let mut byte = [0; 1024];
        let read = socket.read(&mut byte).ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&byte[..read]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let len = match std::mem::take(&mut head) {
            head if head.starts_with(b"GET /object ") => len,
            head if head.starts_with(b"GET /small ") => 200 << 10,
            _ => {
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=9\r\n\r\nhi")
                    .ok()?;
                continue;
            }
        };
        count.fetch_add(1, SeqCst);
        let fields =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nCache-Control: max-age=9999\r\n\r\n");
        socket.write_all(fields.as_bytes()).ok()?;
        let open = gate.0.lock().expect("the gate");
        drop(gate.1.wait_while(open, |open| !*open));
        let mut sent = 0;
        while sent < len {
            let block = bytes(sent, BLOCK.min((len - sent) as usize));
            socket.write_all(&block).ok()?;
            sent += block.len() as u64;
        }
    }
}

/// A seawall with little memory and a disk, before such an origin.
pub(crate) struct Rig {
    pub(crate) origin: Bodies,
    pub(crate) seawall: Seawall,
}

impl Rig {
    pub(crate) fn start(mib: u64) -> Self {
        Self::with_read_buffer(mib, 1)
    }

    /// The same with so many MiB for what clients do not take.
    pub(crate) fn with_read_buffer(mib: u64, read_buffer: u64) -> Self {
        let origin = Bodies::start(mib);
        let seawall = Seawall::with(
            "
listeners: [{ address: '127.0.0.1:%{port}' }]
limits: { max_connections_per_address: 4000, write_timeout: 1h, min_send_rate: 0 }
cache:
  memory: 16MiB
  memory_object: 256KiB
  max_object: %{large}MiB
  purge: { allow: [127.0.0.1] }
  disk:
    path: '%{dir}/store'
    size: %{disk}MiB
    fill_patience: 1h
    fill_buffer: %{fill_buffer}
    read_buffer: %{read_buffer}MiB
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [large.example], routes: [{ path: /, upstream: app, cache: { range_requests: whole } }] }]
",
        )
        .set("origin", &origin.address)
        .set("large", mib.max(1))
        .set("fill_buffer", FILL_BUFFER)
        .set("read_buffer", read_buffer)
        // What is freed goes back to the system at once, so that what the process has is what it holds.
        .env("MIMALLOC_PURGE_DELAY", 0)
        .set("disk", mib + mib / 4 + 256)
        .start();
        Self { origin, seawall }
    }

    /// So many connections that have each had an answer.
    pub(crate) async fn readers(&self, count: usize) -> Vec<Reader> {
        let mut readers = Vec::with_capacity(count);
        for _ in 0..count {
            let mut reader = Reader { socket: connect(self.seawall.addr(0)).await, rest: Vec::new() };
            reader.ask("/hello", "").await;
            reader.head("200").await;
            assert_eq!(reader.exactly(2).await, b"hi");
            readers.push(reader);
        }
        readers
    }

    /// Until so many requests are under way.
    pub(crate) async fn all_asked(&self, count: usize) {
        let began = std::time::Instant::now();
        loop {
            let now = self.seawall.metrics().get("seawall_http_requests_in_flight", &[]);
            if now >= count as f64 && self.origin.count() > 0 {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{now} of {count} requests are under way");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Until the object is on the disk and nobody finds it as a fill any more.
    pub(crate) fn stored(&self) {
        self.seawall.wait_metric("seawall_cache_fills_in_flight", &[("tier", "memory")], 0.0);
        self.seawall.wait_metric("seawall_disk_files", &[], 1.0);
    }

    fn status(&self, field: &str) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", self.seawall.pid())).expect("the process");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// Resident memory in bytes; the most of it is counted from now on.
    pub(crate) fn memory_from_now_on(&self) -> u64 {
        let file = format!("/proc/{}/clear_refs", self.seawall.pid());
        std::fs::write(file, "5").expect("the high-water mark can be set back");
        self.status("VmRSS:")
    }

    /// The most resident memory since then, in bytes.
    pub(crate) fn most_memory(&self) -> u64 {
        self.status("VmHWM:")
    }
}

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.expect("a connection")
}

/// A client that checks what it reads.
pub(crate) struct Reader {
    socket: TcpStream,
    /// Read, but not looked at.
    rest: Vec<u8>,
}

impl Reader {
    pub(crate) async fn ask(&mut self, path: &str, fields: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: large.example\r\n{fields}\r\n");
        self.socket.write_all(head.as_bytes()).await.expect("a request is taken");
    }

    /// Little is on its way to this reader.
    pub(crate) fn narrow(&mut self) {
        socket2::SockRef::from(&self.socket).set_recv_buffer_size(4096).expect("a small buffer");
    }

    async fn more(&mut self) {
        let mut bytes = vec![0; 16 << 10];
        let read =
            tokio::time::timeout(PATIENCE, self.socket.read(&mut bytes)).await.expect("bytes, some time");
        let read = read.expect("no error");
        assert!(read > 0, "the connection was closed");
        self.rest.extend_from_slice(&bytes[..read]);
    }

    async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.rest.len() < count {
            self.more().await;
        }
        self.rest.drain(..count).collect()
    }

    /// Reads a head with this status.
    pub(crate) async fn head(&mut self, status: &str) {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await;
        };
        let head = self.exactly(end).await;
        assert_eq!(&head[9..12], status.as_bytes(), "{}", String::from_utf8_lossy(&head));
    }

    /// Reads the bytes of the body from `at` up to `end`, and panics unless they are right.
    pub(crate) async fn body(&mut self, at: u64, end: u64) {
        let mut at = at;
        let mut buffer = vec![0; 64 << 10];
        while at < end {
            if self.rest.is_empty() {
                let most = buffer.len().min((end - at) as usize);
                let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut buffer[..most])).await;
                let read = read.expect("bytes, some time").expect("no error");
                assert!(read > 0, "the body ends at {at} of {end}");
                check(at, &buffer[..read]);
                at += read as u64;
            } else {
                let count = self.rest.len().min((end - at) as usize);
                let rest: Vec<u8> = self.rest.drain(..count).collect();
                check(at, &rest);
                at += count as u64;
            }
        }
    }
}
