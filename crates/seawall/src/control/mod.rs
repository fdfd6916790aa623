//! The running node: what a reload exchanges, and what the control API asks for.

mod api;
mod fixed;
mod reload;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use seawall_listen::{Gate, ListenerControl};
use seawall_proxy::Plan;
use seawall_telemetry::AccessLog;
use seawall_telemetry::metrics::Metrics;
use seawall_tls::TicketKeys;
use tokio::sync::{mpsc, watch};

pub(crate) use api::NodeControl;

use crate::door::Front;
use crate::handover::Passage;
use crate::lifecycle::Lifecycle;
use crate::load::{Loaded, Seen};
use crate::notify::Notifier;
use crate::plan::{Engine, Upstreams};
use crate::program::Program;
use crate::settings::Settings;
use crate::signals::Wish;

/// What lives as long as the process.
pub(crate) struct Live {
    pub(crate) file: PathBuf,
    pub(crate) plan: Arc<ArcSwap<Plan>>,
    pub(crate) engine: Engine,
    pub(crate) gate: Arc<Gate>,
    pub(crate) front: Arc<Front>,
    pub(crate) listeners: Vec<ListenerControl>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) tickets: Arc<TicketKeys>,
    pub(crate) notify: Notifier,
    pub(crate) wishes: mpsc::Sender<Wish>,
    pub(crate) program: Program,
    /// Differs from process to process.
    pub(crate) instance: String,
    /// The listeners of the metrics and of the control API.
    pub(crate) side_doors: Vec<ListenerControl>,
}

/// A running process.
pub(crate) struct Node {
    live: Live,
    /// Those it was started with: what a reload cannot change is as they say.
    first: Settings,
    settings: ArcSwap<Settings>,
    files: Mutex<Vec<Seen>>,
    upstreams: watch::Sender<Arc<Upstreams>>,
    /// Held over a reload and an upgrade: one at a time.
    reloading: Arc<tokio::sync::Mutex<()>>,
    /// Held over an upgrade, from its waiting for the above.
    pub(crate) upgrading: tokio::sync::Mutex<()>,
    /// Held for a moment: by who gives the node away, and by who changes it.
    pub(crate) passage: Mutex<Passage>,
    /// The guardian of a process that may become the next one.
    pub(crate) candidate: Mutex<Option<u32>>,
    last: Mutex<LastLoad>,
    /// Logs of plans before, while requests still write to them.
    old_logs: Mutex<Vec<Weak<AccessLog>>>,
    started: Instant,
    failure: Mutex<Option<String>>,
}

/// What came of the latest attempt to read the configuration.
#[derive(Debug, Clone)]
struct LastLoad {
    at: SystemTime,
    error: Option<String>,
    /// What of the file in effect waits for an upgrade or a restart.
    waiting: Vec<String>,
}

impl std::ops::Deref for Node {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.live
    }
}

impl Node {
    pub(crate) fn new(live: Live, loaded: &Loaded, settings: &Settings, upstreams: Upstreams) -> Self {
        let files = loaded.files.clone();
        Self {
            live,
            first: settings.clone(),
            settings: ArcSwap::from_pointee(settings.clone()),
            files: Mutex::new(files),
            upstreams: watch::Sender::new(Arc::new(upstreams)),
            reloading: Arc::default(),
            upgrading: tokio::sync::Mutex::default(),
            passage: Mutex::new(Passage::Here),
            candidate: Mutex::default(),
            last: Mutex::new(LastLoad { at: SystemTime::now(), error: None, waiting: Vec::new() }),
            old_logs: Mutex::default(),
            started: Instant::now(),
            failure: Mutex::default(),
        }
    }

    /// The configuration in effect, but for what waits for an upgrade.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// The plan that requests begin under now.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.live.plan.load_full()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.live.engine
    }

    pub(crate) fn listeners(&self) -> &[ListenerControl] {
        &self.live.listeners
    }

    /// What a reload holds.
    pub(crate) fn exclusive(&self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.reloading)
    }

    /// Every listening socket by name, for a successor.
    ///
    /// # Errors
    /// When one is missing: a successor would open its address anew, beside the clients that wait in this one.
    pub(crate) fn sockets(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let all = self.listeners().iter().chain(&self.live.side_doors);
        all.map(|listener| match listener.socket() {
            Ok(Some(socket)) => Ok((listener.name().to_owned(), socket)),
            Ok(None) => Err(io::Error::other(format!("there is no spare of {}", listener.name()))),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", listener.name()))),
        })
        .collect()
    }

    /// Lets go of the listening sockets; with a successor also of those of the metrics and of the control API.
    pub(crate) fn let_go(&self, successor: bool) {
        self.listeners().iter().for_each(|listener| listener.let_go(successor));
        if successor {
            self.live.side_doors.iter().for_each(|listener| listener.let_go(true));
        }
    }

    /// Takes what sockets leave in the file system for this process's own.
    pub(crate) fn claim(&self) {
        self.listeners().iter().chain(&self.live.side_doors).for_each(ListenerControl::claim);
    }

    /// Lets go of every socket that no successor has. What the runtimes hold may outlive their end by a moment; what is to be
    /// seen in the file system should not.
    pub(crate) fn let_go_of_all(&self) {
        if !matches!(*self.passage.lock(), Passage::Gone(_)) {
            self.listeners().iter().chain(&self.live.side_doors).for_each(|listener| listener.let_go(false));
        }
    }

    /// The pools, now and after each reload.
    pub(crate) fn upstreams(&self) -> watch::Receiver<Arc<Upstreams>> {
        self.upstreams.subscribe()
    }

    /// The files as they were when they were last read, taken or refused.
    pub(crate) fn files(&self) -> Vec<Seen> {
        self.files.lock().clone()
    }

    /// Ends the process as one that failed.
    pub(crate) async fn fail(&self, why: String) {
        *self.failure.lock() = Some(why);
        if self.wishes.send(Wish::StopNow).await.is_err() {
            log::error!("this process failed and does not hear that it should end");
        }
    }

    /// Why the process failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Opens log files anew, after a rotation.
    pub(crate) fn reopen_logs(&self) {
        self.plan().access_log.reopen();
        for old in self.old_logs.lock().iter().filter_map(Weak::upgrade) {
            old.reopen();
        }
    }

    /// Writes what is left of the access logs.
    pub(crate) fn close_logs(&self, patience: Duration) {
        self.plan().access_log.shutdown(patience);
        for old in self.old_logs.lock().iter().filter_map(Weak::upgrade) {
            old.shutdown(patience);
        }
    }

    /// Lets a log go once no request writes to it any more: its end waits for the disk, which no request should.
    fn retire_log(&self, old: Arc<AccessLog>) {
        let mut logs = self.old_logs.lock();
        logs.retain(|log| log.strong_count() > 0);
        logs.push(Arc::downgrade(&old));
        drop(logs);
        tokio::spawn(async move {
            while Arc::strong_count(&old) > 1 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let _ = tokio::task::spawn_blocking(move || drop(old)).await;
        });
    }
}
