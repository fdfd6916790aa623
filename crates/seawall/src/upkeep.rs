//! What goes on beside the requests: pools, certificates, ticket keys, the file's watch, the service manager's dog.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use seawall_proxy::UpstreamKind;
use seawall_tls::CertificateChange;
use seawall_upstream::{Override, Pool};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::control::Node;
use crate::handover::Inheritance;
use crate::lifecycle::Station;
use crate::load::Seen;
use crate::plan::Upstreams;

/// How often the keys of tickets are looked at; they change by the hour.
const TICKETS: Duration = Duration::from_secs(60);
/// How often the configuration's files are looked at under `server.watch`. A change is taken when it has not gone on
/// for as long, so that a file is not read while it is written.
const FILES: Duration = Duration::from_millis(500);

/// How often a successor looks whether the index of its disks is read.
const INDEX: Duration = Duration::from_millis(10);

/// Runs for as long as the process.
pub(crate) struct Upkeep {
    pub(crate) node: Arc<Node>,
    /// What the process before left; taken by the start.
    pub(crate) inheritance: Mutex<Option<Inheritance>>,
    /// Opens the doors.
    pub(crate) open: watch::Sender<bool>,
    /// To what serves: connections on which the process before asks for its health.
    pub(crate) health: mpsc::Sender<UnixStream>,
}

#[async_trait]
impl BackgroundService for Upkeep {
    async fn start(&self, _: ShutdownWatch) {
        let upstreams = self.node.upstreams();
        let first = Arc::clone(&upstreams.borrow());
        let missing = resolve(&first).await;
        drop(first);
        for (upstream, name) in missing {
            log::warn!("upstream {upstream}: {name} does not resolve; its servers come in when it does");
        }
        let inheritance = self.inheritance.lock().take();
        if let Some(inheritance) = inheritance
            && let Err(error) = self.succeed(inheritance).await
        {
            // Nobody was served here, and whoever started this process goes on without it.
            self.node.fail(format!("this process does not take over: {error}")).await;
            return;
        }
        self.node.lifecycle.reach(Station::Ready);
        self.node.notify.ready();
        tokio::join!(
            follow_pools(upstreams),
            self.follow_certificates(),
            self.follow_tickets(),
            self.follow_files(),
            self.feed_dog()
        );
    }
}

/// Resolves the names of pools that never were. Returns those without an address.
pub(crate) async fn resolve(upstreams: &Upstreams) -> Vec<(String, String)> {
    let mut tasks = JoinSet::new();
    for upstream in upstreams.values() {
        if let UpstreamKind::Pool(pool) = &upstream.kind {
            let pool = Arc::clone(pool);
            tasks.spawn(async move { (pool.name().to_owned(), pool.resolve_new_names().await) });
        }
    }
    let mut missing = Vec::new();
    while let Some(done) = tasks.join_next().await {
        if let Ok((pool, names)) = done {
            missing.extend(names.into_iter().map(|name| (pool.clone(), name)));
        }
    }
    missing
}

/// What operators ordered before. A server that is in the file no more is passed over.
fn give_orders(upstreams: &Upstreams, orders: &BTreeMap<String, BTreeMap<String, Override>>) {
    for (pool, orders) in orders {
        let Some(pool) = upstreams.get(pool).and_then(|upstream| upstream.pool()) else { continue };
        for (server, order) in orders {
            if pool.order(server, *order).is_err() {
                log::info!("upstream {}: what was ordered for {server} ends with it", pool.name());
            }
        }
    }
}

/// Keeps a task for each pool there is, and none for those that are gone.
async fn follow_pools(mut upstreams: watch::Receiver<Arc<Upstreams>>) {
    // By where a pool is: its task holds it, so nothing else can be there meanwhile.
    let place = |pool: &Arc<Pool>| Arc::as_ptr(pool) as usize;
    let mut running: HashMap<usize, watch::Sender<bool>> = HashMap::new();
    loop {
        let now: Vec<Arc<Pool>> =
            upstreams.borrow_and_update().values().filter_map(|upstream| upstream.pool().cloned()).collect();
        // A sender that is dropped ends its task.
        running.retain(|known, _| now.iter().any(|pool| place(pool) == *known));
        for pool in now {
            running.entry(place(&pool)).or_insert_with(|| {
                let (stop, stopped) = watch::channel(false);
                tokio::spawn(async move { pool.run(stopped).await });
                stop
            });
        }
        if upstreams.changed().await.is_err() {
            return;
        }
    }
}

impl Upkeep {
    /// The last steps of an upgrade.
    async fn succeed(&self, inheritance: Inheritance) -> std::io::Result<()> {
        let upstreams = Arc::clone(&self.node.upstreams().borrow());
        let mut checks = JoinSet::new();
        for pool in upstreams.values().filter_map(|upstream| upstream.pool().cloned()) {
            checks.spawn(async move { pool.check_now().await });
        }
        while checks.join_next().await.is_some() {}
        self.read_index().await;
        self.node.lifecycle.reach(Station::Prepared);
        let (instance, health) = (self.node.instance.clone(), self.health.clone());
        let waiting = tokio::task::spawn_blocking(move || {
            let mut inheritance = inheritance;
            inheritance.await_commit(&instance, &health).map(|orders| (inheritance, orders))
        });
        let (inheritance, orders) = waiting.await.map_err(std::io::Error::other)??;
        if self.node.lifecycle.station() != Station::Prepared {
            return Err(std::io::Error::other("it was told to stop before it could"));
        }
        give_orders(&upstreams, &orders);
        self.node.claim();
        // First ready, then open: nobody who comes in finds it otherwise.
        self.node.lifecycle.reach(Station::Ready);
        self.open.send_replace(true);
        if let Err(error) = inheritance.accepting() {
            log::warn!("the process before is gone ({error}); this one serves");
        }
        Ok(())
    }

    /// Waits until what is on the disks is known. What takes longer than half of the time there is, is found later: the old
    /// process should not have to stay for it.
    async fn read_index(&self) {
        let engine = self.node.engine();
        let patience = self.node.settings().server.upgrade_timeout.duration() / 2;
        let read = async {
            while !engine.is_recovered() {
                tokio::time::sleep(INDEX).await;
            }
        };
        if tokio::time::timeout(patience, read).await.is_err() {
            log::warn!(
                "the index of the disks is not read after {patience:?}; this process takes over with what it knows"
            );
        }
    }

    async fn follow_certificates(&self) {
        loop {
            let every = self.node.settings().tls.watch.duration();
            // Off, but a reload may switch it on.
            tokio::time::sleep(if every.is_zero() { Duration::from_secs(10) } else { every }).await;
            if every.is_zero() {
                continue;
            }
            for listener in self.node.listeners() {
                let Some(acceptor) = listener.tls().cloned() else { continue };
                let changes =
                    tokio::task::spawn_blocking(move || acceptor.refresh()).await.unwrap_or_default();
                for change in changes {
                    self.tell(listener.name(), &change);
                }
            }
        }
    }

    fn tell(&self, listener: &str, change: &CertificateChange) {
        let ok = matches!(change, CertificateChange::Renewed(_));
        self.node.metrics.certificate_renewed(ok);
        match change {
            CertificateChange::Renewed(info) => {
                log::info!("{listener}: the certificate in {} is new and in use", info.path.display());
            }
            CertificateChange::Refused { path, error } => log::error!(
                "{listener}: what is in {} now is not used, the certificate before stays: {error}",
                path.display()
            ),
        }
    }

    async fn follow_tickets(&self) {
        loop {
            tokio::time::sleep(TICKETS).await;
            let tickets = Arc::clone(&self.node.tickets);
            let Ok(outcome) = tokio::task::spawn_blocking(move || tickets.refresh()).await else { continue };
            self.node.metrics.ticket_keys(outcome.is_ok());
            if let Err(error) = outcome {
                log::error!("the ticket keys stay as they are: {error}");
            }
        }
    }

    /// `server.watch`: a change of the files is a wish to reload.
    async fn follow_files(&self) {
        let mut before = Vec::new();
        loop {
            tokio::time::sleep(FILES).await;
            if !self.node.settings().server.watch {
                continue;
            }
            let read = self.node.files();
            let files = read.clone();
            let look = move || files.iter().map(Seen::again).collect::<Vec<_>>();
            let Ok(now) = tokio::task::spawn_blocking(look).await else { continue };
            if now != read && now == before {
                self.node.reload_and_log("its files changed").await;
            }
            before = now;
        }
    }

    async fn feed_dog(&self) {
        let Some(every) = self.node.notify.watchdog() else { return };
        loop {
            self.node.notify.alive();
            tokio::time::sleep(every).await;
        }
    }
}
