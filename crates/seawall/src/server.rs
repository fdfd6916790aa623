//! The running process: services, signals, shutdown.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use seawall_admin::{Access, AdminApp, AdminSettings, admin_limits};
use seawall_compress::Unfit;
use seawall_listen::{BoundListener, Door, DoorObserver, Gate, ListenError, ListenerSettings};
use seawall_proxy::Seawall;
use seawall_telemetry::metrics::{BuildInfo, Metrics, ReadinessSource};
use seawall_telemetry::{AccessLog, process_log};
use seawall_tls::{TicketError, TicketKeys, TlsAcceptor, TlsSettings};
use tokio::sync::{mpsc, watch};

use crate::control::{Live, Node, NodeControl};
use crate::door::{Draining, Front, FrontApp};
use crate::handover::{Health, Inheritance};
use crate::lifecycle::Lifecycle;
use crate::load::Loaded;
use crate::notify::Notifier;
use crate::observe::{Certificates, OpenConnections, Pools, Stores, Watch};
use crate::plan::{self, PlanError, Upstreams};
use crate::program::Program;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::upkeep::Upkeep;
use crate::{handover, resources, scrape, signals};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Listen(#[from] ListenError),
    #[error("metrics: {0}")]
    Metrics(ListenError),
    #[error(transparent)]
    Log(#[from] process_log::LogError),
    #[error("cannot watch for signals: {0}")]
    Signals(std::io::Error),
    #[error(
        "only {0} files may be open at once, and Seawall needs {FEWEST_FILES}; raise the limit (LimitNOFILE=, ulimit -n)"
    )]
    Files(u64),
    #[error(transparent)]
    Tickets(#[from] TicketError),
    #[error("{0}")]
    Failed(String),
    #[error("cannot tell the path of this binary: {0}")]
    Program(std::io::Error),
    #[error("cannot read the token of the control API: {0}")]
    Token(std::io::Error),
}

/// Open files without which there is no starting: runtimes, listeners and logs take about 40, and where one of them
/// fails Pingora panics. The rest is for a few clients and origins.
const FEWEST_FILES: u64 = 128;

/// Fresh metrics with this build's names.
pub(crate) fn new_metrics() -> Metrics {
    Metrics::new(BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        // `make build` says it.
        revision: option_env!("SEAWALL_REVISION").unwrap_or_default(),
        pingora: "0.9.1",
    })
}

/// Serves until told to stop.
pub(crate) fn run(
    file: &Path,
    loaded: &Loaded,
    settings: &Settings,
    mut inheritance: Option<Inheritance>,
) -> Result<(), StartError> {
    let began = Instant::now();
    // First of all: whoever sees this process listen may replace its binary.
    let program = Program::running().map_err(StartError::Program)?;
    process_log::install(&settings.log)?;
    let notify = Notifier::from_environment();
    match seawall_guard::raise_file_limit() {
        Ok(limit) if limit < FEWEST_FILES => return Err(StartError::Files(limit)),
        Ok(limit) => resources::warn(settings, limit),
        Err(error) => log::warn!("cannot raise the limit of open files: {error}"),
    }
    let (wish, wishes) = signals::catch().map_err(StartError::Signals)?;
    let metrics = Arc::new(new_metrics());
    let lifecycle = Arc::new(Lifecycle::default());
    let engine = plan::Engine::new(&settings.cache)?;
    let access_log = Arc::new(AccessLog::new(&settings.access_log).map_err(PlanError::from)?);
    let parts = plan::Parts {
        generation: 1,
        engine: &engine,
        metrics: &metrics,
        access_log: &access_log,
        draining: &lifecycle.draining,
    };
    let built = plan::build(settings, &Upstreams::default(), parts)?;
    let tickets = tickets(settings)?;
    if let Some(inheritance) = &inheritance {
        tickets.adopt(inheritance.tickets());
    }
    let bound = Bound::open(settings, &tickets, &mut inheritance)?;
    let threads = settings
        .server
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
    let mut server = Server::new_with_opt_and_conf(None, server_conf(settings, threads));
    server.bootstrap();

    let (drain, draining) = watch::channel(false);
    let open = Arc::new(OpenConnections::default());
    let limits = built.plan.limits.clone();
    let current = Arc::new(ArcSwap::from_pointee(built.plan));
    let gate = Gate::new(&limits);
    let h2c = bound.listeners.iter().any(BoundListener::takes_h2c);
    let mut proxy = pingora::proxy::http_proxy(&server.configuration, Seawall::new(Arc::clone(&current)));
    // For CONNECT, which it looks up here; connections have theirs from `Front`.
    proxy.server_options = Some(limits.server_options(h2c));
    let front = Front::new(proxy, &limits, h2c, Arc::clone(&open));
    let node = Arc::new(Node::new(
        Live {
            // Wherever the process is by the time it reads it anew, or its successor does.
            file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
            plan: current,
            engine,
            gate: Arc::clone(&gate),
            front: Arc::clone(&front),
            listeners: bound.listeners.iter().map(BoundListener::control).collect(),
            metrics: Arc::clone(&metrics),
            lifecycle: Arc::clone(&lifecycle),
            tickets,
            notify,
            wishes: wish,
            program,
            instance: handover::random_name(),
            side_doors: bound.metrics.iter().chain(&bound.admin).map(BoundListener::control).collect(),
        },
        loaded,
        settings,
        built.upstreams,
    ));
    watch_all(&node);
    // A successor opens its doors when the process before says so.
    let (opener, opened) = watch::channel(inheritance.is_none());
    let (side, side_ended) = watch::channel(false);
    let operators = Arc::new(OpenConnections::default());
    let Bound { listeners, admin, metrics: scraped } = bound;
    let mut door = Door::new("http", FrontApp(front), observed(listeners, &metrics, &open), gate);
    door.set_threads(threads);
    let (health, asked) = mpsc::channel(1);
    let health_app = health_app(&node, asked);
    server.add_service(Draining { door, open: opened.clone(), draining, health: Some(health_app) });
    if let (Some(bound), Some(wanted)) = (admin, &settings.admin) {
        let door = admin_door(wanted, bound, &node, &operators)?;
        server.add_service(Draining {
            door,
            open: opened.clone(),
            draining: side_ended.clone(),
            health: None,
        });
    }
    if let (Some(bound), Some(wanted)) = (scraped, &settings.metrics) {
        let door = scrape::service(bound, wanted, &settings.limits, Arc::clone(&metrics));
        server.add_service(Draining { door, open: opened, draining: side_ended, health: None });
    }
    let upkeep =
        Upkeep { node: Arc::clone(&node), inheritance: Mutex::new(inheritance), open: opener, health };
    server.add_service(background_service("upkeep", upkeep));
    metrics.compression().set_capacity(limits.compression_memory);
    metrics.compression().passed().expect(Unfit::ALL.map(Unfit::as_str));
    metrics.config_loaded(1, began.elapsed());
    let stop = Stop {
        node: Arc::clone(&node),
        wishes: tokio::sync::Mutex::new(wishes),
        drain,
        open,
        side,
        operators,
    };
    server.run(RunArgs { shutdown_signal: Box::new(stop) });
    node.abandon_candidate();
    node.let_go_of_all();
    node.engine().close();
    node.close_logs(Duration::from_secs(5));
    if let Some(why) = node.failure() {
        return Err(StartError::Failed(why));
    }
    log::info!("stopped");
    Ok(())
}

/// Every address, bound or taken over.
struct Bound {
    listeners: Vec<BoundListener>,
    admin: Option<BoundListener>,
    metrics: Option<BoundListener>,
}

impl Bound {
    fn open(
        settings: &Settings,
        tickets: &Arc<TicketKeys>,
        inheritance: &mut Option<Inheritance>,
    ) -> Result<Self, StartError> {
        let mut listen = |listener: &ListenerSettings| {
            let acceptor = |tls: &TlsSettings| TlsAcceptor::with_tickets(tls, Arc::clone(tickets));
            match inheritance.as_mut().and_then(|left| left.socket(&listener.address.to_string())) {
                Some(socket) => BoundListener::adopt(listener, socket, acceptor),
                None => BoundListener::bind_with(listener, acceptor),
            }
        };
        let listeners = settings.listeners.iter().map(&mut listen).collect::<Result<_, _>>()?;
        let admin = settings.admin.as_ref().and_then(AdminSettings::listener);
        let admin = admin.map(|admin| listen(&admin)).transpose()?;
        // The last: whoever sees the metrics finds the rest in place.
        let address = settings.metrics.as_ref().and_then(|metrics| metrics.address());
        let metrics = address.map(|address| listen(&scrape::listener(address))).transpose();
        Ok(Self { listeners, admin, metrics: metrics.map_err(StartError::Metrics)? })
    }
}

/// The keys of all listeners' tickets. They open tickets for as long as any listener resumes sessions.
fn tickets(settings: &Settings) -> Result<Arc<TicketKeys>, TicketError> {
    let sessions = settings.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let longest = sessions.map(|tls| tls.session_timeout.duration()).max().unwrap_or_default();
    let rotation = settings.tls.ticket_rotation.duration();
    match &settings.tls.ticket_keys {
        Some(file) => TicketKeys::in_file(file, rotation, longest),
        None => TicketKeys::in_memory(rotation, longest),
    }
}

fn server_conf(settings: &Settings, threads: usize) -> ServerConf {
    ServerConf {
        threads,
        upstream_keepalive_pool_size: settings.server.upstream_connections,
        // Our own policy decides; this only must not stop it earlier.
        max_retries: seawall_proxy::MAX_TRIES as usize,
        // Draining is done before Pingora is told, so nothing is left to wait for.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        // Blocking work is bounded where it arises (file reads, resolution).
        max_blocking_threads: Some(64),
        ..ServerConf::default()
    }
}

fn watch_all(node: &Arc<Node>) {
    let metrics = &node.metrics;
    metrics.watch_readiness(Arc::clone(&node.lifecycle) as Arc<dyn ReadinessSource>);
    metrics.watch_pools(Arc::new(Pools(node.upstreams())));
    let engine = node.engine();
    metrics.watch_store(Arc::new(Stores { zones: Arc::clone(&engine.zones), refreshes: engine.refreshes }));
    let acceptors = node.listeners().iter().filter_map(|listener| listener.tls().cloned()).collect();
    metrics.watch_certificates(Arc::new(Certificates(acceptors)));
    metrics.watch_access_log(Arc::clone(&node.plan().access_log));
}

/// Each listener with what counts its connections.
fn observed(
    bound: Vec<BoundListener>,
    metrics: &Arc<Metrics>,
    open: &Arc<OpenConnections>,
) -> Vec<(BoundListener, Arc<dyn DoorObserver>)> {
    let observe = |listener: BoundListener| {
        let watch: Arc<dyn DoorObserver> =
            Arc::new(Watch::new(metrics.listener(listener.name()), metrics, open));
        (listener, watch)
    };
    bound.into_iter().map(observe).collect()
}

/// Answers the process before, which comes over a socket that nobody else has.
fn health_app(node: &Arc<Node>, asked: mpsc::Receiver<UnixStream>) -> Health {
    let control = Arc::new(NodeControl(Arc::clone(node)));
    let patience = node.settings().server.upgrade_timeout.duration();
    Health { asked, app: Arc::new(AdminApp::new(control, Access::private(), patience)) }
}

/// The control API. It answers until the very end, so that draining can be watched.
fn admin_door(
    admin: &AdminSettings,
    bound: BoundListener,
    node: &Arc<Node>,
    operators: &Arc<OpenConnections>,
) -> Result<Door<AdminApp>, StartError> {
    let access = Access::new(admin).map_err(StartError::Token)?;
    let app = AdminApp::new(Arc::new(NodeControl(Arc::clone(node))), access, admin.timeout.duration());
    // Counted apart: draining does not wait for an operator's connection.
    let listeners = observed(vec![bound], &node.metrics, operators);
    let mut door = Door::new("admin", app, listeners, Gate::new(&admin_limits(admin)));
    door.set_threads(1);
    Ok(door)
}
