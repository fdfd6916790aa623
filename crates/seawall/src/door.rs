//! The application behind the front door, and what of it can change while it runs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use seawall_guard::{CONNECTION, ConnectionState, Limits};
use seawall_listen::Door;
use seawall_proxy::Seawall;
use tokio::sync::watch;

use crate::handover::Health;
use crate::observe::OpenConnections;

/// How long idle HTTP/1 connections stay once the process drains. Their clients may be about to send: they get their
/// answer with `Connection: close`, which no client mistakes, while a close out of nowhere may cross a request.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// The proxy with options that connections to come are given.
pub(crate) struct Front {
    proxy: Arc<HttpProxy<Seawall>>,
    h2c: bool,
    open: Arc<OpenConnections>,
    current: ArcSwap<Configured>,
}

/// The proxy with the options of one configuration. Connections keep it to their end.
struct Configured {
    proxy: Arc<HttpProxy<Seawall>>,
    server: HttpServerOptions,
    h2: H2Options,
}

impl Front {
    pub(crate) fn new(
        proxy: HttpProxy<Seawall>,
        limits: &Limits,
        h2c: bool,
        open: Arc<OpenConnections>,
    ) -> Arc<Self> {
        let proxy = Arc::new(proxy);
        let current = ArcSwap::from_pointee(Configured::new(&proxy, limits, h2c));
        Arc::new(Self { proxy, h2c, open, current })
    }

    /// Other limits for connections to come.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        self.current.store(Arc::new(Configured::new(&self.proxy, limits, self.h2c)));
    }
}

impl Configured {
    fn new(proxy: &Arc<HttpProxy<Seawall>>, limits: &Limits, h2c: bool) -> Self {
        Self { proxy: Arc::clone(proxy), server: limits.server_options(h2c), h2: limits.h2_options() }
    }
}

/// The application for one connection.
struct ForConnection {
    configured: Arc<Configured>,
    /// True once the connection has ended. Over HTTP/2 its requests are tasks of their own, which outlive it.
    ended: watch::Sender<bool>,
}

#[async_trait]
impl HttpServerApp for ForConnection {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let proxy = &self.configured.proxy;
        if !session.is_http2() {
            return proxy.process_new_http(session, shutdown).await;
        }
        let state = ConnectionState::new();
        state.streaming();
        let served = CONNECTION.scope(Arc::clone(&state), proxy.process_new_http(session, shutdown));
        tokio::select! {
            biased;
            reused = served => reused,
            () = ended_while_waiting(&state, self.ended.subscribe()) => None,
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.configured.h2.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.configured.server)
    }
}

/// Returns once the connection has ended while its request waited for another's answer: Pingora would not notice before
/// there is something to write. Never returns otherwise.
async fn ended_while_waiting(state: &ConnectionState, mut ended: watch::Receiver<bool>) {
    loop {
        state.until_waiting(true).await;
        tokio::select! {
            () = state.until_waiting(false) => {}
            // A sender that is gone is a connection that has ended.
            _ = ended.wait_for(|ended| *ended) => return,
        }
    }
}

/// What the door runs: [`Front`], as an application.
pub(crate) struct FrontApp(pub(crate) Arc<Front>);

#[async_trait]
impl ServerApp for FrontApp {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (ended, _) = watch::channel(false);
        let connection = Arc::new(ForConnection { configured: self.0.current.load_full(), ended });
        let next = connection.process_new(stream, shutdown).await;
        connection.ended.send_replace(true);
        next
    }

    /// Called once no connections are taken any more. Pingora then closes those that wait for a request.
    async fn cleanup(&self) {
        let until = tokio::time::Instant::now() + IDLE_GRACE;
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while self.0.open.get() > 0 && tokio::time::Instant::now() < until {
            look.tick().await;
        }
        self.0.proxy.http_cleanup().await;
    }
}

/// A door that opens when the process may take connections and closes when it is told, which is before Pingora knows
/// of it.
pub(crate) struct Draining<A> {
    pub(crate) door: Door<A>,
    pub(crate) open: watch::Receiver<bool>,
    pub(crate) draining: watch::Receiver<bool>,
    /// Answers for the process while the door is closed.
    pub(crate) health: Option<Health>,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for Draining<A> {
    async fn start_service(&mut self, fds: Option<ListenFds>, _: ShutdownWatch, per_listener: usize) {
        let answering = async {
            match &mut self.health {
                Some(health) => health.answer(&self.draining).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // A sender that is gone will never open it: then the process is about to end.
            opened = self.open.wait_for(|open| *open) => if opened.is_err() { return },
            () = answering => {}
        }
        self.health = None;
        Service::start_service(&mut self.door, fds, self.draining.clone(), per_listener).await;
    }
    fn name(&self) -> &str {
        Service::name(&self.door)
    }
    fn threads(&self) -> Option<usize> {
        Service::threads(&self.door)
    }
    fn listen_addresses(&self) -> Option<Vec<String>> {
        Service::listen_addresses(&self.door)
    }
}
