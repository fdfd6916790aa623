//! A door with a toy behind it, and raw clients.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::Service;
use pingora_http::ResponseHeader;
use seawall_guard::head::{HeadFault, check_h1};
use seawall_guard::{Limits, LimitsSettings, current_connection};
use seawall_listen::{AcceptFault, BoundListener, Cut, Door, DoorObserver, Gate, ListenerSettings, Refusal};
use seawall_tls::{HandshakeFailure, HandshakeInfo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Every wait of a test ends by then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Counts everything under its label.
#[derive(Default)]
pub(crate) struct Tally(Mutex<HashMap<String, usize>>);

impl Tally {
    pub(crate) fn of(&self, label: &str) -> usize {
        self.0.lock().get(label).copied().unwrap_or(0)
    }

    fn add(&self, label: impl Into<String>) {
        *self.0.lock().entry(label.into()).or_default() += 1;
    }

    /// Waits until `label` was counted `times`.
    pub(crate) async fn reaches(&self, label: &str, times: usize) {
        let end = Instant::now() + PATIENCE;
        while self.of(label) < times {
            assert!(Instant::now() < end, "`{label}` is {} of {times}: {:?}", self.of(label), self.0.lock());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl DoorObserver for Tally {
    fn opened(&self) {
        self.add("opened");
    }
    fn closed(&self) {
        self.add("closed");
    }
    fn refused(&self, why: Refusal) {
        self.add(why.label());
    }
    fn handshake(&self, outcome: Result<HandshakeInfo, HandshakeFailure>) {
        match outcome {
            Ok(info) => {
                self.add(info.version);
                self.add(if info.resumed { "resumed" } else { "full" });
                self.add(if info.http2 { "h2" } else { "h1" });
            }
            Err(failure) => self.add(format!("failed_{}", failure.label())),
        }
    }
    fn cut(&self, why: Cut) {
        self.add(why.label());
    }
    fn accept_failed(&self, why: AcceptFault) {
        self.add(format!("accept_{}", why.label()));
    }
}

/// A door that runs until it is dropped.
pub(crate) struct Rig {
    pub(crate) addr: SocketAddr,
    pub(crate) tally: Arc<Tally>,
    pub(crate) gate: Arc<Gate>,
    stop: watch::Sender<bool>,
    service: JoinHandle<()>,
}

impl Rig {
    /// One listener; `limits` as in the configuration file.
    pub(crate) fn start(listener: &ListenerSettings, limits: &str) -> Self {
        let settings: LimitsSettings = serde_yaml::from_str(limits).unwrap();
        let limits = Limits::new(&settings);
        let bound = BoundListener::bind(listener).unwrap();
        let addr = bound.local_addr().unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        let gate = Gate::new(&limits);
        let tally = Arc::new(Tally::default());
        let observer: Arc<dyn DoorObserver> = tally.clone();
        let mut door = Door::new("test", Toy::new(limits), vec![(bound, observer)], gate.clone());
        let (stop, stopped) = watch::channel(false);
        let service = tokio::spawn(async move { door.start_service(None, stopped, 2).await });
        Self { addr, tally, gate, stop, service }
    }

    /// A plain listener on the loopback.
    pub(crate) fn plain(limits: &str) -> Self {
        Self::start(&plain(), limits)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// A connection that is expected to be refused: at the latest, its first read finds it closed.
    pub(crate) async fn expect_refusal(&self, source: &str) {
        if let Ok(mut stream) = self.connect_from(source).await {
            assert_eq!(read_all(&mut stream).await, "", "closed without a word");
        }
    }

    /// A connection from another address of the loopback. It may fail already, when it is reset early.
    pub(crate) async fn connect_from(&self, source: &str) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0))?;
        socket.connect(self.addr).await
    }

    /// Stops accepting and waits for the service to end.
    pub(crate) async fn stop(self) {
        self.stop.send(true).unwrap();
        timeout(PATIENCE, self.service).await.unwrap().unwrap();
    }
}

pub(crate) fn plain() -> ListenerSettings {
    ListenerSettings::new("127.0.0.1:0".parse().unwrap())
}

/// Sends `bytes` and reads what comes until the connection ends.
pub(crate) async fn exchange(mut stream: TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    read_all(&mut stream).await
}

/// Reads to the end; a reset counts as one.
pub(crate) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection stays open");
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads one response of the toy, whose bodies have a length.
pub(crate) async fn read_one(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&all).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                if body.len() >= length {
                    return text;
                }
            }
            let mut buf = [0; 4096];
            match stream.read(&mut buf).await {
                Ok(0) | Err(_) => panic!("the connection ended after {text:?}"),
                Ok(read) => all.extend_from_slice(&buf[..read]),
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("no whole response came")
}

/// Fetches `path` over HTTP/2, `times` at once, and gives the bodies.
pub(crate) async fn fetch_h2<S>(io: S, path: &str, times: usize) -> Vec<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let fetching = async {
        let (mut client, connection) = h2::client::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut responses = Vec::new();
        for _ in 0..times {
            let request = http::Request::get(format!("http://a.example{path}")).body(()).unwrap();
            client = client.ready().await.unwrap();
            let response = client.send_request(request, true).unwrap().0;
            // At once: a response that nobody reads holds the window that the others need.
            responses.push(tokio::spawn(async move {
                let mut body = response.await.unwrap().into_body();
                let mut all = Vec::new();
                while let Some(part) = body.data().await {
                    let part = part.unwrap();
                    body.flow_control().release_capacity(part.len()).unwrap();
                    all.extend_from_slice(&part);
                }
                all
            }));
        }
        let mut bodies = Vec::new();
        for response in responses {
            bodies.push(response.await.unwrap());
        }
        bodies
    };
    timeout(PATIENCE, fetching).await.expect("no answer over HTTP/2")
}

/// What the paths of the toy do:
/// `/echo` gives the body back, `/big` sends 64 MiB, `/pattern` sends bytes that can be checked, `/slow` thinks
/// for a second, `/early` refuses the body with 413, `/close` closes, others say hello.
pub(crate) struct Toy {
    options: HttpServerOptions,
    limits: Limits,
}

impl Toy {
    fn new(limits: Limits) -> Self {
        // As in the binary: on for all; the stream keeps it off where the listener does not take it.
        let options = limits.server_options(true);
        Self { options, limits }
    }

    fn judge(&self, session: &ServerSession) -> Result<bool, HeadFault> {
        let (Some(h1), Some(connection)) = (session.as_http1(), current_connection()) else {
            return Ok(false);
        };
        if let Some(fault) = connection.line_fault() {
            return Err(fault.into());
        }
        let framing = check_h1(&h1.get_headers_raw_bytes(), &self.limits.head)?;
        connection.head_complete(framing.has_body());
        Ok(true)
    }

    async fn answer(session: &mut ServerSession) -> pingora_core::Result<()> {
        let path = session.req_header().uri.path().to_owned();
        let (status, body) = match path.as_str() {
            "/echo" => (200, read_body(session).await?),
            "/big" => (200, Bytes::from(vec![b'x'; 64 << 20])),
            "/pattern" => (200, pattern()),
            "/early" => (413, Bytes::from_static(b"too large")),
            "/slow" => {
                sleep(Duration::from_secs(1)).await;
                (200, Bytes::from_static(b"thought"))
            }
            _ => (200, Bytes::from_static(b"hello")),
        };
        if path == "/close" {
            session.set_keepalive(None);
        }
        let mut response = ResponseHeader::build(status, None)?;
        response.insert_header("content-length", body.len())?;
        session.write_response_header(Box::new(response)).await?;
        // In odd pieces, so that gathering and passing through both happen.
        let mut rest = body;
        for size in [1usize, 700, 5000, 17_000, 100_000].into_iter().cycle() {
            let piece = rest.split_to(size.min(rest.len()));
            let end = rest.is_empty();
            session.write_response_body(piece, end).await?;
            if end {
                break;
            }
        }
        session.finish_body().await
    }
}

/// Bytes that repeat only after 251.
pub(crate) fn pattern() -> Bytes {
    (0..1_000_000u32).map(|n| (n % 251) as u8).collect()
}

async fn read_body(session: &mut ServerSession) -> pingora_core::Result<Bytes> {
    let mut all = Vec::new();
    while let Some(part) = session.read_request_body().await? {
        all.extend_from_slice(&part);
    }
    if let Some(connection) = current_connection() {
        connection.body_complete();
    }
    Ok(all.into())
}

#[async_trait]
impl HttpServerApp for Toy {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        match session.read_request().await {
            Ok(true) => {}
            _ => return None,
        }
        if let Err(fault) = self.judge(&session) {
            let _ = session.respond_error(fault.status).await;
            return None;
        }
        if Self::answer(&mut session).await.is_err() {
            return None;
        }
        if let Some(connection) = current_connection() {
            connection.request_done();
        }
        let persistent = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, persistent))
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
