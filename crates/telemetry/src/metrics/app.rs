//! The listener of the metrics: `GET /metrics`, and for probes `/livez` (also `/healthz`) and `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use tokio::sync::Semaphore;

use super::Metrics;

/// Scrapes rendered at a time; more than a pair of Prometheus servers needs.
const SCRAPES: usize = 4;
/// How long a scraper may take to read or to send what it owes.
const PATIENCE: Duration = Duration::from_secs(10);
/// [`prometheus::TEXT_FORMAT`] and its encoding.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves a [`Metrics`]; make a Pingora `Service` of it: `Service::new(name, MetricsApp::new(metrics))`.
pub struct MetricsApp {
    metrics: Arc<Metrics>,
    scrapes: Semaphore,
}

impl MetricsApp {
    /// An application that answers for `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, scrapes: Semaphore::new(SCRAPES) }
    }

    async fn answer(&self, method: &Method, path: &str) -> Answer {
        let known = matches!(path, "/metrics" | "/healthz" | "/livez" | "/readyz");
        match (known, method) {
            (false, _) => {
                Answer::plain(StatusCode::NOT_FOUND, "not found; try /metrics, /livez or /readyz\n")
            }
            (true, &Method::GET | &Method::HEAD) if path == "/metrics" => self.scrape().await,
            (true, &Method::GET | &Method::HEAD) if path == "/readyz" => self.ready(),
            (true, &Method::GET | &Method::HEAD) => Answer::plain(StatusCode::OK, "ok\n"),
            (true, _) => Answer::plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
        }
    }

    fn ready(&self) -> Answer {
        let (ready, state) = self.metrics.readiness();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Answer::plain(status, &format!("{state}\n"))
    }

    async fn scrape(&self) -> Answer {
        let Ok(_permit) = self.scrapes.try_acquire() else {
            return Answer::plain(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n");
        };
        let metrics = Arc::clone(&self.metrics);
        // Reading /proc with many open descriptors takes milliseconds: not on a thread that serves requests.
        match tokio::task::spawn_blocking(move || metrics.render()).await {
            Ok(Ok(body)) => Answer { status: StatusCode::OK, content_type: TEXT_FORMAT, body },
            Ok(Err(error)) => Answer::failed(&error),
            Err(error) => Answer::failed(&error),
        }
    }
}

struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn plain(status: StatusCode, body: &str) -> Self {
        Self { status, content_type: PLAIN, body: body.to_owned() }
    }

    fn failed(error: &dyn std::error::Error) -> Self {
        log::error!("cannot render the metrics: {error}");
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot render the metrics\n")
    }

    fn into_response(self) -> Response<Vec<u8>> {
        let length = self.body.len();
        // Pingora leaves the body out of the answer to HEAD.
        let mut response = Response::new(self.body.into_bytes());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.content_type));
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

#[async_trait]
impl ServeHttp for MetricsApp {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        session.set_read_timeout(Some(PATIENCE));
        session.set_write_timeout(Some(PATIENCE));
        session.set_total_drain_timeout(Some(PATIENCE));
        let head = session.req_header();
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        if method != Method::GET && method != Method::HEAD {
            // Whatever body follows is not worth reading.
            session.set_keepalive(None);
        }
        self.answer(&method, &path).await.into_response()
    }
}

#[cfg(test)]
mod tests;
