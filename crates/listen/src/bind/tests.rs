use std::net::{TcpListener, TcpStream};

use super::BoundListener;
use crate::{ListenAddress, ListenerSettings};

fn settings(address: &str) -> ListenerSettings {
    ListenerSettings::new(address.parse().unwrap())
}

#[test]
fn port_0_gets_a_free_port() {
    let bound = BoundListener::bind(&settings("127.0.0.1:0")).unwrap();
    assert_eq!(bound.name(), "127.0.0.1:0");
    TcpStream::connect(bound.local_addr().unwrap()).unwrap();
}

#[test]
fn accepted_connections_do_not_delay_small_writes() {
    let bound = BoundListener::bind(&settings("127.0.0.1:0")).unwrap();
    let _client = TcpStream::connect(bound.local_addr().unwrap()).unwrap();
    let super::ListenSocket::Tcp(listener) = &bound.socket else { panic!("not TCP") };
    assert!(listener.accept().unwrap().0.nodelay().unwrap(), "inherited from the listener");
}

#[test]
fn a_taken_port_is_one_clear_sentence() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let error = BoundListener::bind(&settings(&address)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("cannot listen on {address}: address already in use — another process listens there")
    );
}

#[test]
fn an_address_of_another_machine_is_named() {
    let error = BoundListener::bind(&settings("192.0.2.1:8080")).unwrap_err().to_string();
    assert_eq!(error, "cannot listen on 192.0.2.1:8080: no interface of this machine has this address");
}

#[test]
fn a_low_port_says_what_is_needed() {
    let error = super::BindError {
        address: "0.0.0.0:80".parse::<ListenAddress>().unwrap(),
        source: std::io::ErrorKind::PermissionDenied.into(),
    };
    assert!(error.to_string().contains("CAP_NET_BIND_SERVICE"), "{error}");
}

#[test]
fn two_may_share_a_port_when_both_say_so() {
    let mut first = settings("127.0.0.1:0");
    first.reuse_port = true;
    let held = BoundListener::bind(&first).unwrap();
    let mut second = settings(&held.local_addr().unwrap().to_string());
    assert!(BoundListener::bind(&second).is_err());
    second.reuse_port = true;
    BoundListener::bind(&second).unwrap();
}

#[test]
fn ipv6_and_both_families() {
    let v6 = BoundListener::bind(&settings("[::1]:0")).unwrap();
    TcpStream::connect(v6.local_addr().unwrap()).unwrap();
    let both = BoundListener::bind(&settings(":0")).unwrap();
    let port = both.local_addr().unwrap().port();
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    TcpStream::connect(("::1", port)).unwrap();
}

#[test]
fn v6only_leaves_ipv4_alone() {
    let v6 = BoundListener::bind(&settings("[::]:0")).unwrap();
    let port = v6.local_addr().unwrap().port();
    TcpStream::connect(("::1", port)).unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let mut dual = settings("[::]:0");
    dual.v6only = Some(false);
    let dual = BoundListener::bind(&dual).unwrap();
    TcpStream::connect(("127.0.0.1", dual.local_addr().unwrap().port())).unwrap();
}

#[test]
fn tls_without_a_certificate_names_the_listener() {
    let mut tls = settings("127.0.0.1:0");
    tls.tls = Some(seawall_tls::TlsSettings::default());
    let error = BoundListener::bind(&tls).unwrap_err().to_string();
    assert_eq!(error, "cannot listen on 127.0.0.1:0: TLS needs at least one certificate");
}
