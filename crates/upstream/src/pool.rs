//! A pool of servers: who is in it, who is healthy, who takes the next request.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use pingora_core::protocols::Digest;
use pingora_load_balancing::Backends;
use rand::Rng;

use crate::Address;
use crate::budget::RetryBudget;
use crate::credentials::CredentialProblem;
use crate::floor::{TlsFloor, WeakTls};
use crate::member::{Member, ServerId};
use crate::members::Members;
use crate::membership::Listed;
use crate::names::Name;
use crate::overrides::{NoSuchServer, Override, Overrides};
use crate::peers::PeerFactory;
use crate::probe::Probe;
use crate::resolver::Resolve;
use crate::retry::RetryPolicy;
use crate::seed::Seed;
use crate::select::{HashSource, SelectRequest, Strategy};
use crate::selected::Selected;
use crate::settings::{Balance, HashSettings, HealthSettings, Protocol, UpstreamSettings};
use crate::silence::SilenceWatch;

/// Times a server may fill up between being chosen and being taken before we give up.
const RACES: usize = 8;

/// Why a pool cannot be built. Settings that pass [`UpstreamSettings::check`] give none of these, unless a file changed
/// in between.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A TLS file.
    #[error("upstream {pool}: {problem}")]
    Credentials {
        /// The name of the pool.
        pool: String,
        /// What is wrong with the file.
        problem: CredentialProblem,
    },
    /// Anything else in the settings.
    #[error("upstream {pool}: {message}")]
    Settings {
        /// The name of the pool.
        pool: String,
        /// What is wrong and what to do.
        message: String,
    },
}

/// Why there is no server for a request. The client gets 503 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Every server is unhealthy, drained or not yet resolved.
    #[error("no server can take requests: all are unhealthy, drained or not resolved")]
    NoServer,
    /// The healthy ones all have `max_connections` requests in flight.
    #[error("every healthy server is at its max_connections")]
    Full,
}

/// A pool of servers. Shared by all requests; [`Pool::run`] keeps it up to date.
pub struct Pool {
    pub(crate) name: Arc<str>,
    pub(crate) settings: UpstreamSettings,
    pub(crate) members: Arc<ArcSwap<Members>>,
    pub(crate) names: Vec<Name>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) backends: Backends,
    pub(crate) budget: RetryBudget,
    pub(crate) no_server: AtomicU64,
    pub(crate) full: AtomicU64,
    pub(crate) listed: Listed,
    strategy: Strategy,
    pub(crate) factory: PeerFactory,
    floor: TlsFloor,
    policy: RetryPolicy,
    host: Option<HeaderValue>,
    pub(crate) next_id: AtomicU32,
    pub(crate) refreshing: Mutex<()>,
    pub(crate) overrides: Overrides,
    pub(crate) seed: Arc<Seed>,
}

impl Pool {
    /// A pool of the servers in `settings`. Servers given by name are in it once [`Pool::run`] has resolved them.
    ///
    /// # Errors
    /// When the settings cannot work, such as a TLS file that cannot be read.
    pub fn new(
        name: &str,
        settings: &UpstreamSettings,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, PoolError> {
        Self::replacing(None, name, settings, resolver)
    }

    /// A pool that takes over from `old`: servers that are in both keep their health, their counts, their resolved
    /// addresses and what was ordered for them at run time. A server whose own entry in the settings changed loses its
    /// orders: the file is newer. `old` stays usable for the requests that still hold it.
    ///
    /// # Errors
    /// As [`Pool::new`].
    pub fn replacing(
        old: Option<&Self>,
        name: &str,
        settings: &UpstreamSettings,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, PoolError> {
        let factory = PeerFactory::new(name, settings).map_err(|problems| credentials(name, problems))?;
        let host = match settings.set_host().map(HeaderValue::from_str).transpose() {
            Ok(host) => host,
            Err(_) => {
                return Err(wrong(name, "`host` cannot be a header; write a name such as `example.com`"));
            }
        };
        refuse_unnamed(name, settings)?;
        let members = Arc::new(ArcSwap::from_pointee(Members::default()));
        let listed = Listed::default();
        let mut backends = Backends::new(Box::new(listed.clone()));
        let seed = Arc::<Seed>::default();
        if let Some(health) = &settings.health {
            backends.set_health_check(Box::new(probe(name, health, settings, &members, &seed)?));
        }
        let pool = Self {
            name: name.into(),
            members,
            names: names(settings),
            resolver,
            backends,
            budget: RetryBudget::new(&settings.retries.budget),
            no_server: AtomicU64::new(old.map_or(0, |old| old.no_server.load(Ordering::Relaxed))),
            full: AtomicU64::new(old.map_or(0, |old| old.full.load(Ordering::Relaxed))),
            listed,
            strategy: strategy(name, settings)?,
            factory,
            floor: TlsFloor::new(settings.tls().map(|tls| tls.min_version)),
            policy: RetryPolicy::new(&settings.retries),
            host,
            next_id: AtomicU32::new(0),
            refreshing: Mutex::new(()),
            overrides: Overrides::default(),
            seed,
            settings: settings.clone(),
        };
        match old {
            Some(old) => pool.inherit(old),
            None => pool.refresh(),
        }
        Ok(pool)
    }

    fn inherit(&self, old: &Self) {
        for name in &self.names {
            if let Some(known) = old.names.iter().find(|known| known.host == name.host) {
                name.inherit(known);
            }
        }
        let members = old.members.load_full();
        self.overrides.inherit(&old.overrides, |server| {
            let entry = |settings: &UpstreamSettings| {
                settings.servers.iter().find(|entry| entry.address.to_string() == server).cloned()
            };
            entry(&self.settings).is_some_and(|new| entry(&old.settings) == Some(new))
        });
        self.next_id.store(old.next_id.load(Ordering::Relaxed), Ordering::Relaxed);
        self.seed.take(members.all.iter().filter(|member| !member.healthy()));
        self.refresh_from(&members);
    }

    /// Whether it is what `settings` describe, files of keys and authorities included, so that there is no need to
    /// replace it.
    #[must_use]
    pub fn is_built_from(&self, settings: &UpstreamSettings) -> bool {
        self.settings == *settings && self.factory.has_credentials_of(settings)
    }

    /// Orders for a server at run time, over what the settings say. `server` is its name in the settings, or one of
    /// the addresses that a name resolved to. An empty [`Override`] takes the orders back.
    ///
    /// # Errors
    /// [`NoSuchServer`] when no server is called so; nothing changed then.
    pub fn order(&self, server: &str, order: Override) -> Result<(), NoSuchServer> {
        let members = self.members.load_full();
        let known = self.settings.servers.iter().any(|entry| entry.address.to_string() == server)
            || members.all.iter().any(|member| member.address.to_string() == server);
        if !known {
            return Err(NoSuchServer);
        }
        self.overrides.set(server, order);
        self.refresh();
        Ok(())
    }

    /// Every order there is, by server.
    #[must_use]
    pub fn orders(&self) -> BTreeMap<String, Override> {
        self.overrides.all()
    }

    /// What is ordered for a server now.
    #[must_use]
    pub fn ordered(&self, server: &str) -> Override {
        self.overrides.get(server)
    }

    /// The name of the upstream.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings it was built from.
    #[must_use]
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Whether and when a request may be sent again.
    #[must_use]
    pub fn retry_policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// How many retries there may be in all.
    #[must_use]
    pub fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    /// The Host header to send instead of the client's; `None` keeps the client's.
    #[must_use]
    pub fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// Whether nothing but HTTP/2 is to be spoken to the servers.
    #[must_use]
    pub fn wants_only_http2(&self) -> bool {
        self.settings.protocol == Protocol::Http2
    }

    /// Refuses a connection whose TLS is older than `tls.min_version`. To be called before a request is sent on it, in
    /// `connected_to_upstream`, for reused connections as well.
    ///
    /// # Errors
    /// [`WeakTls`] when it is; the request must not be sent and the connection not be used again.
    pub fn check_connection(&self, digest: Option<&Digest>) -> Result<(), WeakTls> {
        self.floor.check(digest.and_then(|digest| digest.ssl_digest.as_deref()))
    }

    /// Keeps `timeouts.first_byte` and `timeouts.read` apart. To be called in `connected_to_upstream` with the
    /// descriptor of the connection. `None` when the two are equal, and when the connection may carry other requests
    /// too (HTTP/2), which must not end with this one. For an `upgrade` there is always one, except where it cannot
    /// happen: it also keeps `timeouts.tunnel`, and without it nothing would end a silent tunnel.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn watch_silence(&self, socket: RawFd, upgrade: bool) -> io::Result<Option<SilenceWatch>> {
        if upgrade && self.settings.protocol != Protocol::Http2 {
            return SilenceWatch::start_for_upgrade(&self.settings.timeouts, socket).map(Some);
        }
        if self.settings.may_share_connections() {
            return Ok(None);
        }
        SilenceWatch::start(&self.settings.timeouts, socket)
    }

    /// A server for a request, never a drained or unhealthy one. Backups come in when no primary is left; servers in
    /// `tried` only when no other is.
    ///
    /// # Errors
    /// When no server can take it: the client gets 503.
    pub fn select(&self, request: &SelectRequest<'_>, tried: &[ServerId]) -> Result<Selected, SelectError> {
        self.select_with(request, tried, &mut rand::rng())
    }

    pub(crate) fn select_with(
        &self,
        request: &SelectRequest<'_>,
        tried: &[ServerId],
        rng: &mut impl Rng,
    ) -> Result<Selected, SelectError> {
        let members = self.members.load();
        for again in [false, true] {
            for tier in &members.tiers {
                for _ in 0..RACES {
                    let usable =
                        |m: &Member| m.healthy() && m.has_room() && (again || !tried.contains(&m.id));
                    let Some(member) = self.strategy.choose(tier, request, rng, usable) else { break };
                    if let Some(selected) = Selected::take(member) {
                        return Ok(selected);
                    }
                }
            }
            if tried.is_empty() {
                break;
            }
        }
        if members.tiers.iter().flat_map(|tier| &tier.members).any(|member| member.healthy()) {
            self.full.fetch_add(1, Ordering::Relaxed);
            return Err(SelectError::Full);
        }
        self.no_server.fetch_add(1, Ordering::Relaxed);
        Err(SelectError::NoServer)
    }
}

fn names(settings: &UpstreamSettings) -> Vec<Name> {
    let servers = settings.servers.iter().enumerate();
    servers
        .filter_map(|(source, server)| match &server.address {
            Address::Name { host, port } => Some(Name::new(source, host, *port)),
            Address::Socket(_) | Address::Unix(_) => None,
        })
        .collect()
}

fn strategy(pool: &str, settings: &UpstreamSettings) -> Result<Strategy, PoolError> {
    Ok(match settings.balance {
        // Not at the first server, or many proxies that start together would all send there.
        Balance::RoundRobin => {
            Strategy::RoundRobin { turn: AtomicUsize::new(rand::random::<u32>() as usize) }
        }
        Balance::Random => Strategy::Random,
        Balance::LeastConn => Strategy::LeastConn,
        Balance::ConsistentHash => {
            let hash = settings.hash.as_deref().cloned().unwrap_or_else(HashSettings::default);
            let source = HashSource::new(&hash);
            Strategy::ConsistentHash(
                source.ok_or_else(|| wrong(pool, "`hash` needs the `name` of a header or cookie"))?,
            )
        }
    })
}

fn probe(
    pool: &str,
    health: &HealthSettings,
    settings: &UpstreamSettings,
    members: &Arc<ArcSwap<Members>>,
    seed: &Arc<Seed>,
) -> Result<Probe, PoolError> {
    Probe::new(pool.into(), health, settings, Arc::clone(members), Arc::clone(seed))
        .ok_or_else(|| wrong(pool, "`health.http.method` is not a method; write one such as GET"))
}

/// A verified connection without a name would silently not be verified.
fn refuse_unnamed(pool: &str, settings: &UpstreamSettings) -> Result<(), PoolError> {
    if !settings.tls().is_some_and(|tls| tls.verify) {
        return Ok(());
    }
    match settings
        .servers
        .iter()
        .find(|server| settings.server_name(&server.address).is_none_or(str::is_empty))
    {
        None => Ok(()),
        Some(server) => Err(wrong(
            pool,
            format!("there is no name to look for in the certificate of `{}`; set `tls.sni`", server.address),
        )),
    }
}

fn wrong(pool: &str, message: impl Into<String>) -> PoolError {
    PoolError::Settings { pool: pool.to_owned(), message: message.into() }
}

fn credentials(pool: &str, problems: Vec<CredentialProblem>) -> PoolError {
    match problems.into_iter().next() {
        Some(problem) => PoolError::Credentials { pool: pool.to_owned(), problem },
        None => wrong(pool, "the TLS files cannot be used"),
    }
}
