//! How the process is controlled: whether it wants requests, what the control API was asked, certificates renewed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::family::{Families, Spec, Specs};
use super::reasons::ReasonCounter;

/// Tells whether the process wants requests. The binary implements it.
pub trait ReadinessSource: Send + Sync {
    /// Whether it does, and the word for its state.
    fn readiness(&self) -> (bool, &'static str);
}

/// Answers of the control API are of few kinds; this only keeps a slip from growing without end.
const MOST: usize = 256;

/// What is counted about control.
#[derive(Default)]
pub(super) struct ControlMetrics {
    source: RwLock<Option<Arc<dyn ReadinessSource>>>,
    admin: Mutex<BTreeMap<(&'static str, u16), u64>>,
    pub(super) renewals: ReasonCounter,
    pub(super) upgrades: ReasonCounter,
    tickets_failed: AtomicBool,
}

impl ControlMetrics {
    pub(super) fn new() -> Self {
        let control = Self::default();
        control.renewals.expect(["ok", "refused"]);
        control.upgrades.expect(["ok", "failed"]);
        control
    }

    pub(super) fn watch(&self, source: Arc<dyn ReadinessSource>) {
        *self.source.write() = Some(source);
    }

    /// Ready when nobody says otherwise.
    pub(super) fn readiness(&self) -> (bool, &'static str) {
        self.source.read().as_ref().map_or((true, "ready"), |source| source.readiness())
    }

    pub(super) fn admin_answered(&self, request: &'static str, status: u16) {
        let mut counts = self.admin.lock();
        if counts.len() < MOST || counts.contains_key(&(request, status)) {
            *counts.entry((request, status)).or_default() += 1;
        }
    }

    pub(super) fn tickets(&self, ok: bool) {
        self.tickets_failed.store(!ok, Ordering::Relaxed);
    }
}

static READY: Spec<0> =
    Spec::gauge("seawall_ready", "Whether the process wants requests (as /readyz says).", []);
static ADMIN: Spec<2> =
    Spec::counter("seawall_admin_requests_total", "Requests to the control API.", ["request", "status"]);
static RENEWALS: Spec<1> = Spec::counter(
    "seawall_tls_certificate_renewals_total",
    "Certificate files that changed: taken into use, or refused.",
    ["result"],
);
static UPGRADES: Spec<1> =
    Spec::counter("seawall_upgrades_total", "Attempts to hand over to a new process.", ["result"]);
static TICKETS: Spec<0> = Spec::gauge(
    "seawall_tls_ticket_keys_stale",
    "Whether the file of ticket keys could not be used last time.",
    [],
);

pub(super) fn specs() -> Specs {
    vec![&READY, &ADMIN, &RENEWALS, &UPGRADES, &TICKETS]
}

pub(super) fn read(control: &ControlMetrics, out: &mut Families) {
    out.single(&READY, control.readiness().0);
    {
        let mut family = out.family(&ADMIN);
        for ((request, status), count) in control.admin.lock().iter() {
            family.sample([*request, &status.to_string()], *count);
        }
    }
    control.renewals.read(&mut out.family(&RENEWALS), |result| [result]);
    control.upgrades.read(&mut out.family(&UPGRADES), |result| [result]);
    out.single(&TICKETS, control.tickets_failed.load(Ordering::Relaxed));
}
