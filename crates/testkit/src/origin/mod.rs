//! A recording origin that does what its script says, right or wrong.

mod accept;
pub(crate) mod gate;
mod h1;
pub(crate) mod h2;
pub(crate) mod record;
pub(crate) mod reply;
mod stream;

use crate::pki::Identity;
use crate::wait::{DEADLINE, OrDie, eventually};
use accept::{Acceptor, Door};
use h1::Manners;
use record::{Journal, Request};
use reply::Reply;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// How long a stopping origin waits for handlers that are still busy.
const STOP: Duration = Duration::from_secs(1);

/// An HTTP server for a test, on its own threads. It records every request, and its handler decides the
/// answers. Dropping it closes its port and its connections.
pub struct Origin {
    address: String,
    journal: Arc<Journal>,
    sever: watch::Sender<bool>,
    runtime: Option<Runtime>,
    handler: Handler,
}

/// The test's side of an origin.
#[derive(Clone)]
struct Handler(Arc<dyn Fn(&Request) -> Reply + Send + Sync>);

impl Handler {
    /// Asks on a thread that may block.
    async fn ask(&self, request: Request) -> Reply {
        let handler = Arc::clone(&self.0);
        let answer = tokio::task::spawn_blocking(move || handler(&request)).await;
        answer.unwrap_or_else(|_panicked| Reply::new(500).body("the test's handler panicked").close())
    }
}

/// The choices for an [`Origin`].
pub struct OriginBuilder {
    handler: Handler,
    door: Door,
    tls: Option<TlsChoices>,
    http2: bool,
    manners: Manners,
    h2: ::h2::server::Builder,
}

struct TlsChoices {
    identity: Identity,
    clients: Option<PathBuf>,
    versions: Option<(String, String)>,
    alpn: Option<Vec<String>>,
}

impl Origin {
    /// An HTTP/1 origin on a free port of `127.0.0.1`.
    #[must_use]
    pub fn h1<R: Into<Reply>>(handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Self {
        Self::builder(handler).start()
    }

    /// An HTTP/2 origin (prior knowledge) on a free port of `127.0.0.1`.
    #[must_use]
    pub fn h2<R: Into<Reply>>(handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Self {
        Self::builder(handler).http2().start()
    }

    /// An origin with choices of its own.
    #[must_use]
    pub fn builder<R: Into<Reply>>(handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> OriginBuilder {
        OriginBuilder {
            handler: Handler(Arc::new(move |request| handler(request).into())),
            door: Door::Tcp("127.0.0.1:0".into()),
            tls: None,
            http2: false,
            manners: Manners { continues: true, early: false },
            h2: ::h2::server::Builder::new(),
        }
    }

    /// Where it listens: `127.0.0.1:port`, or `unix:/path`.
    #[must_use]
    pub fn addr(&self) -> &str {
        &self.address
    }

    /// Its port; 0 on a unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    /// How many request heads it received, answered or not.
    #[must_use]
    pub fn count(&self) -> usize {
        load(&self.journal.heads)
    }

    /// The requests it received to their end (or to the end of their connection), in that order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.journal.requests.lock().clone()
    }

    /// The requests for this path, its query not counted.
    #[must_use]
    pub fn requests_for(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// The latest request.
    ///
    /// # Panics
    /// There is none.
    #[track_caller]
    #[must_use]
    pub fn last(&self) -> Request {
        self.journal.requests.lock().last().cloned().or_die("name the last request: there was none")
    }

    /// Forgets the recorded requests and their count.
    pub fn forget(&self) {
        self.journal.requests.lock().clear();
        self.journal.heads.store(0, Ordering::SeqCst);
    }

    /// How many connections it accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        load(&self.journal.connections)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        load(&self.journal.open)
    }

    /// How many connections ended in their TLS handshake.
    #[must_use]
    pub fn failed_handshakes(&self) -> usize {
        load(&self.journal.failed_handshakes)
    }

    /// The bytes it received after answering 101.
    #[must_use]
    pub fn tunnelled(&self) -> Vec<u8> {
        self.journal.tunnelled.lock().clone()
    }

    /// Waits until `count` requests have been recorded, and returns them.
    ///
    /// # Panics
    /// They do not come within [`DEADLINE`].
    #[track_caller]
    pub fn wait_requests(&self, count: usize) -> Vec<Request> {
        eventually(DEADLINE, &format!("{count} requests at the origin"), || {
            let requests = self.requests();
            let seen: Vec<_> =
                requests.iter().map(|each| format!("{} {}", each.method, each.target)).collect();
            if requests.len() >= count { Ok(requests) } else { Err(format!("{seen:?}")) }
        })
    }

    /// Waits until exactly `count` connections are open.
    ///
    /// # Panics
    /// That is not so within [`DEADLINE`].
    #[track_caller]
    pub fn wait_open(&self, count: usize) {
        eventually(DEADLINE, &format!("{count} open connections at the origin"), || {
            let open = self.open_connections();
            if open == count { Ok(()) } else { Err(format!("{open} open")) }
        });
    }

    /// Closes all open connections at once; new ones are still accepted.
    pub fn sever(&self) {
        self.sever.send_modify(|reset| *reset = false);
    }

    /// Resets all open connections at once; new ones are still accepted.
    pub fn sever_with_reset(&self) {
        self.sever.send_modify(|reset| *reset = true);
    }

    /// Stops listening and closes everything. The record remains.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP);
        }
    }

    /// An origin with the same handler at the same address, after [`Origin::stop`].
    ///
    /// # Panics
    /// The address is taken.
    #[track_caller]
    #[must_use]
    pub fn again(&self) -> OriginBuilder {
        let handler = self.handler.clone();
        Self::builder(move |request| (handler.0)(request)).at(&self.address)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

impl OriginBuilder {
    /// Listens on this address: `127.0.0.1:port`, `[::1]:0`, or `unix:/path`.
    #[must_use]
    pub fn at(mut self, address: impl Display) -> Self {
        let address = address.to_string();
        self.door = match address.strip_prefix("unix:") {
            Some(path) => Door::Unix(path.into()),
            None => Door::Tcp(address),
        };
        self
    }

    /// Speaks HTTP/2, with prior knowledge or by ALPN, and nothing else.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Speaks TLS with this certificate. ALPN is `h2` or `http/1.1`, as the origin speaks.
    #[must_use]
    pub fn tls(mut self, identity: &Identity) -> Self {
        self.tls = Some(TlsChoices { identity: identity.clone(), clients: None, versions: None, alpn: None });
        self
    }

    /// Speaks TLS, and both HTTP/2 and HTTP/1.1, as ALPN decides (HTTP/2 preferred).
    #[must_use]
    pub fn tls_with_both(self, identity: &Identity) -> Self {
        let mut both = self.tls(identity);
        both.choose(|tls| tls.alpn = Some(vec!["h2".into(), "http/1.1".into()]));
        both
    }

    /// Demands a client certificate signed by this authority.
    ///
    /// # Panics
    /// There is no TLS yet.
    #[track_caller]
    #[must_use]
    pub fn client_ca(mut self, file: &Path) -> Self {
        self.choose(|tls| tls.clients = Some(file.into()));
        self
    }

    /// Accepts the versions from `lowest` to `highest`, each one of `1.0`, `1.1`, `1.2`, `1.3`.
    ///
    /// # Panics
    /// There is no TLS yet.
    #[track_caller]
    #[must_use]
    pub fn tls_versions(mut self, lowest: &str, highest: &str) -> Self {
        self.choose(|tls| tls.versions = Some((lowest.into(), highest.into())));
        self
    }

    #[track_caller]
    fn choose(&mut self, change: impl FnOnce(&mut TlsChoices)) {
        change(self.tls.as_mut().or_die("change TLS: call `tls` first"));
    }

    /// Asks the handler as soon as the head is there, before the body is read. What is recorded then has no
    /// body, and no `100 Continue` is awaited.
    #[must_use]
    pub fn answer_early(mut self) -> Self {
        self.manners.early = true;
        self
    }

    /// Leaves `Expect: 100-continue` without a 100.
    #[must_use]
    pub fn without_continue(mut self) -> Self {
        self.manners.continues = false;
        self
    }

    /// HTTP/2: allows so many streams at a time.
    #[must_use]
    pub fn max_streams(mut self, streams: u32) -> Self {
        self.h2.max_concurrent_streams(streams);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// The address is taken, or a certificate cannot be read.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Origin {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().build().or_die("make a runtime");
        let tls = self.tls.as_ref().map(|choices| accept::context(choices, self.http2));
        let journal = Arc::new(Journal::default());
        let sever = watch::Sender::new(false);
        let acceptor = Acceptor {
            tls,
            http2: self.http2,
            manners: self.manners,
            h2: self.h2,
            handler: self.handler.clone(),
            journal: Arc::clone(&journal),
            sever: sever.clone(),
        };
        let what = format!("listen on {}", self.door);
        let address = runtime.block_on(acceptor.open(self.door)).or_die(&what);
        Origin { address, journal, sever, runtime: Some(runtime), handler: self.handler }
    }
}

fn load(counter: &std::sync::atomic::AtomicU64) -> usize {
    usize::try_from(counter.load(Ordering::SeqCst)).unwrap_or(usize::MAX)
}
