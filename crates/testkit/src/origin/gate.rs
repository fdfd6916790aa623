//! A gate that replies wait at until the test opens it.

use crate::wait::{DEADLINE, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Closed until [`Gate::open`]. Clones are the same gate. It replaces a sleep: a test sees that replies are
/// waiting, does what it has to do meanwhile, and lets them go.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self { open: Arc::new(watch::Sender::new(false)), waiting: Arc::default() }
    }

    /// Lets everything pass, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many replies stand at the gate.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Waits until at least `count` replies stand at the gate.
    ///
    /// # Panics
    /// They do not come within [`DEADLINE`].
    #[track_caller]
    pub fn wait_waiting(&self, count: usize) {
        eventually(DEADLINE, &format!("{count} replies at a gate"), || {
            let waiting = self.waiting();
            if waiting >= count { Ok(()) } else { Err(format!("{waiting} there")) }
        });
    }

    pub(super) async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _leaving = Leaving(&self.waiting);
        // The sender lives in `self`, so the only way out is the opening.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

/// Counts down also when the reply is abandoned at the gate.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
