//! Each kind of client, and what it does in one go.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_testkit::{
    Call, Closing, H2Client, H2Error, H2Stream, RawClient, ReadError, Response, TlsClient, digest,
};

use crate::edge::{DOWNLOAD, PIECES, content, piece, tunnel_call};

/// What a client of the traffic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// HTTP/1.1, a connection for each request.
    Fresh,
    /// HTTP/1.1 over connections that are kept while the server keeps them.
    KeepAlive,
    /// HTTP/2, several streams at once on one connection.
    Multiplexed,
    /// A TLS handshake for each request, with the session of the one before.
    Tls,
    /// A body that takes its time.
    Upload,
    /// An answer that takes its time.
    Download,
    /// A WebSocket that stays for a while and has everything echoed.
    Tunnel,
    /// An answer from the cache.
    Hit,
}

/// How it went wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// No answer, or another than it should be.
    Failed(String),
    /// An answer that broke off.
    Truncated(String),
}

/// What else there is to tell of one that went well.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Good {
    pub(crate) resumed: bool,
    pub(crate) hit: bool,
    /// It was sent a second time, after a GOAWAY that says that nobody saw it.
    pub(crate) again: bool,
}

/// A stream with the connection it is on.
type Begun = (Arc<H2Client>, H2Stream);

pub(crate) type Outcome = Result<Good, Fault>;

/// Streams that an HTTP/2 client begins at once.
const STREAMS: usize = 4;
/// How often a tunnel says something, and a slow upload sends a piece.
const BEAT: Duration = Duration::from_millis(75);
/// Words through a tunnel, one each beat.
const WORDS: u32 = 20;
/// A server may have closed a kept connection; whoever looks sees it.
const LOOK: Duration = Duration::from_millis(1);

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Fresh,
        Self::KeepAlive,
        Self::Multiplexed,
        Self::Tls,
        Self::Upload,
        Self::Download,
        Self::Tunnel,
        Self::Hit,
    ];

    /// Its name in tables, and in the names of its requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "h1-fresh",
            Self::KeepAlive => "h1-keepalive",
            Self::Multiplexed => "h2-streams",
            Self::Tls => "tls-resumed",
            Self::Upload => "slow-upload",
            Self::Download => "slow-download",
            Self::Tunnel => "websocket",
            Self::Hit => "cache-hit",
        }
    }

    /// How often a second one begins.
    pub(crate) fn rate(self) -> u32 {
        match self {
            Self::Fresh | Self::KeepAlive | Self::Hit => 20,
            Self::Tls => 10,
            Self::Multiplexed => 5,
            Self::Upload | Self::Download | Self::Tunnel => 2,
        }
    }

    /// Requests in one go.
    pub(crate) fn requests(self) -> usize {
        if self == Self::Multiplexed { STREAMS } else { 1 }
    }

    /// Whether each of its requests reaches the origin.
    #[must_use]
    pub fn passes(self) -> bool {
        self != Self::Hit
    }
}

/// What clients keep from one request to the next.
pub(crate) struct Clients {
    plain: String,
    secure: String,
    tls: TlsClient,
    h2: TlsClient,
    kept: Mutex<Vec<RawClient>>,
    stream: Mutex<Option<Arc<H2Client>>>,
    whole: Vec<u8>,
}

impl Clients {
    pub(crate) fn new(plain: &str, secure: &str, ca: &std::path::Path) -> Self {
        Self {
            plain: plain.to_owned(),
            secure: secure.to_owned(),
            tls: TlsClient::new("a.example", ca),
            h2: TlsClient::builder("a.example").ca(ca).alpn(&["h2"]).build(),
            kept: Mutex::default(),
            stream: Mutex::default(),
            whole: content().into_bytes(),
        }
    }

    /// Does what `kind` does, once, with a request for each of `ids`.
    pub(crate) fn go(&self, kind: Kind, ids: &[String]) -> Vec<Outcome> {
        if kind == Kind::Multiplexed {
            return self.streams(ids);
        }
        ids.iter().map(|id| self.one(kind, id)).collect()
    }

    fn one(&self, kind: Kind, id: &str) -> Outcome {
        match kind {
            Kind::Fresh | Kind::Multiplexed => {
                let response = self.connect()?.exchange(&call("/x", id)).map_err(read)?;
                self.is_whole(&response)
            }
            Kind::KeepAlive => self.keep_alive(id),
            Kind::Tls => self.over_tls(id),
            Kind::Upload => self.upload(id),
            Kind::Download => {
                let response = self.connect()?.exchange(&call("/slow", id)).map_err(read)?;
                check(&response, &(0..PIECES).flat_map(|_| DOWNLOAD.bytes()).collect::<Vec<_>>())
            }
            Kind::Tunnel => self.tunnel(id),
            Kind::Hit => {
                let response = self.connect()?.exchange(&call("/hit", id)).map_err(read)?;
                let hit = response
                    .header("cache-status")
                    .is_some_and(|status| status.to_lowercase().contains("hit"));
                Ok(Good { hit, ..self.is_whole(&response)? })
            }
        }
    }

    fn connect(&self) -> Result<RawClient, Fault> {
        RawClient::try_tcp(&self.plain).map_err(|error| Fault::Failed(format!("connect: {error}")))
    }

    fn is_whole(&self, response: &Response) -> Outcome {
        check(response, &self.whole)
    }

    fn keep_alive(&self, id: &str) -> Outcome {
        // As every client does: a connection that was closed while nothing was asked is no longer one.
        let usable = loop {
            let Some(mut kept) = self.kept.lock().pop() else { break None };
            if kept.closing(LOOK) == Closing::Open {
                break Some(kept);
            }
        };
        let mut connection = match usable {
            Some(kept) => kept,
            None => self.connect()?,
        };
        let response = connection.exchange(&call("/x", id)).map_err(read)?;
        if !response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.kept.lock().push(connection);
        }
        self.is_whole(&response)
    }

    fn over_tls(&self, id: &str) -> Outcome {
        let connected = self.tls.resume().connect(&self.secure);
        let mut connection = connected.map_err(|error| Fault::Failed(error.to_string()))?;
        let response = connection.exchange(&call("/x", id)).map_err(read)?;
        let resumed = connection.tls().is_some_and(|info| info.resumed);
        Ok(Good { resumed, ..self.is_whole(&response)? })
    }

    fn upload(&self, id: &str) -> Outcome {
        let mut connection = self.connect()?;
        let (mut sent, length) = (Vec::new(), PIECES * piece(0).len());
        let head = Call::new("POST", "a.example", "/upload")
            .header("User-Agent", id)
            .header("X-Sequence", id)
            .header("Content-Length", &length.to_string());
        let broken = |error: std::io::Error| Fault::Failed(format!("upload: {error}"));
        connection.try_send(head.to_bytes()).map_err(broken)?;
        for number in 0..PIECES {
            connection.pause(BEAT);
            connection.try_send(piece(number)).map_err(broken)?;
            sent.extend(piece(number));
        }
        let response = connection.read_response("POST").map_err(read)?;
        check(&response, format!("{length} {}", digest(&sent)).as_bytes())
    }

    fn tunnel(&self, id: &str) -> Outcome {
        let mut connection = self.connect()?;
        let response = connection.exchange(&tunnel_call(call("/tunnel", id))).map_err(read)?;
        if response.status != 101 {
            return Err(Fault::Failed(format!("status {}", response.status)));
        }
        for number in 0..WORDS {
            let word = format!("{id:<24}{number:08}");
            connection.try_send(&word).map_err(|error| Fault::Truncated(error.to_string()))?;
            let echo =
                connection.try_read_exact(word.len()).map_err(|error| Fault::Truncated(error.to_string()))?;
            if echo != word.as_bytes() {
                return Err(Fault::Failed(format!("{word} came back as {}", String::from_utf8_lossy(&echo))));
            }
            connection.pause(BEAT);
        }
        Ok(Good::default())
    }

    fn streams(&self, ids: &[String]) -> Vec<Outcome> {
        let call = |id: &String| call("/x", id).scheme("https");
        let begun: Vec<_> = ids.iter().map(|id| self.begin(&call(id))).collect();
        let end = |begun: Result<Begun, Fault>| begun.map(|(_connection, stream)| stream.finish());
        begun
            .into_iter()
            .zip(ids)
            .map(|(begun, id)| match end(begun)? {
                // The goodbye names the last stream that was seen, and this one came after it: nobody knows of it, and it is
                // sent again (RFC 9113 section 6.8). Were it known, the books would have it twice.
                Err(H2Error::GoAway(0)) => {
                    let response = end(self.begin(&call(id)))?.map_err(stream_fault)?;
                    Ok(Good { again: true, ..self.is_whole(&response)? })
                }
                outcome => self.is_whole(&outcome.map_err(stream_fault)?),
            })
            .collect()
    }

    /// Begins a stream. A connection that said goodbye takes none, which shows before anything is sent; then a new one is
    /// opened, as every client does (RFC 9113 section 6.8).
    fn begin(&self, call: &Call) -> Result<Begun, Fault> {
        let mut current = self.stream.lock();
        for fresh in [false, true] {
            if fresh || current.as_ref().is_none_or(|connection| connection.has_ended()) {
                let connected = H2Client::tls(&self.secure, &self.h2);
                *current = Some(Arc::new(connected.map_err(|error| Fault::Failed(error.to_string()))?));
            }
            let Some(connection) = current.as_ref() else { break };
            match connection.start(call) {
                Ok(stream) => return Ok((Arc::clone(connection), stream)),
                Err(error) if fresh => return Err(Fault::Failed(error.to_string())),
                Err(_) => {}
            }
        }
        Err(Fault::Failed("no connection".into()))
    }
}

fn call(path: &str, id: &str) -> Call {
    Call::get("a.example", path).header("User-Agent", id).header("X-Sequence", id)
}

fn check(response: &Response, wanted: &[u8]) -> Outcome {
    if response.status == 200 && response.body == wanted {
        return Ok(Good::default());
    }
    let said = format!("status {}, {} of {} bytes", response.status, response.body.len(), wanted.len());
    if response.status == 200 && wanted.starts_with(&response.body) {
        return Err(Fault::Truncated(said));
    }
    Err(Fault::Failed(said))
}

fn stream_fault(error: H2Error) -> Fault {
    match error {
        H2Error::Reset { partial: Some(_), .. } => Fault::Truncated(error.to_string()),
        error => Fault::Failed(error.to_string()),
    }
}

fn read(error: ReadError) -> Fault {
    match error {
        ReadError::Truncated { .. } => Fault::Truncated(error.to_string()),
        error => Fault::Failed(error.to_string()),
    }
}
