//! One health check of one server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::Method;
use pingora_core::connectors::TransportConnector;
use pingora_core::connectors::http::Connector as HttpConnector;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, OrErr as _, Result};
use pingora_http::RequestHeader;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use rand::Rng as _;
use tokio::sync::Semaphore;

use crate::floor::TlsFloor;
use crate::member::Member;
use crate::members::Members;
use crate::seed::Seed;
use crate::settings::{HealthSettings, StatusRange, UpstreamSettings};

/// An error text longer than this helps nobody in a status page.
const MAX_ERROR: usize = 200;

/// The health check of a pool, run by Pingora's health registry.
///
/// Pingora's own checks bound each read but not the whole check, use no TLS floor, and check every server at the same
/// moment; this one adds that and uses the very peer that requests use.
pub(crate) struct Probe {
    pool: Arc<str>,
    members: Arc<ArcSwap<Members>>,
    question: Question,
    floor: TlsFloor,
    timeout: Duration,
    max_delay: Duration,
    healthy_threshold: usize,
    unhealthy_threshold: usize,
    permits: Semaphore,
    seed: Arc<Seed>,
}

enum Question {
    /// Does a connection come about?
    Connect(TransportConnector),
    /// Does a request get the right status?
    Http { connector: Box<HttpConnector>, request: HttpQuestion },
}

struct HttpQuestion {
    method: Method,
    path: String,
    /// The same for all servers; `None` when it depends on the server.
    host: Option<String>,
    expected: Vec<StatusRange>,
}

impl Probe {
    /// `None` when a method in `health` is none.
    pub(crate) fn new(
        pool: Arc<str>,
        health: &HealthSettings,
        settings: &UpstreamSettings,
        members: Arc<ArcSwap<Members>>,
        seed: Arc<Seed>,
    ) -> Option<Self> {
        let question = match health.http.as_deref() {
            None => Question::Connect(TransportConnector::new(None)),
            Some(http) => Question::Http {
                connector: Box::new(HttpConnector::new(None)),
                request: HttpQuestion {
                    method: http.method.parse().ok()?,
                    path: http.path.clone(),
                    host: http.host.clone().or_else(|| settings.set_host().map(str::to_owned)),
                    expected: http.expected_statuses.to_vec(),
                },
            },
        };
        Some(Self {
            pool,
            members,
            question,
            floor: TlsFloor::new(settings.tls().map(|tls| tls.min_version)),
            timeout: health.timeout.duration(),
            max_delay: health.interval.duration().mul_f64(f64::from(health.jitter_percent.min(100)) / 100.0),
            healthy_threshold: health.healthy_threshold as usize,
            unhealthy_threshold: health.unhealthy_threshold as usize,
            permits: Semaphore::new(health.max_parallel as usize),
            seed,
        })
    }

    async fn ask(&self, member: &Member) -> Result<()> {
        let mut peer = member.peer.clone();
        // A connection of its own for each check: an old one would hide a listener that is gone. One stream on it,
        // so that Pingora keeps it for nobody else.
        peer.options.max_h2_streams = 1;
        match &self.question {
            Question::Connect(connector) => {
                let stream = connector.new_stream(&peer).await?;
                self.refuse_weak(stream.get_ssl_digest().as_deref())
            }
            Question::Http { connector, request } => self.ask_http(connector, request, &peer, member).await,
        }
    }

    async fn ask_http(
        &self,
        connector: &HttpConnector,
        question: &HttpQuestion,
        peer: &HttpPeer,
        member: &Member,
    ) -> Result<()> {
        let (mut session, _) = connector.get_http_session(peer).await?;
        self.refuse_weak(session.digest().and_then(|digest| digest.ssl_digest.as_deref()))?;
        session.write_request_header(Box::new(question.header(member)?)).await?;
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let status = session.response_header().map_or(0, |head| head.status.as_u16());
        session.shutdown().await;
        if question.expected.iter().any(|range| range.contains(status)) {
            return Ok(());
        }
        Error::e_explain(ErrorType::HTTPStatus(status), "not an expected status of a health check")
    }

    fn refuse_weak(&self, tls: Option<&SslDigest>) -> Result<()> {
        self.floor.check(tls).or_err(ErrorType::TLSHandshakeFailure, "in a health check")
    }

    fn count(&self, member: &Member, result: &Result<()>) {
        match result {
            Ok(()) => {
                member.live.checks_passed.fetch_add(1, Ordering::Relaxed);
                *member.live.check_error.lock() = None;
            }
            Err(error) => {
                member.live.checks_failed.fetch_add(1, Ordering::Relaxed);
                let text: String = error.to_string().trim().chars().take(MAX_ERROR).collect();
                *member.live.check_error.lock() = Some(text);
            }
        }
    }

    /// A server's first check comes at once, the others late by chance.
    async fn wait_for_turn(&self, member: &Member) {
        let live = &member.live;
        let checked = live.checks_passed.load(Ordering::Relaxed) + live.checks_failed.load(Ordering::Relaxed);
        if checked > 0 && !self.max_delay.is_zero() {
            let part = rand::rng().random_range(0.0..1.0);
            tokio::time::sleep(self.max_delay.mul_f64(part)).await;
        }
    }
}

impl HttpQuestion {
    fn header(&self, member: &Member) -> Result<RequestHeader> {
        let mut header = RequestHeader::build(self.method.clone(), self.path.as_bytes(), Some(3))?;
        let host = match &self.host {
            Some(host) => host.clone(),
            None if !member.peer.sni.is_empty() => member.peer.sni.clone(),
            None => match &member.address {
                SocketAddr::Inet(address) => address.to_string(),
                SocketAddr::Unix(_) => "localhost".to_owned(),
            },
        };
        header.insert_header(http::header::HOST, host)?;
        header.insert_header(http::header::USER_AGENT, "seawall-health-check")?;
        header.insert_header(http::header::ACCEPT, "*/*")?;
        Ok(header)
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, target: &Backend) -> Result<()> {
        match self.seed.says(&target.addr) {
            Some(true) => return Ok(()),
            Some(false) => return Error::e_explain(ErrorType::ConnectError, "unhealthy before the reload"),
            None => {}
        }
        // Gone since the round began: there is nobody to report on.
        let Some(member) = self.members.load().find(&target.addr).cloned() else { return Ok(()) };
        self.wait_for_turn(&member).await;
        let _permit =
            self.permits.acquire().await.or_err(ErrorType::InternalError, "health checks have ended")?;
        let result = match tokio::time::timeout(self.timeout, self.ask(&member)).await {
            Ok(result) => result,
            Err(_) => Error::e_explain(
                ErrorType::ReadTimedout,
                format!("the health check did not end within {:?}", self.timeout),
            ),
        };
        self.count(&member, &result);
        result
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        if let Some(member) = self.members.load().find(&target.addr) {
            member.live.unhealthy.store(!healthy, Ordering::Relaxed);
        }
    }

    fn backend_summary(&self, target: &Backend) -> String {
        format!("upstream {}: server {}", self.pool, target.addr)
    }

    fn health_threshold(&self, success: bool) -> usize {
        match (self.seed.is_sowing(), success) {
            (true, _) => 1,
            (false, true) => self.healthy_threshold,
            (false, false) => self.unhealthy_threshold,
        }
    }
}
