//! The listener of the metrics.
//!
//! It is a [`Door`] like the one for clients: bound once, before anything starts, and kept. Pingora's own listening
//! service binds when it starts, and panics when somebody else was faster; it also has no cap on connections.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use seawall_config::OneOrMany;
use seawall_guard::{Limits, LimitsSettings, current_connection};
use seawall_listen::{
    BoundListener, Cut, Door, DoorObserver, Gate, ListenAddress, ListenerSettings, Refusal,
};
use seawall_telemetry::metrics::Metrics;
use seawall_telemetry::{MetricsApp, MetricsSettings};

/// The listener of the metrics.
pub(crate) fn listener(address: SocketAddr) -> ListenerSettings {
    ListenerSettings::new(ListenAddress::Tcp(address))
}

/// The service on a bound address. Scrapers are held to the deadlines of `limits`, and have a cap of their own, so that
/// clients that use up theirs do not blind the operator.
pub(crate) fn service(
    bound: BoundListener,
    settings: &MetricsSettings,
    limits: &LimitsSettings,
    metrics: Arc<Metrics>,
) -> Door<Scrapes> {
    let limits = Limits::new(&LimitsSettings {
        max_connections: Some(settings.max_connections),
        max_connections_per_address: settings.max_connections,
        uncounted_addresses: OneOrMany::default(),
        ..limits.clone()
    });
    let watch: Arc<dyn DoorObserver> = Arc::new(Refusals(Arc::clone(&metrics)));
    let app = Scrapes(Arc::new(HttpServer::new_app(Timed(MetricsApp::new(metrics)))));
    let mut door = Door::new("metrics", app, vec![(bound, watch)], Gate::new(&limits));
    door.set_threads(1);
    door
}

/// Counts what goes wrong. Open connections are not counted: each look at them would find its own.
struct Refusals(Arc<Metrics>);

impl DoorObserver for Refusals {
    fn refused(&self, _: Refusal) {
        self.0.refused().inc("metrics_connections");
    }
    fn cut(&self, why: Cut) {
        if why != Cut::Idle {
            self.0.refused().inc(why.label());
        }
    }
}

/// The application, which tells the door where each request stands.
pub(crate) struct Scrapes(Arc<HttpServer<Timed>>);

#[async_trait]
impl HttpServerApp for Scrapes {
    async fn process_new_http(
        self: &Arc<Self>,
        http: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let kept = self.0.process_new_http(http, shutdown).await;
        if let Some(connection) = current_connection() {
            connection.body_complete();
            connection.request_done();
        }
        kept
    }
}

struct Timed(MetricsApp);

#[async_trait]
impl ServeHttp for Timed {
    async fn response(&self, session: &mut ServerSession) -> http::Response<Vec<u8>> {
        if let Some(connection) = current_connection() {
            connection.head_complete(!session.is_body_empty());
        }
        self.0.response(session).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use seawall_listen::{BoundListener, ListenError};
    use std::net::{TcpListener, TcpStream};

    fn bind(address: SocketAddr) -> Result<BoundListener, ListenError> {
        BoundListener::bind(&super::listener(address))
    }

    #[test]
    fn a_bound_address_is_never_let_go() {
        let bound = bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = bound.local_addr().expect("an address");
        assert!(TcpStream::connect(address).is_ok(), "the system keeps scrapers waiting");
        let second = TcpListener::bind(address).map(drop).expect_err("the port is taken");
        assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse);
        let error = bind(address).map(drop).expect_err("for us, too").to_string();
        assert!(error.contains("already in use"), "{error}");
    }
}
