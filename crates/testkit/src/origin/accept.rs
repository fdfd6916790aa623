//! Listening, accepting, and the handshake.

use super::h1::{Manners, Session};
use super::record::{Connection, Journal};
use super::stream::Stream;
use super::{Handler, TlsChoices};
use crate::tls::{TlsInfo, alpn_wire, version};
use crate::wait::{DEADLINE, OrDie};
use pingora_boringssl::ssl::{
    AlpnError, Ssl, SslAcceptor, SslContext, SslFiletype, SslMethod, SslOptions, SslVerifyMode, SslVersion,
};
use pingora_boringssl::tokio_ssl::SslStream;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;

/// Where an origin listens.
pub(super) enum Door {
    Tcp(String),
    Unix(PathBuf),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Everything a connection is served with.
pub(super) struct Acceptor {
    pub(super) tls: Option<SslContext>,
    pub(super) http2: bool,
    pub(super) manners: Manners,
    pub(super) h2: h2::server::Builder,
    pub(super) handler: Handler,
    pub(super) journal: Arc<Journal>,
    pub(super) sever: watch::Sender<bool>,
}

impl Acceptor {
    /// Binds, starts accepting in the background, and returns the address.
    pub(super) async fn open(self, door: Door) -> io::Result<String> {
        let shared = Arc::new(self);
        match door {
            Door::Tcp(address) => {
                let listener = TcpListener::bind(&address).await?;
                let address = listener.local_addr()?.to_string();
                tokio::spawn(async move {
                    while let Ok((stream, peer)) = listener.accept().await {
                        let _ = stream.set_nodelay(true);
                        Arc::clone(&shared).admit(peer, stream);
                    }
                });
                Ok(address)
            }
            Door::Unix(path) => {
                // A socket left by the origin that was here before.
                let _ = std::fs::remove_file(&path);
                let listener = UnixListener::bind(&path)?;
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        let connection = Connection::new(&shared.journal, String::new());
                        shared.spawn(connection, Box::new(stream), shared.http2);
                    }
                });
                Ok(format!("unix:{}", path.display()))
            }
        }
    }

    fn admit(self: Arc<Self>, peer: SocketAddr, stream: TcpStream) {
        let mut connection = Connection::new(&self.journal, peer.to_string());
        let Some(context) = self.tls.clone() else {
            return self.spawn(connection, Box::new(stream), self.http2);
        };
        tokio::spawn(async move {
            match tokio::time::timeout(DEADLINE, handshake(&context, stream)).await {
                Ok(Ok(stream)) => {
                    let info = TlsInfo::of(stream.ssl());
                    let http2 = info.alpn.as_deref().map_or(self.http2, |name| name == "h2");
                    connection.tls = Some(info);
                    self.spawn(connection, Box::new(stream), http2);
                }
                Ok(Err(_)) | Err(_) => {
                    self.journal.failed_handshakes.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }

    /// Serves a connection until it ends or the origin severs it.
    fn spawn(self: &Arc<Self>, connection: Connection, stream: Stream, http2: bool) {
        let (shared, mut severed) = (Arc::clone(self), self.sever.subscribe());
        tokio::spawn(async move {
            let socket = stream.socket().try_clone();
            let served = async {
                // How it ends shows in the record and at the client.
                if http2 {
                    let handler = shared.handler.clone();
                    let early = shared.manners.early;
                    let _ = super::h2::serve(stream, connection, handler, early, &shared.h2).await;
                } else {
                    let _ =
                        Session::new(stream, connection, shared.handler.clone(), shared.manners).run().await;
                }
            };
            tokio::select! {
                () = served => {}
                Ok(()) = severed.changed() => {
                    if *severed.borrow()
                        && let Ok(socket) = &socket
                    {
                        let _ = socket.set_linger(Some(std::time::Duration::ZERO));
                    }
                }
            }
        });
    }
}

async fn handshake(context: &SslContext, stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
    let ssl = Ssl::new(context).map_err(io::Error::other)?;
    let mut stream = SslStream::new(ssl, stream).map_err(io::Error::other)?;
    Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
    Ok(stream)
}

/// The TLS side of an origin.
#[track_caller]
pub(super) fn context(choices: &TlsChoices, http2: bool) -> SslContext {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).or_die("make a TLS context");
    let identity = &choices.identity;
    builder.set_certificate_chain_file(&identity.cert).or_die("load the origin's certificate");
    builder.set_private_key_file(&identity.key, SslFiletype::PEM).or_die("load the origin's key");
    let (lowest, highest) = match &choices.versions {
        Some((lowest, highest)) => (version(lowest), version(highest)),
        None => (SslVersion::TLS1_2, SslVersion::TLS1_3),
    };
    if matches!(lowest, SslVersion::TLS1 | SslVersion::TLS1_1) {
        // The usual choices forbid these versions and have no cipher for them.
        builder.clear_options(SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
        builder.set_cipher_list("ECDHE-ECDSA-AES128-SHA").or_die("set an old cipher");
    }
    builder.set_min_proto_version(Some(lowest)).or_die("set the lowest version");
    builder.set_max_proto_version(Some(highest)).or_die("set the highest version");
    if let Some(file) = &choices.clients {
        builder.set_ca_file(file).or_die("load the authority for clients");
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    builder.set_session_id_context(b"seawall-testkit").or_die("name the sessions");
    let usual = vec![if http2 { "h2".into() } else { "http/1.1".into() }];
    let speaks = alpn_wire(choices.alpn.as_ref().unwrap_or(&usual));
    builder.set_alpn_select_callback(move |_ssl, offered| {
        protocols(&speaks)
            .find_map(|mine| protocols(offered).find(|name| *name == mine))
            .ok_or(AlpnError::NOACK)
    });
    builder.build().into_context()
}

/// The names in an ALPN list.
fn protocols(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first()?;
        let (name, after) = tail.split_at_checked(usize::from(*length))?;
        rest = after;
        Some(name)
    })
}
