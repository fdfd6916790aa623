//! Ports that nobody else gets.

use crate::wait::OrDie;
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// A port of `127.0.0.1`, reserved while this lives.
///
/// The reservation is a socket bound to it that never listens. The kernel then gives the port to no one who
/// asks for any, nor to an outgoing connection; but a server that asks for this very port with
/// `SO_REUSEADDR`, as every server does, may bind it beside the reservation and listen. So there is no moment
/// in which the port is free for another test, and until the server listens a connection is refused.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reserved: Socket,
}

impl Default for Port {
    fn default() -> Self {
        Self::reserve()
    }
}

impl Port {
    /// A port that was free.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).or_die("make a socket");
        socket.set_reuse_address(true).or_die("share an address");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).or_die("reserve a port");
        let address = socket.local_addr().or_die("read the address").as_socket().or_die("read the address");
        Self { number: address.port(), _reserved: socket }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_reserved_port_refuses_until_its_server_listens() {
        let port = Port::reserve();
        assert!(TcpStream::connect(port.addr()).is_err());
        let server = TcpListener::bind(port.addr()).expect("the server may bind it");
        assert!(TcpStream::connect(port.addr()).is_ok());
        assert!(TcpListener::bind(port.addr()).is_err(), "a second server may not");
        drop(server);
    }

    #[test]
    fn no_one_else_is_given_a_reserved_port() {
        let ports: Vec<Port> = (0..200).map(|_| Port::reserve()).collect();
        let numbers: HashSet<u16, std::hash::BuildHasherDefault<std::hash::DefaultHasher>> =
            ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        for _ in 0..200 {
            let other = TcpListener::bind("127.0.0.1:0").unwrap();
            assert!(!numbers.contains(&other.local_addr().unwrap().port()));
        }
    }
}
