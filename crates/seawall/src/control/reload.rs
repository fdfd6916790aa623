//! The configuration, read anew: all of it is checked before any of it counts, and what counts is exchanged at once.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use nix::sys::signal::Signal;
use seawall_admin::{Fault, Reply};
use seawall_listen::ListenerControl;
use seawall_telemetry::{AccessLog, AccessLogSettings, process_log};
use seawall_tls::{PreparedTls, TlsError};
use serde_json::{Value, json};

use super::{LastLoad, Node, fixed};
use crate::load::Loaded;
use crate::plan::{self, Built, Parts, PlanError, Upstreams};
use crate::settings::Settings;
use crate::upkeep;

/// A configuration that was read and found sound, with all that can fail done.
struct Ready {
    loaded: Loaded,
    settings: Settings,
    built: Built,
    access_log: Arc<AccessLog>,
    tls: Vec<(ListenerControl, PreparedTls)>,
}

/// Why the old one stays.
enum Refusal {
    Unsound(Box<Loaded>),
    Plan(PlanError),
    Tls(String, TlsError),
    Task(tokio::task::JoinError),
}

impl Node {
    /// Reloads and tells the log, for callers that get no answer.
    pub(crate) async fn reload_and_log(self: &Arc<Self>, cause: &str) {
        log::info!("reloading: {cause}");
        // The outcome is logged where it is decided.
        if let Err(fault) = self.reload_now().await
            && fault.code == "succeeded"
        {
            self.pass_on(Signal::SIGHUP);
        }
    }

    /// Reads the configuration anew. One at a time; a request keeps the plan it began with.
    pub(super) async fn reload_now(self: &Arc<Self>) -> Reply {
        let _one_at_a_time = self.reloading.lock().await;
        // An upgrade may have come first; its process has perhaps read the file before it changed.
        self.while_here(|| ())?;
        let began = Instant::now();
        self.notify.reloading();
        let node = Arc::clone(self);
        // Reads files, compiles expressions: not on a thread that others need.
        let outcome = match tokio::task::spawn_blocking(move || node.prepare()).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Refusal::Task(error)),
        };
        let reply = match outcome {
            Ok(ready) => Ok(self.commit(ready, began).await),
            Err(refusal) => Err(self.refuse(refusal)),
        };
        self.notify.reloaded(if reply.is_ok() { "serving" } else { "serving; the file on disk was refused" });
        reply
    }

    fn prepare(&self) -> Result<Ready, Refusal> {
        let loaded = Loaded::read(&self.live.file);
        self.files.lock().clone_from(&loaded.files);
        let Some(settings) = loaded.sound().cloned() else { return Err(Refusal::Unsound(Box::new(loaded))) };
        let mut tls = Vec::new();
        for listener in self.listeners() {
            let wanted =
                settings.listeners.iter().find(|wanted| wanted.address.to_string() == listener.name());
            if let (Some(acceptor), Some(wanted)) =
                (listener.tls(), wanted.and_then(|wanted| wanted.tls.as_ref()))
            {
                let prepared =
                    acceptor.prepare(wanted).map_err(|e| Refusal::Tls(listener.name().into(), e))?;
                tls.push((listener.clone(), prepared));
            }
        }
        let plan = self.plan();
        let access_log = self.access_log(&settings.access_log).map_err(Refusal::Plan)?;
        let old: Arc<Upstreams> = self.upstreams.borrow().clone();
        let parts = Parts {
            generation: plan.generation + 1,
            engine: self.engine(),
            metrics: &self.metrics,
            access_log: &access_log,
            draining: &self.lifecycle.draining,
        };
        let built = plan::build(&settings, &old, parts).map_err(Refusal::Plan)?;
        Ok(Ready { loaded, settings, built, access_log, tls })
    }

    /// The log in use, or another one when its settings changed.
    fn access_log(&self, settings: &AccessLogSettings) -> Result<Arc<AccessLog>, PlanError> {
        if self.settings().access_log == *settings {
            return Ok(Arc::clone(&self.plan().access_log));
        }
        Ok(Arc::new(AccessLog::new(settings)?))
    }

    /// Nothing here can fail.
    async fn commit(self: &Arc<Self>, ready: Ready, began: Instant) -> Value {
        let Ready { loaded, settings, built, access_log, tls } = ready;
        // Before requests meet them: a pool of names begins without an address.
        let unresolved = upkeep::resolve(&built.upstreams).await;
        let before = self.plan();
        for (listener, prepared) in tls {
            if let Some(acceptor) = listener.tls() {
                acceptor.apply(prepared);
            }
        }
        for listener in self.listeners() {
            let wanted =
                settings.listeners.iter().find(|wanted| wanted.address.to_string() == listener.name());
            if let Some(wanted) = wanted {
                listener.set_access(wanted.access.as_ref());
            }
        }
        self.gate.set_limits(&built.plan.limits);
        self.front.set_limits(&built.plan.limits);
        self.metrics.compression().set_capacity(built.plan.limits.compression_memory);
        let generation = built.plan.generation;
        self.live.plan.store(Arc::new(built.plan));
        self.upstreams.send_replace(Arc::new(built.upstreams));
        if !Arc::ptr_eq(&before.access_log, &access_log) {
            self.metrics.watch_access_log(Arc::clone(&access_log));
            self.retire_log(Arc::clone(&before.access_log));
        }
        if let Err(error) = process_log::install(&settings.log) {
            log::warn!("the process log keeps its settings: {error}");
        }
        let waiting = fixed::waiting(&self.first, &settings);
        self.settings.store(Arc::new(settings));
        *self.last.lock() = LastLoad { at: SystemTime::now(), error: None, waiting: waiting.clone() };
        self.metrics.config_loaded(generation, began.elapsed());
        log::info!("configuration {generation} is in effect after {:?}", began.elapsed());
        if !waiting.is_empty() {
            log::warn!("these settings wait for an upgrade or a restart: {}", waiting.join(", "));
        }
        let unresolved: Vec<String> =
            unresolved.into_iter().map(|(pool, name)| format!("upstream {pool}: {name}")).collect();
        json!({
            "generation": generation,
            "took_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "warnings": diagnostics(&loaded),
            "text": loaded.report(),
            "waiting": waiting,
            "upgrade_helps": fixed::upgrade_helps(&waiting),
            "unresolved": unresolved,
        })
    }

    fn refuse(&self, refusal: Refusal) -> Fault {
        self.metrics.config_refused();
        let fault = match refusal {
            Refusal::Unsound(loaded) => {
                let report = loaded.report();
                log::error!("the configuration on disk is refused, the one before stays:\n{report}");
                Fault {
                    status: 422,
                    code: "configuration",
                    message: "the configuration is refused; the one before stays in effect".into(),
                    details: Some(json!({ "diagnostics": diagnostics(&loaded), "text": report })),
                }
            }
            Refusal::Plan(error) => refused(&error),
            Refusal::Tls(listener, error) => refused(&format!("{listener}: {error}")),
            Refusal::Task(error) => refused(&error),
        };
        let mut last = self.last.lock();
        last.at = SystemTime::now();
        last.error = Some(fault.message.clone());
        fault
    }
}

/// What no check sees in advance: a file that changed between the check and its use.
fn refused(error: &dyn std::fmt::Display) -> Fault {
    log::error!("the configuration on disk is refused, the one before stays: {error}");
    Fault::new(422, "configuration", format!("the configuration is refused, the one before stays: {error}"))
}

/// The findings for programs.
fn diagnostics(loaded: &Loaded) -> Vec<Value> {
    let document = &loaded.document;
    let one = |found: &seawall_config::Diagnostic| {
        let at = found.location(document);
        json!({
            "severity": if found.severity == seawall_config::Severity::Error { "error" } else { "warning" },
            "path": found.path.to_string(),
            "file": at.map(|at| document.file_name(at.file)),
            "line": at.map(|at| at.line),
            "column": at.map(|at| at.column),
            "message": found.message,
            "hint": found.hint,
        })
    };
    loaded.diagnostics.iter().map(one).collect()
}
