//! The resolved configuration that requests run under: immutable, shared, taken once by each request.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pingora_cache::lock::CacheKeyLockImpl;
use seawall_caching::{CachePolicy, TagFields};
use seawall_compress::CompressPolicy;
use seawall_config::units::CidrSet;
use seawall_files::FilesOrigin;
use seawall_guard::Limits;
use seawall_routing::{CompiledHeaderOps, CompiledStatic, Redirect, Rewrite, Router};
use seawall_telemetry::AccessLog;
use seawall_telemetry::metrics::{Metrics, RouteMetrics, UpstreamMetrics};
use seawall_upstream::Pool;

use crate::forwarding::Forwarding;
use crate::refreshes::{RefreshLimits, Refreshes};
use crate::zone::Zone;

/// Everything a request needs to know.
pub struct Plan {
    /// Counts loaded configurations, from 1.
    pub generation: u64,
    /// Host, path and method to a route.
    pub router: Router<SitePlan, Arc<RoutePlan>>,
    /// What a client may use.
    pub limits: Limits,
    /// What origins are told about clients.
    pub forwarding: Forwarding,
    /// The cache.
    pub cache: CachePlan,
    /// All numbers.
    pub metrics: Arc<Metrics>,
    /// For requests that never got as far as a route.
    pub unrouted: Arc<RouteMetrics>,
    /// One line a request.
    pub access_log: Arc<AccessLog>,
    /// The process is about to end: clients are told to connect anew, elsewhere. The same for all plans of a process.
    pub draining: Arc<AtomicBool>,
}

/// A site.
#[derive(Debug)]
pub struct SitePlan {
    /// Its name in metrics and log.
    pub name: Arc<str>,
}

/// A route.
pub struct RoutePlan {
    /// The name of its site.
    pub site: Arc<str>,
    /// Its name in metrics and log.
    pub name: Arc<str>,
    /// What answers.
    pub action: Action,
    /// Answers instead of `action` wherever it applies: `https: true` on requests that came without TLS.
    pub to_https: Option<Box<Redirect>>,
    /// Changes the path on the way to the upstream.
    pub rewrite: Option<Rewrite>,
    /// Changes the request on the way to the upstream.
    pub request_headers: Option<CompiledHeaderOps>,
    /// Changes the response on the way to the client.
    pub response_headers: Option<CompiledHeaderOps>,
    /// The caching rules; `None` when the route has no cache.
    pub cache: Option<CachePolicy>,
    /// Where its responses are kept; `None` in a plan that nothing is served by.
    pub zone: Option<&'static Zone>,
    /// What is compressed; `None` when nothing is.
    pub compress: Option<CompressPolicy>,
    /// Largest request body in bytes.
    pub max_body: u64,
    /// Its numbers.
    pub metrics: Arc<RouteMetrics>,
}

/// What answers a request.
pub enum Action {
    /// A pool of servers, or a folder.
    Forward(Arc<UpstreamPlan>),
    /// A redirect.
    Redirect(Box<Redirect>),
    /// A fixed response.
    Respond(Box<CompiledStatic>),
}

/// Where requests are sent.
pub struct UpstreamPlan {
    /// Its name in metrics and log.
    pub name: Arc<str>,
    /// What it is.
    pub kind: UpstreamKind,
    /// Its numbers.
    pub metrics: Arc<UpstreamMetrics>,
}

/// The kinds of upstream.
pub enum UpstreamKind {
    /// Servers.
    Pool(Arc<Pool>),
    /// The built-in file origin.
    Files(Box<FilesOrigin>),
}

impl UpstreamPlan {
    /// The pool, when it is one.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        match &self.kind {
            UpstreamKind::Pool(pool) => Some(pool),
            UpstreamKind::Files(_) => None,
        }
    }
}

/// What routes have in common of the cache. Pingora wants its parts to live as long as the process.
#[derive(Clone)]
pub struct CachePlan {
    /// All zones there are, also those that no route uses any more: a route may have had its responses there, and may
    /// have them there again.
    pub zones: Arc<[&'static Zone]>,
    /// Collapses requests for one key; `None` when that is switched off. A waiter whose response went into another zone
    /// fetches its own.
    pub lock: Option<&'static CacheKeyLockImpl>,
    /// How long a request waits for another's response.
    pub lock_wait: Duration,
    /// The refreshes under way in the background.
    pub refreshes: &'static Refreshes,
    /// How many there may be.
    pub refresh_limits: RefreshLimits,
    /// Who may send PURGE.
    pub purge_allow: CidrSet,
    /// Whether Cache-Status has the key of what is stored.
    pub show_key: bool,
    /// Where responses say by which tags they are purged.
    pub tags: TagFields,
    /// Whether fresh responses from memory are answered before Pingora's cache begins.
    pub fast_path: bool,
}
