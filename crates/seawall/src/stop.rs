//! The way to the end: told, not wanted any more, draining, gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::Signal;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::control::Node;
use crate::lifecycle::Station;
use crate::observe::OpenConnections;
use crate::signals::Wish;

/// How long answers of the control API may take once all else is over.
const OPERATORS: Duration = Duration::from_secs(2);

/// Does what is wished until the wish is to end. TERM drains, INT stops at once, HUP reloads, USR1 reopens logs; a
/// second TERM or INT ends the draining.
pub(crate) struct Stop {
    pub(crate) node: Arc<Node>,
    pub(crate) wishes: tokio::sync::Mutex<mpsc::Receiver<Wish>>,
    /// Closes the listeners.
    pub(crate) drain: watch::Sender<bool>,
    pub(crate) open: Arc<OpenConnections>,
    /// Closes those of the metrics and of the control API.
    pub(crate) side: watch::Sender<bool>,
    pub(crate) operators: Arc<OpenConnections>,
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let mut wishes = self.wishes.lock().await;
        loop {
            match wishes.recv().await {
                Some(Wish::Drain) | None => break,
                Some(Wish::Succeeded) => {
                    self.make_way(&mut wishes).await;
                    return ShutdownSignal::FastShutdown;
                }
                Some(Wish::StopNow) => {
                    self.node.notify.stopping();
                    log::info!("told to stop at once");
                    self.answer_operators(&mut wishes).await;
                    return ShutdownSignal::FastShutdown;
                }
                Some(other) => self.minor(other),
            }
        }
        self.leave(&mut wishes).await;
        self.answer_operators(&mut wishes).await;
        ShutdownSignal::FastShutdown
    }
}

impl Stop {
    /// What does not end the process.
    fn minor(&self, wish: Wish) {
        match wish {
            Wish::ReopenLogs => self.node.reopen_logs(),
            Wish::Reload => {
                let node = Arc::clone(&self.node);
                // Whoever signals reads the outcome in the log.
                tokio::spawn(async move { node.reload_and_log("SIGHUP").await });
            }
            Wish::Upgrade => log::warn!("SIGQUIT alone starts no upgrade and is ignored"),
            Wish::Drain | Wish::StopNow | Wish::Succeeded => {}
        }
    }

    /// Another process takes connections: this one only ends what it began.
    async fn make_way(&self, wishes: &mut mpsc::Receiver<Wish>) {
        // First of all: a door that closes takes the file of its socket away, unless it was told that it stays.
        self.node.let_go(true);
        let _ = self.side.send(true);
        let engine = self.node.engine().clone();
        // Waits for disks; the successor serves already.
        let handed_over = tokio::task::spawn_blocking(move || engine.step_down());
        self.drain(wishes, true).await;
        if let Err(error) = handed_over.await {
            log::error!("the disks were not handed over: {error}");
        }
        self.answer_operators(wishes).await;
    }

    /// Whoever asked for the end, or watches it, gets an answer.
    async fn answer_operators(&self, wishes: &mut mpsc::Receiver<Wish>) {
        let _ = self.side.send(true);
        let until = Instant::now() + OPERATORS;
        self.pause(wishes, until, 1, || self.operators.get() == 0).await;
    }

    /// Ends what is under way, until there is nothing, it is time, or somebody is in a hurry. The first signal to a process
    /// that has a successor is none: a service manager that stops the service sends one to both, and the old one is
    /// about to end as it is.
    async fn drain(&self, wishes: &mut mpsc::Receiver<Wish>, successor: bool) {
        let patience = self.node.settings().server.shutdown_timeout.duration();
        log::info!("draining {} connections for up to {patience:?}", self.open.get());
        self.node.lifecycle.reach(Station::Draining);
        self.node.let_go(successor);
        let _ = self.drain.send(true);
        let signals = if successor { 2 } else { 1 };
        let until = Instant::now() + patience;
        if self.pause(wishes, until, signals, || self.open.get() == 0).await == Paused::Over {
            log::warn!("{} connections were still open after {patience:?}", self.open.get());
        }
    }

    async fn leave(&self, wishes: &mut mpsc::Receiver<Wish>) {
        let delay = self.node.settings().server.shutdown_delay.duration();
        self.node.notify.stopping();
        self.node.leave();
        if !delay.is_zero() {
            log::info!("not ready any more; requests are still taken for {delay:?}");
            if self.pause(wishes, Instant::now() + delay, 1, || false).await == Paused::Hurried {
                return;
            }
        }
        self.drain(wishes, false).await;
    }

    /// Waits until `until`, until `done` or until somebody is in a hurry, which takes so many `signals` to drain or one to
    /// stop at once.
    async fn pause(
        &self,
        wishes: &mut mpsc::Receiver<Wish>,
        until: Instant,
        mut signals: u32,
        done: impl Fn() -> bool,
    ) -> Paused {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                _ = look.tick() => if done() { return Paused::Done },
                () = tokio::time::sleep_until(until) => return Paused::Over,
                wish = wishes.recv() => match wish {
                    Some(Wish::Drain) if signals > 1 => signals -= 1,
                    Some(Wish::Drain | Wish::StopNow) | None => {
                        log::info!("told again: stopping at once");
                        return Paused::Hurried;
                    }
                    Some(Wish::ReopenLogs) => self.node.reopen_logs(),
                    // Whoever sent it means the node, not the process that happened to be it.
                    Some(Wish::Reload) => self.node.pass_on(Signal::SIGHUP),
                    Some(Wish::Upgrade | Wish::Succeeded) => {}
                },
            }
        }
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paused {
    Done,
    Over,
    Hurried,
}
