//! One request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use seawall_guard::current_connection;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::access::Access;
use crate::control::{Control, Fault, Reply};
use crate::routes::{Action, Found, find};

/// The largest body of a request.
const MAX_BODY: usize = 16 * 1024;
/// For a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(5);
const OPENAPI: &str = include_str!("../../../docs/openapi.yaml");

/// What all requests have in common.
pub(crate) struct Server {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) access: Access,
    pub(crate) timeout: Duration,
}

impl Server {
    /// Answers a request, whatever it is.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Some(connection) = current_connection() {
            connection.head_complete(!request.body().is_end_stream());
        }
        let found = find(request.method(), request.uri().path());
        let name = match &found {
            Found::Route(name, ..) => *name,
            _ => "unknown",
        };
        let response = match self.guarded(found, request).await {
            Ok(response) => response,
            Err(fault) => refusal(&fault),
        };
        self.control.answered(name, response.status().as_u16());
        response
    }

    async fn guarded(
        self: &Arc<Self>,
        found: Found,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Fault> {
        self.access.check_source(request.uri(), request.headers())?;
        let open = matches!(found, Found::Route(_, _, true, _));
        if !open {
            self.access.check_token(request.headers())?;
        }
        match found {
            Found::Nothing => Err(Fault::new(404, "path", "there is no such path; see /openapi.yaml")),
            Found::OtherMethods(allowed) => {
                let mut response = refusal(&Fault::new(405, "method", format!("only {allowed}")));
                if let Ok(value) = HeaderValue::from_str(&allowed) {
                    response.headers_mut().insert(ALLOW, value);
                }
                Ok(response)
            }
            Found::Route(_, Action::OpenApi, ..) => {
                Ok(respond(StatusCode::OK, "application/yaml", OPENAPI.as_bytes().to_vec()))
            }
            Found::Route(_, action, _, parameter) => self.act(action, parameter, request).await,
        }
    }

    async fn act(
        self: &Arc<Self>,
        action: Action,
        parameter: Option<String>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Fault> {
        if let Action::Ready = action {
            let readiness = self.control.readiness();
            let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            return Ok(json_response(status, &json!({ "ready": readiness.ready, "state": readiness.state })));
        }
        let body = read_body(request).await?;
        // A task of its own: a client that goes away, or waits no longer, does not stop what was begun half-way.
        let server = Arc::clone(self);
        let work = tokio::spawn(async move { server.run(action, parameter.as_deref(), &body).await });
        let value = match timeout(self.timeout, work).await {
            Ok(Ok(reply)) => reply?,
            Ok(Err(error)) => {
                log::error!("a request of the control API failed: {error}");
                return Err(Fault::new(500, "internal", "this request failed; see the log"));
            }
            Err(_) => {
                return Err(Fault::new(504, "timeout", "it takes longer than `admin.timeout` and goes on"));
            }
        };
        Ok(json_response(StatusCode::OK, &value))
    }

    async fn run(&self, action: Action, parameter: Option<&str>, body: &[u8]) -> Reply {
        let control = &self.control;
        match action {
            Action::Live | Action::Ready | Action::OpenApi => Ok(json!({ "live": true })),
            Action::Status => control.status(),
            Action::Plan => control.plan(),
            Action::Pools => control.pools(None),
            Action::Pool => control.pools(parameter),
            Action::Order => control.order(parameter.unwrap_or_default(), &decode(body)?),
            Action::Cache => control.cache(),
            Action::Purge => control.purge(decode(body)?).await,
            Action::Connections => control.connections(),
            Action::Certificates => control.certificates(),
            Action::Log => control.log_level(None),
            Action::SetLog => control.log_level(Some(&decode::<LogLevel>(body)?.level)),
            Action::Reload => control.reload().await,
            Action::Upgrade => control.upgrade().await,
            Action::Stop => control.stop(if body.is_empty() { false } else { decode::<Stop>(body)?.now }),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LogLevel {
    level: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    #[serde(default)]
    now: bool,
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body)
        .map_err(|error| Fault::new(400, "body", format!("the body is not as it should be: {error}")))
}

async fn read_body(request: Request<Incoming>) -> Result<Bytes, Fault> {
    let json = request.headers().get(CONTENT_TYPE).is_some_and(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    let body = Limited::new(request.into_body(), MAX_BODY);
    let bytes = match timeout(BODY_TIME, body.collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Fault::new(413, "body", format!("a body has at most {MAX_BODY} bytes")));
        }
        Ok(Err(_)) => return Err(Fault::new(400, "body", "the body broke off")),
        Err(_) => return Err(Fault::new(408, "body", "the body did not arrive in time")),
    };
    if let Some(connection) = current_connection() {
        connection.body_complete();
    }
    if !bytes.is_empty() && !json {
        return Err(Fault::new(415, "body", "a body is `content-type: application/json`"));
    }
    Ok(bytes)
}

fn refusal(fault: &Fault) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, &fault.to_json());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn json_response(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut text = value.to_string().into_bytes();
    text.push(b'\n');
    respond(status, "application/json", text)
}

fn respond(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
