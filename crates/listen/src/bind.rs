//! Binding, before anything else starts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use seawall_guard::{AccessSettings, AddressRules};
use seawall_tls::{TlsAcceptor, TlsError, TlsSettings};
use socket2::{Domain, Protocol, Socket, Type};

use crate::unix::{self, FileOwner, SocketFile};
use crate::{ListenAddress, ListenerSettings};

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its TLS.
    #[error("cannot listen on {address}: {source}")]
    Tls {
        /// The address.
        address: ListenAddress,
        /// What is wrong.
        source: TlsError,
    },
}

/// Why an address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", explain(.address, .source))]
pub struct BindError {
    /// The address.
    pub address: ListenAddress,
    /// What the system said.
    pub source: io::Error,
}

fn explain(address: &ListenAddress, error: &io::Error) -> String {
    let port = match address {
        ListenAddress::Tcp(tcp) => Some(tcp.port()),
        ListenAddress::AnyAddress(port) => Some(*port),
        ListenAddress::Unix(_) => None,
    };
    match (error.kind(), port) {
        (io::ErrorKind::PermissionDenied, Some(port)) if port < 1024 => {
            "permission denied — ports below 1024 need root or CAP_NET_BIND_SERVICE".to_owned()
        }
        (io::ErrorKind::PermissionDenied, None) => {
            "permission denied — the user Seawall runs as must be able to write to the folder".to_owned()
        }
        (io::ErrorKind::AddrInUse, Some(_)) => {
            "address already in use — another process listens there".to_owned()
        }
        (io::ErrorKind::AddrInUse, None) => "a process listens on this socket already".to_owned(),
        (io::ErrorKind::AddrNotAvailable, _) => "no interface of this machine has this address".to_owned(),
        (io::ErrorKind::NotFound, None) => "its folder does not exist — create it first".to_owned(),
        (io::ErrorKind::AlreadyExists, None) => "a file that is not a socket has this name".to_owned(),
        _ => error.to_string(),
    }
}

/// A listener that is bound and listening; the system already keeps connections waiting for it.
#[derive(Debug)]
pub struct BoundListener {
    pub(crate) name: String,
    pub(crate) socket: ListenSocket,
    pub(crate) tls: Option<Arc<TlsAcceptor>>,
    pub(crate) h2c: bool,
    pub(crate) access: Arc<ArcSwap<AddressRules>>,
}

/// What of a listener can change while it listens.
#[derive(Debug, Clone)]
pub struct ListenerControl {
    name: String,
    tls: Option<Arc<TlsAcceptor>>,
    access: Arc<ArcSwap<AddressRules>>,
    /// Kept to be handed over: closed with the listener, or clients would wait for nobody.
    socket: Arc<Mutex<Option<OwnedFd>>>,
    file: Option<Arc<FileOwner>>,
}

impl ListenerControl {
    /// The listening socket, to be handed to another process; `None` once it is closed.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn socket(&self) -> io::Result<Option<OwnedFd>> {
        self.socket.lock().as_ref().map(OwnedFd::try_clone).transpose()
    }

    /// Lets go of the socket; the door closes its own. With `successor` another process listens on it, and the file
    /// of a unix socket stays; else it is gone when this returns.
    pub fn let_go(&self, successor: bool) {
        match &self.file {
            Some(file) if successor => file.leave(),
            Some(file) => file.remove(),
            None => {}
        }
        self.socket.lock().take();
    }

    /// Takes the file of a unix socket that was handed over for its own: the process before has left it.
    pub fn claim(&self) {
        if let Some(file) = &self.file {
            file.claim();
        }
    }

    /// The address as it was configured.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its certificates.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<TlsAcceptor>> {
        self.tls.as_ref()
    }

    /// Which addresses may connect from now on. Connections that are open stay.
    pub fn set_access(&self, access: Option<&AccessSettings>) {
        self.access.store(Arc::new(access.map(AddressRules::new).unwrap_or_default()));
    }
}

#[derive(Debug)]
pub(crate) enum ListenSocket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

fn tls_side(
    settings: &ListenerSettings,
    acceptor: impl FnOnce(&TlsSettings) -> Result<TlsAcceptor, TlsError>,
) -> Result<Option<TlsAcceptor>, ListenError> {
    let made = settings.tls.as_ref().map(acceptor).transpose();
    made.map_err(|source| ListenError::Tls { address: settings.address.clone(), source })
}

impl BoundListener {
    /// Loads the certificates and binds the address.
    ///
    /// # Errors
    /// Says in one sentence which address cannot be had and why.
    pub fn bind(settings: &ListenerSettings) -> Result<Self, ListenError> {
        Self::bind_with(settings, TlsAcceptor::new)
    }

    /// The same, with a way to make the TLS side: for keys that listeners share.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_with(
        settings: &ListenerSettings,
        acceptor: impl FnOnce(&TlsSettings) -> Result<TlsAcceptor, TlsError>,
    ) -> Result<Self, ListenError> {
        let tls = tls_side(settings, acceptor)?;
        let socket =
            open(settings).map_err(|source| BindError { address: settings.address.clone(), source })?;
        Ok(Self::of(settings, tls, socket))
    }

    /// A listener on a socket that another process bound and handed over.
    ///
    /// # Errors
    /// When its certificates cannot be loaded, or the socket is not one for this address.
    pub fn adopt(
        settings: &ListenerSettings,
        socket: OwnedFd,
        acceptor: impl FnOnce(&TlsSettings) -> Result<TlsAcceptor, TlsError>,
    ) -> Result<Self, ListenError> {
        let tls = tls_side(settings, acceptor)?;
        let socket = adopted(settings, socket)
            .map_err(|source| BindError { address: settings.address.clone(), source })?;
        Ok(Self::of(settings, tls, socket))
    }

    fn of(settings: &ListenerSettings, tls: Option<TlsAcceptor>, socket: ListenSocket) -> Self {
        Self {
            name: settings.address.to_string(),
            socket,
            tls: tls.map(Arc::new),
            h2c: settings.h2c,
            access: Arc::new(ArcSwap::from_pointee(
                settings.access.as_ref().map(AddressRules::new).unwrap_or_default(),
            )),
        }
    }

    /// A handle on what can change while it listens.
    #[must_use]
    pub fn control(&self) -> ListenerControl {
        let (socket, file) = match &self.socket {
            ListenSocket::Tcp(listener) => (listener.as_fd().try_clone_to_owned(), None),
            ListenSocket::Unix(listener, file) => (listener.as_fd().try_clone_to_owned(), Some(file.owner())),
        };
        if let Err(error) = &socket {
            log::warn!("the socket of {} cannot be handed over later: {error}", self.name);
        }
        ListenerControl {
            name: self.name.clone(),
            tls: self.tls.clone(),
            access: Arc::clone(&self.access),
            socket: Arc::new(Mutex::new(socket.ok())),
            file,
        }
    }

    /// The address as it was configured: a label for metrics and logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that was bound, with the port the system chose for port 0. `None` for a unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListenSocket::Tcp(listener) => listener.local_addr().ok(),
            ListenSocket::Unix(..) => None,
        }
    }

    /// The certificates of this listener, for reloads and for their dates.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<TlsAcceptor>> {
        self.tls.clone()
    }

    /// Whether HTTP/2 without TLS is taken here. When any listener takes it, the application must have
    /// `HttpServerOptions::h2c` set; the streams of other listeners keep it off.
    #[must_use]
    pub fn takes_h2c(&self) -> bool {
        self.h2c
    }
}

fn open(settings: &ListenerSettings) -> io::Result<ListenSocket> {
    match &settings.address {
        ListenAddress::Tcp(address) => {
            open_tcp(settings, *address, settings.v6only.unwrap_or(true)).map(ListenSocket::Tcp)
        }
        ListenAddress::AnyAddress(port) => open_any(settings, *port).map(ListenSocket::Tcp),
        ListenAddress::Unix(path) => {
            let mode = settings.mode.unwrap_or_default();
            let (listener, file) = unix::listen(path, mode, backlog(settings))?;
            Ok(ListenSocket::Unix(listener, file))
        }
    }
}

/// Looks whether a socket is what it is said to be, and gives it this configuration's backlog.
fn adopted(settings: &ListenerSettings, socket: OwnedFd) -> io::Result<ListenSocket> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "the socket handed over listens elsewhere");
    let socket = Socket::from(socket);
    let local = socket.local_addr()?;
    socket.set_nonblocking(true)?;
    match &settings.address {
        ListenAddress::Unix(path) => {
            if local.as_pathname() != Some(path.as_path()) {
                return Err(wrong());
            }
            socket.listen(backlog(settings))?;
            let file = SocketFile::adopted(path)?;
            Ok(ListenSocket::Unix(OwnedFd::from(socket).into(), file))
        }
        ListenAddress::Tcp(_) | ListenAddress::AnyAddress(_) => {
            let port = match settings.address {
                ListenAddress::Tcp(address) => address.port(),
                ListenAddress::AnyAddress(port) => port,
                ListenAddress::Unix(_) => 0,
            };
            let local = local.as_socket().ok_or_else(wrong)?;
            if port != 0 && local.port() != port {
                return Err(wrong());
            }
            socket.listen(backlog(settings))?;
            Ok(ListenSocket::Tcp(socket.into()))
        }
    }
}

/// One IPv6 socket takes both families; machines without IPv6 get an IPv4 one.
fn open_any(settings: &ListenerSettings, port: u16) -> io::Result<TcpListener> {
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    match open_tcp(settings, v6, false) {
        Err(error) if lacks_ipv6(&error) => {
            open_tcp(settings, SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port), false)
        }
        outcome => outcome,
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT when the kernel has none, EADDRNOTAVAIL when it is switched off.
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn open_tcp(settings: &ListenerSettings, address: SocketAddr, v6only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before to time out.
    socket.set_reuse_address(true)?;
    if settings.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(v6only)?;
    }
    // Linux hands the option on to accepted connections, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog(settings))?;
    Ok(socket.into())
}

fn backlog(settings: &ListenerSettings) -> i32 {
    i32::try_from(settings.backlog).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
