//! Binding, before anything else starts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use seawall_guard::AddressRules;
use seawall_tls::{TlsAcceptor, TlsError};
use socket2::{Domain, Protocol, Socket, Type};

use crate::unix::{self, SocketFile};
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
    pub(crate) access: AddressRules,
}

#[derive(Debug)]
pub(crate) enum ListenSocket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl BoundListener {
    /// Loads the certificates and binds the address.
    ///
    /// # Errors
    /// Says in one sentence which address cannot be had and why.
    pub fn bind(settings: &ListenerSettings) -> Result<Self, ListenError> {
        let tls = settings
            .tls
            .as_ref()
            .map(TlsAcceptor::new)
            .transpose()
            .map_err(|source| ListenError::Tls { address: settings.address.clone(), source })?;
        let socket =
            open(settings).map_err(|source| BindError { address: settings.address.clone(), source })?;
        Ok(Self {
            name: settings.address.to_string(),
            socket,
            tls: tls.map(Arc::new),
            h2c: settings.h2c,
            access: settings.access.as_ref().map(AddressRules::new).unwrap_or_default(),
        })
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
