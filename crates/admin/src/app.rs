//! The API behind a front door.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;

use crate::access::Access;
use crate::control::Control;
use crate::serve::Server;

/// A request head: this many bytes and fields, in this time.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;
const HEAD_TIME: Duration = Duration::from_secs(5);

/// Serves a [`Control`] on whatever `seawall_listen::Door` accepts; the door keeps caps, TLS and deadlines.
pub struct AdminApp {
    server: Arc<Server>,
}

impl AdminApp {
    /// An application that answers for `control` to whom `access` lets in.
    #[must_use]
    pub fn new(control: Arc<dyn Control>, access: Access, timeout: Duration) -> Self {
        Self { server: Arc::new(Server { control, access, timeout }) }
    }
}

#[async_trait]
impl ServerApp for AdminApp {
    async fn process_new(self: &Arc<Self>, stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        let service = service_fn(|request| {
            let server = Arc::clone(&self.server);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        // One request a connection: an operator's tools need no more, and then nothing idle is held open.
        let serving = http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_FIELDS)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = serving {
            log::debug!("a connection to the control API ended: {error}");
        }
        None
    }
}
