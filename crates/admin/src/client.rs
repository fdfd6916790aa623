//! The other end, for the command line.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use seawall_listen::ListenAddress;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// No answer of the API is larger, but for a plan of tens of thousands of routes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// To connect.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Where a control API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// An address and port.
    Tcp(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        if address.starts_with("https://") {
            return Err("this command speaks no TLS; use `curl --cacert … https://…/v1/status`".into());
        }
        if address.is_empty() || !address.contains(':') {
            return Err(format!(
                "`{text}` is no place of a control API; write `unix:/path` or `127.0.0.1:9092`"
            ));
        }
        Ok(Self::Tcp(address.to_owned()))
    }
}

impl From<&ListenAddress> for Target {
    fn from(address: &ListenAddress) -> Self {
        match address {
            ListenAddress::Unix(path) => Self::Unix(path.clone()),
            ListenAddress::AnyAddress(port) => Self::Tcp(format!("127.0.0.1:{port}")),
            ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
                Self::Tcp(format!("127.0.0.1:{}", address.port()))
            }
            ListenAddress::Tcp(address) => Self::Tcp(address.to_string()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection came about.
    #[error("cannot reach the control API at {target}: {source}; {}", advice(.target, .source))]
    Connect {
        /// Where.
        target: Target,
        /// What the system said.
        source: io::Error,
    },
    /// The answer broke off or is none.
    #[error("the control API at {target} did not answer: {why}")]
    Broken {
        /// Where.
        target: Target,
        /// How it showed.
        why: String,
    },
    /// The answer is a refusal.
    #[error("{message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said, with what to do.
        message: String,
        /// The whole answer.
        body: Value,
    },
}

fn advice(target: &Target, error: &io::Error) -> &'static str {
    match (target, error.kind()) {
        (Target::Unix(_), io::ErrorKind::NotFound) => {
            "is Seawall running with `admin: { listen: unix:… }`? `--admin` names another place"
        }
        (_, io::ErrorKind::ConnectionRefused) => "nothing listens there: is Seawall running?",
        (Target::Unix(_), io::ErrorKind::PermissionDenied) => {
            "run this as the user Seawall runs as or as root, or widen `admin.mode`"
        }
        _ => "`--admin` names another place",
    }
}

/// Asks a control API.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
    token: Option<String>,
}

impl Client {
    /// A client of the API at `target`.
    #[must_use]
    pub fn new(target: Target, token: Option<String>) -> Self {
        Self { target, token }
    }

    /// Where it asks.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// When there is none, or it is a refusal.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let reached = match &self.target {
            Target::Unix(socket) => {
                let stream = self.connected(UnixStream::connect(socket)).await?;
                self.exchange(stream, method, path, body).await
            }
            Target::Tcp(address) => {
                let stream = self.connected(TcpStream::connect(address)).await?;
                self.exchange(stream, method, path, body).await
            }
        };
        let (status, answer) = reached?;
        let value = serde_json::from_slice(&answer)
            .map_err(|error| self.broken(format!("its answer (status {status}) is not JSON: {error}")))?;
        if status < 400 { Ok(value) } else { Err(refused(status, value)) }
    }

    async fn connected<S>(&self, connecting: impl Future<Output = io::Result<S>>) -> Result<S, ClientError> {
        let outcome = match tokio::time::timeout(CONNECT_TIME, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        outcome.map_err(|source| ClientError::Connect { target: self.target.clone(), source })
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Bytes), ClientError> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let driving = tokio::spawn(connection);
        let request = self.request(method, path, body).map_err(|error| self.broken(error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        let status = response.status().as_u16();
        let collected = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        driving.abort();
        Ok((status, collected.map_err(|error| self.broken(error))?.to_bytes()))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> http::Result<Request<Full<Bytes>>> {
        let host = match &self.target {
            Target::Unix(_) => "localhost",
            Target::Tcp(address) => address,
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(body.map_or_else(Bytes::new, |body| body.to_string().into())))
    }

    fn broken(&self, why: impl ToString) -> ClientError {
        ClientError::Broken { target: self.target.clone(), why: why.to_string() }
    }
}

fn refused(status: u16, body: Value) -> ClientError {
    let said = body.pointer("/error/message").and_then(Value::as_str);
    let mut message = said.map_or_else(|| format!("refused with status {status}"), str::to_owned);
    if status == 401 {
        message.push_str("; give it in SEAWALL_ADMIN_TOKEN or with --token-file");
    }
    ClientError::Refused { status, message, body }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn targets_are_read() {
        assert_eq!("unix:/a".parse(), Ok(Target::Unix("/a".into())));
        assert_eq!("http://127.0.0.1:9/".parse(), Ok(Target::Tcp("127.0.0.1:9".into())));
        assert_eq!("[::1]:9".parse(), Ok(Target::Tcp("[::1]:9".into())));
        for wrong in ["", "/a", "host", "https://a:1"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
