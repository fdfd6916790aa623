//! The accept loop, as a Pingora service.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use pingora_runtime::current_handle;
use seawall_guard::{AddressRules, CONNECTION, CapReached, ConnectionState};
use seawall_tls::{HandshakeFailure, TlsAcceptor, handshake_info};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::bind::{BoundListener, ListenSocket};
use crate::departed;
use crate::gate::{Gate, Handshaking};
use crate::observer::{DoorObserver, Refusal};
use crate::socket::Socket;
use crate::stream::{DoorStream, Place, Transport};
use crate::unix::SocketFile;

/// Serves one application on any number of listeners.
///
/// The application should say where each HTTP/1 request stands through
/// [`seawall_guard::current_connection`]; without that only the first head of a connection is timed.
pub struct Door<A> {
    name: String,
    app: Arc<A>,
    gate: Arc<Gate>,
    listeners: Vec<(Arc<Entrance>, ListenSocket)>,
    threads: Option<usize>,
}

/// What the connections of one listener have in common.
pub(crate) struct Entrance {
    pub(crate) name: String,
    pub(crate) h2c: bool,
    pub(crate) observer: Arc<dyn DoorObserver>,
    tls: Option<Arc<TlsAcceptor>>,
    access: Arc<ArcSwap<AddressRules>>,
}

impl<A> Door<A> {
    /// A service of this name that runs `app` on `listeners`, each with what hears of it.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        app: A,
        listeners: Vec<(BoundListener, Arc<dyn DoorObserver>)>,
        gate: Arc<Gate>,
    ) -> Self {
        let listeners = listeners
            .into_iter()
            .map(|(bound, observer)| {
                let BoundListener { name, socket, tls, h2c, access } = bound;
                (Arc::new(Entrance { name, h2c, observer, tls, access }), socket)
            })
            .collect();
        Self { name: name.into(), app: Arc::new(app), gate, listeners, threads: None }
    }

    /// How many threads serve; without it Pingora's `threads` setting decides.
    pub fn set_threads(&mut self, threads: usize) {
        self.threads = Some(threads);
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for Door<A> {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, per_listener: usize) {
        let mut loops = Vec::new();
        // Kept to the end: they remove the socket files.
        let mut files = Vec::new();
        for (entrance, socket) in self.listeners.drain(..) {
            let listening = match Listening::start(socket) {
                Ok((listening, file)) => {
                    files.push(file);
                    Arc::new(listening)
                }
                Err(error) => {
                    log::error!("cannot accept on {}: {error}", entrance.name);
                    continue;
                }
            };
            log::info!("listening on {}", entrance.name);
            for _ in 0..per_listener.max(1) {
                let accepting = Accepting {
                    listening: Arc::clone(&listening),
                    entrance: Arc::clone(&entrance),
                    gate: Arc::clone(&self.gate),
                    app: Arc::clone(&self.app),
                    shutdown: shutdown.clone(),
                };
                loops.push(current_handle().spawn(accepting.run()));
            }
        }
        for accepting in loops {
            if let Err(error) = accepting.await {
                log::error!("an accept loop of {} ended: {error}", self.name);
            }
        }
        drop(files);
        self.app.cleanup().await;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(self.listeners.iter().map(|(entrance, _)| entrance.name.clone()).collect())
    }
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    fn start(socket: ListenSocket) -> io::Result<(Self, Option<SocketFile>)> {
        Ok(match socket {
            ListenSocket::Tcp(listener) => (Self::Tcp(TcpListener::from_std(listener)?), None),
            ListenSocket::Unix(listener, file) => (Self::Unix(UnixListener::from_std(listener)?), Some(file)),
        })
    }

    async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A socket for both families shows IPv4 clients as `::ffff:…`; nobody wants to see that.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                Ok((Socket::tcp(stream, peer), Some(peer.ip())))
            }
            Self::Unix(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::unix(stream, peer), None))
            }
        }
    }
}

/// One accept loop.
struct Accepting<A> {
    listening: Arc<Listening>,
    entrance: Arc<Entrance>,
    gate: Arc<Gate>,
    app: Arc<A>,
    shutdown: ShutdownWatch,
}

impl<A: ServerApp + Send + Sync + 'static> Accepting<A> {
    async fn run(self) {
        let mut backoff = Backoff::default();
        let stopped = stopped(self.shutdown.clone());
        tokio::pin!(stopped);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stopped => break,
                accepted = self.listening.accept() => accepted,
            };
            match accepted {
                Ok((socket, address)) => {
                    backoff.success();
                    self.admit(socket, address);
                }
                Err(error) => self.wait_after(&error, &mut backoff).await,
            }
        }
    }

    async fn wait_after(&self, error: &io::Error, backoff: &mut Backoff) {
        let (fault, wait) = backoff.failure(error);
        self.entrance.observer.accept_failed(fault);
        if let Some(wait) = wait {
            if backoff.should_log() {
                log::error!("cannot accept connections on {}: {error}", self.entrance.name);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Gives the connection its place and a task, or closes it.
    fn admit(&self, socket: Socket, address: Option<IpAddr>) {
        match self.place(address) {
            Ok((place, permit)) => {
                let connection = Connection {
                    gate: Arc::clone(&self.gate),
                    app: Arc::clone(&self.app),
                    shutdown: self.shutdown.clone(),
                    place,
                };
                let entrance = Arc::clone(&self.entrance);
                current_handle().spawn(async move { connection.serve(&entrance, socket, permit).await });
            }
            Err(why) => {
                self.entrance.observer.refused(why);
                log::debug!("refused a connection to {}: {}", self.entrance.name, why.label());
                socket.reset_on_close();
            }
        }
    }

    fn place(&self, address: Option<IpAddr>) -> Result<(Place, Option<Handshaking>), Refusal> {
        if address.is_some_and(|address| !self.entrance.access.load().permits(address)) {
            return Err(Refusal::Address);
        }
        let admission = self.gate.admit(address).map_err(|cap| match cap {
            CapReached::Total => Refusal::Total,
            CapReached::PerAddress => Refusal::PerAddress,
        })?;
        let permit = match &self.entrance.tls {
            Some(_) => Some(self.gate.begin_handshake().ok_or(Refusal::Handshakes)?),
            None => None,
        };
        Ok((Place::new(Arc::clone(&self.entrance), admission), permit))
    }
}

/// Returns when the server stops taking connections.
async fn stopped(mut shutdown: ShutdownWatch) {
    // An error means that the sender is gone, and with it the server.
    let _ = shutdown.wait_for(|stopping| *stopping).await;
}

/// One client connection.
struct Connection<A> {
    gate: Arc<Gate>,
    app: Arc<A>,
    shutdown: ShutdownWatch,
    place: Place,
}

impl<A: ServerApp + Send + Sync + 'static> Connection<A> {
    async fn serve(self, entrance: &Entrance, socket: Socket, permit: Option<Handshaking>) {
        let Some(transport) = self.shake_hands(entrance, socket).await else {
            return;
        };
        drop(permit);
        let state = ConnectionState::new();
        let socket = transport.id();
        let stream = DoorStream::new(transport, Arc::clone(&state), self.gate, self.place);
        let (app, shutdown) = (self.app, self.shutdown);
        let serving = async move {
            let mut next: Option<Stream> = Some(Box::new(stream));
            while let Some(stream) = next {
                next = app.process_new(stream, &shutdown).await;
            }
        };
        let departed = departed::while_waiting(&state, socket);
        let until_it_ends = async {
            tokio::select! {
                biased;
                () = serving => {}
                () = departed => log::debug!("a client of {} left while its request waited", entrance.name),
            }
        };
        CONNECTION.scope(Arc::clone(&state), until_it_ends).await;
    }

    async fn shake_hands(&self, entrance: &Entrance, socket: Socket) -> Option<Transport> {
        let Some(tls) = &entrance.tls else {
            return Some(Transport::Plain(socket));
        };
        let outcome = match timeout(self.gate.deadlines().handshake, tls.accept(socket.read_ahead())).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HandshakeFailure::Timeout),
        };
        match outcome {
            Ok(stream) => {
                entrance.observer.handshake(Ok(handshake_info(stream.ssl())));
                Some(Transport::Tls(Box::new(stream)))
            }
            Err(failure) => {
                entrance.observer.handshake(Err(failure));
                log::debug!("handshake on {} failed: {failure}", entrance.name);
                None
            }
        }
    }
}
