//! An HTTP/2 client.

use super::response::Response;
use super::tls::TlsClient;
use crate::call::Call;
use crate::headers::Headers;
use crate::http1::Framing;
use crate::origin::h2::{map, send};
use crate::tls::TlsInfo;
use crate::wait::{DEADLINE, OrDie, eventually};
use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use pingora_boringssl::tokio_ssl::SslStream;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Why an HTTP/2 exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum H2Error {
    /// The deadline passed.
    #[error("nothing for {0:?} while waiting for {1}")]
    Timeout(Duration, &'static str),
    /// The stream was reset with this code, after this much of a response.
    #[error("the stream was reset with code {code}")]
    Reset {
        /// RFC 9113 §7.
        code: u32,
        /// The response as far as it came, if its head did.
        partial: Option<Box<Response>>,
    },
    /// The connection was ended with GOAWAY and this code.
    #[error("the connection said GOAWAY with code {0}")]
    GoAway(u32),
    /// The connection broke, or something else did.
    #[error("{0}")]
    Broken(String),
}

impl From<h2::Error> for H2Error {
    fn from(error: h2::Error) -> Self {
        let code = error.reason().map(u32::from);
        match code {
            Some(code) if error.is_reset() => Self::Reset { code, partial: None },
            Some(code) if error.is_go_away() => Self::GoAway(code),
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// One HTTP/2 connection.
pub struct H2Client {
    runtime: Arc<Runtime>,
    requests: SendRequest<Bytes>,
    tls: Option<TlsInfo>,
    ended: watch::Receiver<Option<String>>,
    within: Duration,
}

impl H2Client {
    /// Connects over TCP with prior knowledge.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP/2, within [`DEADLINE`].
    pub fn tcp(address: impl Display) -> Result<Self, H2Error> {
        let runtime = runtime();
        let stream = runtime.block_on(connect(&address.to_string()))?;
        Self::over(runtime, stream, None)
    }

    /// Connects over TLS. The client should offer `h2`.
    ///
    /// # Errors
    /// Nobody answers, the handshake fails, or HTTP/2 does not start.
    pub fn tls(address: impl Display, client: &TlsClient) -> Result<Self, H2Error> {
        let runtime = runtime();
        let ssl = client.ssl().map_err(broken)?;
        let stream = runtime.block_on(async {
            let stream = connect(&address.to_string()).await?;
            let mut stream = SslStream::new(ssl, stream).map_err(broken)?;
            limited(DEADLINE, "a TLS handshake", Pin::new(&mut stream).connect()).await?.map_err(broken)?;
            Ok::<_, H2Error>(stream)
        })?;
        let info = TlsInfo::of(stream.ssl());
        Self::over(runtime, stream, Some(info))
    }

    fn over<S>(runtime: Arc<Runtime>, stream: S, tls: Option<TlsInfo>) -> Result<Self, H2Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let started = async { limited(DEADLINE, "HTTP/2 to start", h2::client::handshake(stream)).await };
        let (requests, connection) = runtime.block_on(started)??;
        let (tell, ended) = watch::channel(None);
        runtime.spawn(drive(connection, tell));
        Ok(Self { runtime, requests, tls, ended, within: DEADLINE })
    }

    /// Sets how long each later step may take; [`DEADLINE`] unless set.
    pub fn deadline(&mut self, within: Duration) -> &mut Self {
        self.within = within;
        self
    }

    /// The handshake, when this is a TLS connection.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// Sends a request with its body and trailers and reads the whole response.
    ///
    /// # Errors
    /// The stream or the connection fails, or the deadline passes.
    pub fn exchange(&self, call: &Call) -> Result<Response, H2Error> {
        self.start(call)?.finish()
    }

    /// Sends all these requests at once, each on its stream, and reads the responses in the same order.
    pub fn exchange_all(&self, calls: &[Call]) -> Vec<Result<Response, H2Error>> {
        let streams: Vec<_> = calls.iter().map(|call| self.start(call)).collect();
        streams.into_iter().map(|stream| stream?.finish()).collect()
    }

    /// Sends a whole request and returns its stream.
    ///
    /// # Errors
    /// The connection takes no more streams, or the server refuses the body.
    pub fn start(&self, call: &Call) -> Result<H2Stream, H2Error> {
        let ends = call.body.is_empty() && call.trailers.is_empty();
        let mut stream = self.begin(call, ends)?;
        if !call.body.is_empty() {
            stream.upload(&call.body, call.trailers.is_empty())?;
        }
        if !call.trailers.is_empty() {
            stream.send_trailers(&call.trailers)?;
        }
        Ok(stream)
    }

    /// Sends only the head of a request; its body is up to the caller.
    ///
    /// # Errors
    /// The connection takes no more streams.
    pub fn open(&self, call: &Call) -> Result<H2Stream, H2Error> {
        self.begin(call, false)
    }

    fn begin(&self, call: &Call, ends: bool) -> Result<H2Stream, H2Error> {
        let request = request(call)?;
        let begun = Instant::now();
        let (response, send) = self.runtime.block_on(async {
            let mut ready =
                limited(self.within, "room for a stream", self.requests.clone().ready()).await??;
            Ok::<_, H2Error>(ready.send_request(request, ends)?)
        })?;
        Ok(H2Stream {
            runtime: Arc::clone(&self.runtime),
            send,
            awaited: Some(response),
            reply: None,
            within: self.within,
            begun,
        })
    }

    /// Waits until the connection has ended, and says how.
    ///
    /// # Panics
    /// It has not within [`DEADLINE`].
    #[track_caller]
    #[must_use]
    pub fn wait_end(&self) -> String {
        eventually(DEADLINE, "the end of an HTTP/2 connection", || self.ended.borrow().clone())
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }
}

/// One stream: a request under way and its response.
pub struct H2Stream {
    runtime: Arc<Runtime>,
    send: SendStream<Bytes>,
    awaited: Option<ResponseFuture>,
    reply: Option<(Response, RecvStream)>,
    within: Duration,
    begun: Instant,
}

impl H2Stream {
    /// Sends a part of the body, and its end if so told.
    ///
    /// # Errors
    /// The stream is closed, or the server's window stays shut until the deadline.
    pub fn upload(&mut self, bytes: &[u8], end: bool) -> Result<(), H2Error> {
        let (bytes, within) = (Bytes::copy_from_slice(bytes), self.within);
        let sent = limited_send(within, &mut self.send, bytes);
        self.runtime.block_on(sent)?;
        if end {
            self.send.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    /// Ends the request with these fields.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn send_trailers(&mut self, trailers: &Headers) -> Result<(), H2Error> {
        Ok(self.send.send_trailers(map(trailers).map_err(broken)?)?)
    }

    /// Resets the stream with this code (RFC 9113 §7; 8 is CANCEL).
    pub fn reset(&mut self, code: u32) {
        self.send.send_reset(Reason::from(code));
    }

    /// The head of the response: its body is still empty.
    ///
    /// # Errors
    /// The stream or the connection fails, or the deadline passes.
    pub fn head(&mut self) -> Result<&Response, H2Error> {
        if let Some(mut awaited) = self.awaited.take() {
            let (within, begun) = (self.within, self.begun);
            let received = self.runtime.block_on(limited(within, "a response head", async {
                let mut interim = Vec::new();
                while let Some(early) = poll_fn(|cx| awaited.poll_informational(cx)).await {
                    let early = early?;
                    interim.push((early.status().as_u16(), Headers::from(early.headers())));
                }
                Ok::<_, H2Error>((interim, awaited.await?))
            }));
            let (interim, received) = received??;
            let (parts, body) = received.into_parts();
            self.reply = Some((response(&parts, interim, begun.elapsed()), body));
        }
        match &self.reply {
            Some((response, _)) => Ok(response),
            None => Err(H2Error::Broken("the response was lost to an earlier error".into())),
        }
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// The stream or the connection fails, or the deadline passes.
    pub fn data(&mut self) -> Result<Option<Bytes>, H2Error> {
        self.head()?;
        let Some((response, body)) = &mut self.reply else { return Ok(None) };
        let next = self.runtime.block_on(limited(self.within, "more of a body", body.data()))?;
        match next {
            None => Ok(None),
            Some(Ok(bytes)) => {
                body.flow_control().release_capacity(bytes.len())?;
                response.body.extend_from_slice(&bytes);
                Ok(Some(bytes))
            }
            Some(Err(error)) => Err(cut(error.into(), response)),
        }
    }

    /// The whole response, trailers included.
    ///
    /// # Errors
    /// The stream or the connection fails, or the deadline passes.
    pub fn finish(mut self) -> Result<Response, H2Error> {
        while self.data()?.is_some() {}
        let Some((mut response, mut body)) = self.reply.take() else {
            return Err(H2Error::Broken("there is no response".into()));
        };
        let trailers = self.runtime.block_on(limited(self.within, "trailers", body.trailers()))?;
        match trailers {
            Ok(trailers) => response.trailers = trailers.as_ref().map(Headers::from).unwrap_or_default(),
            Err(error) => return Err(cut(error.into(), &response)),
        }
        response.elapsed = self.begun.elapsed();
        Ok(response)
    }
}

fn runtime() -> Arc<Runtime> {
    Arc::new(Builder::new_multi_thread().worker_threads(1).enable_all().build().or_die("make a runtime"))
}

async fn drive<S>(connection: Connection<S, Bytes>, tell: watch::Sender<Option<String>>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let end = connection.await.map_or_else(|error| error.to_string(), |()| "an orderly end".into());
    tell.send_replace(Some(end));
}

async fn connect(address: &str) -> Result<TcpStream, H2Error> {
    let stream = limited(DEADLINE, "a connection", TcpStream::connect(address)).await?.map_err(broken)?;
    stream.set_nodelay(true).map_err(broken)?;
    Ok(stream)
}

async fn limited<T>(
    within: Duration,
    what: &'static str,
    future: impl Future<Output = T>,
) -> Result<T, H2Error> {
    tokio::time::timeout(within, future).await.map_err(|_elapsed| H2Error::Timeout(within, what))
}

async fn limited_send(within: Duration, out: &mut SendStream<Bytes>, bytes: Bytes) -> Result<(), H2Error> {
    limited(within, "room to send a body", send(out, bytes)).await?.map_err(broken)
}

fn broken(error: impl Display) -> H2Error {
    H2Error::Broken(error.to_string())
}

/// Adds to a reset what had come before it.
fn cut(error: H2Error, so_far: &Response) -> H2Error {
    match error {
        H2Error::Reset { code, .. } => H2Error::Reset { code, partial: Some(Box::new(so_far.clone())) },
        other => other,
    }
}

fn request(call: &Call) -> Result<http::Request<()>, H2Error> {
    let mut parts = http::uri::Parts::default();
    parts.authority = Some(call.host.parse::<Authority>().map_err(broken)?);
    if call.method != "CONNECT" {
        parts.scheme = Some(call.scheme.parse::<Scheme>().map_err(broken)?);
        parts.path_and_query = Some(call.path.parse::<PathAndQuery>().map_err(broken)?);
    }
    let uri = Uri::from_parts(parts).map_err(broken)?;
    let built = http::Request::builder().method(call.method.as_str()).uri(uri).version(http::Version::HTTP_2);
    let mut request = built.body(()).map_err(broken)?;
    *request.headers_mut() = map(&call.headers).map_err(broken)?;
    Ok(request)
}

fn response(parts: &http::response::Parts, interim: Vec<(u16, Headers)>, first_byte: Duration) -> Response {
    Response {
        version: "HTTP/2".into(),
        status: parts.status.as_u16(),
        reason: String::new(),
        headers: Headers::from(&parts.headers),
        body: Vec::new(),
        trailers: Headers::new(),
        interim,
        framing: Framing::None,
        chunks: Vec::new(),
        raw_head: Vec::new(),
        first_byte,
        elapsed: first_byte,
    }
}
