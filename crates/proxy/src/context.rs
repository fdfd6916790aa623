//! What is remembered about one request between its phases.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderName, HeaderValue};
use pingora_cache::CacheKey;
use pingora_core::protocols::SocketDigest;
use seawall_caching::no_vary_search::Learned;
use seawall_caching::{BypassReason, Terms};
use seawall_guard::BodyMeter;
use seawall_routing::Captures;
use seawall_store::Epoch;
use seawall_telemetry::CacheResult;
use seawall_upstream::{Selected, ServerId, SilenceWatch};

use crate::forwarding::Client;
use crate::phases::encode::Agreed;
use crate::phases::parts::PartRequest;
use crate::phases::post::Copy;
use crate::phases::record;
use crate::plan::{Plan, RoutePlan};
use crate::refreshes::Place;
use crate::request_id::RequestId;
use crate::zone::Zone;

/// One request.
pub struct Context {
    pub(crate) plan: Arc<Plan>,
    pub(crate) started: Instant,
    pub(crate) id: RequestId,
    pub(crate) client: Client,
    /// The client's connection, for the log of a request that ends without it.
    pub(crate) socket: Option<Arc<SocketDigest>>,
    pub(crate) https: bool,
    pub(crate) method: http::Method,
    /// It is in the metrics and the log.
    pub(crate) recorded: bool,
    /// Normalised; empty until the request is admitted.
    pub(crate) host: String,
    /// Path and query as they are routed on, keyed on and forwarded.
    pub(crate) target: String,
    pub(crate) route: Option<Arc<RoutePlan>>,
    pub(crate) captures: Captures,
    pub(crate) body: BodyMeter,
    /// The request re-runs the phases in the background, to refresh a stale response.
    pub(crate) refresh: bool,
    /// The place among the refreshes: this one's, or that of the refresh that this request is about to start.
    pub(crate) refreshing: Option<Place>,
    /// The client has left, and its answer goes on into the store.
    pub(crate) client_left: AtomicBool,
    /// It did, until nobody was left to read it.
    pub(crate) fill_stopped: bool,
    /// A `PURGE` that is allowed.
    pub(crate) purge: bool,
    /// The connection has become a tunnel (WebSocket).
    pub(crate) tunnel: bool,
    pub(crate) cache: CacheFacts,
    /// The name of the response in the store, when it was made before Pingora asks for it.
    pub(crate) key: Option<CacheKey>,
    /// A range request that is answered with a part of the object.
    pub(crate) part: Option<PartRequest>,
    /// What the client of a route that compresses is to get.
    pub(crate) encoding: Option<Agreed>,
    pub(crate) upstream: UpstreamFacts,
    /// A POST response on its way into the store.
    pub(crate) copy: Option<Box<Copy>>,
    pub(crate) first_byte: Option<Duration>,
    /// Why the request was refused or failed, as a fixed word.
    pub(crate) error: &'static str,
    /// The answer is being written, and whatever fails then leaves no other.
    pub(crate) answering: bool,
    /// The end of the connection is the end of the answer's body.
    pub(crate) ends_with_connection: bool,
}

/// What the cache had to do with it.
#[derive(Default, Clone)]
pub(crate) struct CacheFacts {
    pub(crate) result: CacheResult,
    pub(crate) bypass: Option<BypassReason>,
    /// Why the response was not stored, or how it was.
    pub(crate) stored: Stored,
    pub(crate) origin_status: Option<u16>,
    pub(crate) ttl: Option<i64>,
    pub(crate) collapsed: bool,
    /// The origin was asked, whatever came of it.
    pub(crate) asked: bool,
    /// Whether it may ask the store is decided: `bypass` tells, and `terms`.
    pub(crate) met: bool,
    /// On which terms the request met the store.
    pub(crate) terms: Terms,
    /// When the request began in the history of purges: an answer older than a purge is not stored.
    pub(crate) epoch: Option<Epoch>,
    /// The response is not what the client gets.
    pub(crate) instead: Option<Instead>,
    /// Which query parameters make no difference, by an earlier response for the path.
    pub(crate) search: Option<Learned>,
    /// Something is stored for the URI, but for other request fields.
    pub(crate) vary_missed: bool,
    /// Parts of the object are stored, but not what was asked for.
    pub(crate) partial: bool,
    /// What was found was stale.
    pub(crate) stale_found: bool,
    /// It stands in for an origin that failed another request while this one was under way.
    pub(crate) stands_in: bool,
    /// It is served without starting a refresh, for this reason in a fixed word.
    pub(crate) unasked: Option<&'static str>,
    /// The key is remembered as one whose responses are not stored.
    pub(crate) predicted: bool,
    /// The request's own directives sent it past a fresh response.
    pub(crate) demanded: bool,
    /// What the origin just said makes the stored response unfit for the next request.
    pub(crate) discard: bool,
    /// Fields that only the client who is being answered may see: the stored copy is without them.
    pub(crate) withheld: Vec<(HeaderName, HeaderValue)>,
    /// The 304's own fields, for a full update of the stored ones (RFC 9111 §3.2).
    pub(crate) not_modified: Option<Box<pingora_http::ResponseHeader>>,
}

/// An answer without content in the place of a response that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instead {
    /// The client's If-Match or If-Unmodified-Since does not hold: 412.
    PreconditionFailed,
    /// The client asks for bytes beyond this length: 416.
    Unsatisfiable(usize),
}

/// Whether the response went into the store.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It never came to that.
    #[default]
    Undecided,
    /// It did.
    Yes,
    /// It did not, with the reason in a fixed word.
    No(&'static str),
}

/// What the upstream had to do with it.
#[derive(Default)]
pub(crate) struct UpstreamFacts {
    pub(crate) selected: Option<Selected>,
    /// The server's name, kept after `selected` is gone.
    pub(crate) server: String,
    pub(crate) tried: Vec<ServerId>,
    pub(crate) tries: u32,
    pub(crate) began: Option<Instant>,
    /// When the latest try went out (RFC 9111 §4.2.3 `request_time`).
    pub(crate) requested: Option<SystemTime>,
    /// When the latest try had its connection, from which on the server has the request.
    pub(crate) sent: Option<Instant>,
    /// From then to the head of the answer.
    pub(crate) first_byte: Option<Duration>,
    pub(crate) took: Option<Duration>,
    pub(crate) silence: Option<SilenceWatch>,
    /// The next try is paid for.
    pub(crate) retry_granted: bool,
    /// Interim responses that came.
    pub(crate) interim: u32,
    /// The latest try was counted.
    pub(crate) reported: bool,
}

impl Context {
    /// Where the responses of its route are kept.
    pub(crate) fn zone(&self) -> Option<&'static Zone> {
        self.route.as_ref()?.zone
    }

    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let body = plan.limits.body_meter();
        plan.metrics.request_began();
        Self {
            plan,
            started: Instant::now(),
            id: RequestId::generate(),
            client: Client { peer: None, address: None, trusted: false },
            socket: None,
            https: false,
            method: http::Method::GET,
            recorded: false,
            host: String::new(),
            target: String::new(),
            route: None,
            captures: Captures::default(),
            body,
            refresh: false,
            refreshing: None,
            client_left: AtomicBool::new(false),
            fill_stopped: false,
            purge: false,
            tunnel: false,
            cache: CacheFacts::default(),
            key: None,
            part: None,
            encoding: None,
            upstream: UpstreamFacts::default(),
            copy: None,
            first_byte: None,
            error: "",
            answering: false,
            ends_with_connection: false,
        }
    }

    /// The scheme the client used.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        record::abandoned(self);
        if self.tunnel {
            self.plan.metrics.tunnel_ended();
        }
        self.plan.metrics.request_ended();
    }
}
