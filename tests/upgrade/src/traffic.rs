//! All kinds of clients at once, each with its timetable: what is due is sent, whatever became of what was sent before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::book::Sent;
use crate::kinds::{Clients, Fault, Kind};

/// More than this of one kind under way says that the server does not keep up; the rest then counts as failed.
const MOST: usize = 100;

/// Clients of every kind at work.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    begun: Arc<BTreeMap<Kind, AtomicU64>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    kinds: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts these kinds against a server without and with TLS, whose certificate `ca` signed for `a.example`.
    #[must_use]
    pub fn start(kinds: &[Kind], plain: &str, secure: &str, ca: &Path) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Sent>>>::default());
        let begun: Arc<BTreeMap<_, _>> =
            Arc::new(kinds.iter().map(|kind| (*kind, AtomicU64::new(0))).collect());
        let clients = Arc::new(Clients::new(plain, secure, ca));
        let kinds = kinds
            .iter()
            .map(|kind| {
                let timetable = Timetable {
                    kind: *kind,
                    clients: Arc::clone(&clients),
                    stop: Arc::clone(&stop),
                    begun: Arc::clone(&begun),
                    sent: Arc::clone(&sent),
                };
                std::thread::spawn(move || timetable.run())
            })
            .collect();
        Self { stop, begun, sent, kinds }
    }

    /// How many of each kind were begun so far.
    #[must_use]
    pub fn begun(&self) -> BTreeMap<Kind, u64> {
        self.begun.iter().map(|(kind, count)| (*kind, count.load(Ordering::Relaxed))).collect()
    }

    /// Whether more of each kind were begun than `before` says, by this many seconds' worth.
    #[must_use]
    pub fn went_on(&self, before: &BTreeMap<Kind, u64>, seconds: f64) -> bool {
        self.begun().iter().all(|(kind, now)| {
            let wanted = f64::from(kind.rate()) * seconds;
            now.saturating_sub(before.get(kind).copied().unwrap_or(0)) as f64 >= wanted.max(1.0)
        })
    }

    /// Begins no more, waits for what is under way, and returns every request and what became of it.
    ///
    /// # Panics
    /// A client did.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub(crate) fn finish(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        for kind in self.kinds {
            kind.join().expect("the clients of a kind");
        }
        std::mem::take(&mut *self.sent.lock())
    }
}

struct Timetable {
    kind: Kind,
    clients: Arc<Clients>,
    stop: Arc<AtomicBool>,
    begun: Arc<BTreeMap<Kind, AtomicU64>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Timetable {
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    fn run(self) {
        let every = Duration::from_secs(1) / self.kind.rate();
        let (mut due, mut under_way, mut number) = (Instant::now(), Vec::<JoinHandle<()>>::new(), 0_u64);
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            due += every;
            let ids: Vec<String> = (0..self.kind.requests())
                .map(|_| {
                    number += 1;
                    format!("{}/{number}", self.kind.name())
                })
                .collect();
            if let Some(count) = self.begun.get(&self.kind) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            let (done, running): (Vec<_>, Vec<_>) = under_way.into_iter().partition(JoinHandle::is_finished);
            under_way = running;
            for done in done {
                done.join().expect("a client");
            }
            if under_way.len() >= MOST {
                let late = || Err(Fault::Failed(format!("{MOST} were under way already")));
                self.sent.lock().extend(ids.into_iter().map(|id| Sent {
                    kind: self.kind,
                    id,
                    outcome: late(),
                }));
                continue;
            }
            let (kind, clients, sent) = (self.kind, Arc::clone(&self.clients), Arc::clone(&self.sent));
            under_way.push(std::thread::spawn(move || {
                let outcomes = clients.go(kind, &ids);
                let records = ids.into_iter().zip(outcomes).map(|(id, outcome)| Sent { kind, id, outcome });
                sent.lock().extend(records);
            }));
        }
        for client in under_way {
            client.join().expect("a client");
        }
    }
}
