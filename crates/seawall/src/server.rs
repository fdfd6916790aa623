//! The running process: services, signals, shutdown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora::services::background::{BackgroundService, background_service};
use seawall_listen::{BoundListener, Door, DoorObserver, Gate, ListenError};
use seawall_proxy::{Plan, Seawall, UpstreamKind};
use seawall_telemetry::metrics::{BuildInfo, Metrics};
use seawall_telemetry::{AccessLog, process_log};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::observe::{Certificates, OpenConnections, Pools, Store, Watch};
use crate::plan::{self, PlanError, Upstreams};
use crate::scrape::{self, Scrapes};
use crate::settings::Settings;

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
pub(crate) fn run(settings: &Settings) -> Result<(), StartError> {
    let began = Instant::now();
    process_log::install(&settings.log)?;
    match seawall_guard::raise_file_limit() {
        Ok(limit) if limit < FEWEST_FILES => return Err(StartError::Files(limit)),
        Ok(_) => {}
        Err(error) => log::warn!("cannot raise the limit of open files: {error}"),
    }
    let wishes = catch_signals()?;
    let metrics = Arc::new(new_metrics());
    let built = plan::build(settings, Arc::clone(&metrics))?;
    let bound: Vec<BoundListener> =
        settings.listeners.iter().map(BoundListener::bind).collect::<Result<_, _>>()?;
    let scrapes = scrapes(settings, &metrics)?;
    let threads = settings
        .server
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
    let mut server = Server::new_with_opt_and_conf(None, server_conf(settings, threads));
    server.bootstrap();

    let access_log = Arc::clone(&built.plan.access_log);
    watch_all(&metrics, &built.plan, &built.upstreams, &bound);
    let (drain, draining) = watch::channel(false);
    let open = Arc::new(OpenConnections::default());
    server.add_service(door(
        built.plan,
        bound,
        &metrics,
        &open,
        &server.configuration,
        threads,
        draining.clone(),
    ));
    server.add_service(background_service("upstreams", Upkeep { upstreams: built.upstreams, draining }));
    if let Some(scrapes) = scrapes {
        server.add_service(scrapes);
    }
    metrics.config_loaded(1, began.elapsed());
    let stop = Stop {
        wishes: tokio::sync::Mutex::new(wishes),
        drain,
        open,
        patience: settings.server.shutdown_timeout.duration(),
        access_log: Arc::clone(&access_log),
    };
    server.run(RunArgs { shutdown_signal: Box::new(stop) });
    access_log.shutdown(Duration::from_secs(5));
    log::info!("stopped");
    Ok(())
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

fn watch_all(metrics: &Metrics, plan: &Plan, upstreams: &Upstreams, bound: &[BoundListener]) {
    metrics.watch_pools(Arc::new(Pools(upstreams.clone())));
    metrics.watch_store(Arc::new(Store { store: plan.cache.store, parts: Arc::clone(&plan.cache.parts) }));
    metrics.watch_certificates(Arc::new(Certificates(bound.iter().filter_map(BoundListener::tls).collect())));
    metrics.watch_access_log(Arc::clone(&plan.access_log));
}

fn door(
    plan: Plan,
    bound: Vec<BoundListener>,
    metrics: &Arc<Metrics>,
    open: &Arc<OpenConnections>,
    conf: &Arc<ServerConf>,
    threads: usize,
    draining: watch::Receiver<bool>,
) -> Draining<impl pingora::apps::ServerApp + Send + Sync + 'static> {
    let limits = plan.limits.clone();
    let mut proxy = pingora::proxy::http_proxy(conf, Seawall::new(Arc::new(ArcSwap::from_pointee(plan))));
    let h2c = bound.iter().any(BoundListener::takes_h2c);
    proxy.server_options = Some(limits.server_options(h2c));
    proxy.h2_options = Some(limits.h2_options());
    let listeners = bound
        .into_iter()
        .map(|listener| {
            let watch: Arc<dyn DoorObserver> =
                Arc::new(Watch::new(metrics.listener(listener.name()), metrics, open));
            (listener, watch)
        })
        .collect();
    let mut door = Door::new("http", proxy, listeners, Gate::new(&limits));
    door.set_threads(threads);
    Draining { door, draining }
}

/// A door that also closes when the process drains, which is before Pingora knows of it.
struct Draining<A> {
    door: Door<A>,
    draining: watch::Receiver<bool>,
}

#[async_trait]
impl<A: pingora::apps::ServerApp + Send + Sync + 'static> pingora::services::Service for Draining<A> {
    async fn start_service(
        &mut self,
        fds: Option<pingora::server::ListenFds>,
        _: ShutdownWatch,
        per_listener: usize,
    ) {
        pingora::services::Service::start_service(&mut self.door, fds, self.draining.clone(), per_listener)
            .await;
    }
    fn name(&self) -> &str {
        pingora::services::Service::name(&self.door)
    }
    fn threads(&self) -> Option<usize> {
        pingora::services::Service::threads(&self.door)
    }
    fn listen_addresses(&self) -> Option<Vec<String>> {
        pingora::services::Service::listen_addresses(&self.door)
    }
}

/// The metrics' own door, bound; `None` when nobody wants one.
fn scrapes(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Option<Door<Scrapes>>, StartError> {
    let Some(wanted) = &settings.metrics else { return Ok(None) };
    let Some(address) = wanted.address() else { return Ok(None) };
    let bound = scrape::bind(address).map_err(StartError::Metrics)?;
    Ok(Some(scrape::service(bound, wanted, &settings.limits, Arc::clone(metrics))))
}

/// Discovery and health of every pool.
struct Upkeep {
    upstreams: Upstreams,
    draining: watch::Receiver<bool>,
}

#[async_trait]
impl BackgroundService for Upkeep {
    async fn start(&self, _: ShutdownWatch) {
        let mut tasks = tokio::task::JoinSet::new();
        for upstream in self.upstreams.values() {
            if let UpstreamKind::Pool(pool) = &upstream.kind {
                let (pool, draining) = (Arc::clone(pool), self.draining.clone());
                tasks.spawn(async move { pool.run(draining).await });
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Signals: TERM drains, INT stops at once, USR1 reopens logs. A second TERM or INT ends the draining.
struct Stop {
    wishes: tokio::sync::Mutex<mpsc::Receiver<Wish>>,
    drain: watch::Sender<bool>,
    open: Arc<OpenConnections>,
    patience: Duration,
    access_log: Arc<AccessLog>,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Drain,
    StopNow,
    ReopenLogs,
    Reload,
    Upgrade,
}

/// Catches signals from now on, on a thread of its own: Pingora looks for them only once its services run, and
/// until then the default action would end the process.
fn catch_signals() -> Result<mpsc::Receiver<Wish>, StartError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Signals)?;
    let wishes = [
        (SignalKind::terminate(), Wish::Drain),
        (SignalKind::interrupt(), Wish::StopNow),
        (SignalKind::user_defined1(), Wish::ReopenLogs),
        (SignalKind::hangup(), Wish::Reload),
        (SignalKind::quit(), Wish::Upgrade),
    ];
    let (sender, receiver) = mpsc::channel(16);
    let guard = runtime.enter();
    let mut streams = Vec::new();
    for (kind, wish) in wishes {
        streams.push((signal(kind).map_err(StartError::Signals)?, wish));
    }
    drop(guard);
    let spawn = std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            let mut tasks = tokio::task::JoinSet::new();
            for (mut stream, wish) in streams {
                let sender = sender.clone();
                tasks.spawn(async move {
                    while stream.recv().await.is_some() {
                        // Full: the same was asked for already and is about to be done.
                        let _ = sender.try_send(wish);
                    }
                });
            }
            while tasks.join_next().await.is_some() {}
        });
    });
    spawn.map_err(StartError::Signals)?;
    Ok(receiver)
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let mut wishes = self.wishes.lock().await;
        loop {
            match wishes.recv().await {
                Some(Wish::Drain) | None => break,
                Some(Wish::StopNow) => {
                    log::info!("interrupted, stopping at once");
                    return ShutdownSignal::FastShutdown;
                }
                Some(Wish::ReopenLogs) => self.access_log.reopen(),
                Some(Wish::Reload) => {
                    log::warn!("reload is not there yet: restart to read the configuration anew")
                }
                Some(Wish::Upgrade) => log::warn!("upgrade is not there yet: SIGQUIT is ignored"),
            }
        }
        self.drain_connections(&mut wishes).await;
        ShutdownSignal::FastShutdown
    }
}

impl Stop {
    async fn drain_connections(&self, wishes: &mut mpsc::Receiver<Wish>) {
        log::info!("draining {} connections for up to {:?}", self.open.get(), self.patience);
        let _ = self.drain.send(true);
        let deadline = tokio::time::Instant::now() + self.patience;
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                _ = look.tick() => if self.open.get() == 0 { break },
                () = tokio::time::sleep_until(deadline) => {
                    log::warn!("{} connections were still open after {:?}", self.open.get(), self.patience);
                    break;
                }
                wish = wishes.recv() => if !matches!(wish, Some(Wish::ReopenLogs | Wish::Reload | Wish::Upgrade)) { break },
            }
        }
    }
}
