//! The old process's part of an upgrade: it starts the new one, gives it what it has, asks it to prove itself, and only
//! then leaves. Until the new one accepts connections, any failure ends it and changes nothing here.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_admin::{Fault, Reply};
use seawall_listen::{Channel, MAX_DESCRIPTORS};
use seawall_proxy::UpstreamKind;
use serde_json::json;

use super::guardian::{Guarded, is_parent_of};
use super::message::{Message, Orders, VERSION, parts, receive, send};
use super::{Passage, probe};
use crate::control::Node;
use crate::lifecycle::Station;
use crate::signals::Wish;

/// How long a process that was told to take connections may take to say that it does, at least: by then it has shown that it
/// can, and to end it would cut those it has.
const LAST_STEP: Duration = Duration::from_secs(5);

/// A successor that takes connections.
struct Successor {
    pid: u32,
    instance: String,
}

impl Node {
    /// Exchanges this process for a new one of the binary on disk.
    pub(crate) async fn upgrade_now(self: &Arc<Self>) -> Reply {
        may_leave(std::process::id())?;
        let Ok(_only) = self.upgrading.try_lock() else {
            return Err(Fault::new(409, "busy", "an upgrade is under way"));
        };
        // A start or a reload that is under way is waited for.
        let patience = self.settings().server.upgrade_timeout.duration();
        let settled = async {
            self.lifecycle.started().await;
            self.exclusive().lock_owned().await
        };
        let Ok(_alone) = tokio::time::timeout(patience, settled).await else {
            return Err(Fault::new(409, "busy", "this process is still starting or reloading; try again"));
        };
        self.while_here(|| ())?;
        if self.lifecycle.station() != Station::Ready {
            return Err(Fault::new(409, "state", "this process is about to end, so it hands nothing over"));
        }
        log::info!("upgrading: starting {}", self.program.path().display());
        let began = Instant::now();
        let node = Arc::clone(self);
        let outcome = match tokio::task::spawn_blocking(move || node.hand_over()).await {
            Ok(outcome) => outcome,
            Err(error) => Err(error.to_string()),
        };
        self.metrics.upgraded(outcome.is_ok());
        match outcome {
            Ok(successor) => {
                log::info!("process {} has taken over after {:?}", successor.pid, began.elapsed());
                self.notify.succeeded(successor.pid);
                if self.wishes.send(Wish::Succeeded).await.is_err() {
                    log::error!("this process does not hear that it has a successor");
                }
                Ok(json!({
                    "pid": successor.pid,
                    "instance": successor.instance,
                    "took_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                }))
            }
            Err(why) => {
                log::error!("the upgrade failed, this process goes on: {why}");
                Err(Fault::new(502, "upgrade", format!("the upgrade failed, the old process goes on: {why}")))
            }
        }
    }

    fn hand_over(&self) -> Result<Successor, String> {
        let (channel, theirs) = Channel::pair().map_err(|error| format!("no channel: {error}"))?;
        let guarded = Guarded::start(self.program.path(), &self.file, theirs)
            .map_err(|error| format!("cannot start a process: {error}"))?;
        self.candidate(Some(guarded.id()));
        let until = Instant::now() + self.settings().server.upgrade_timeout.duration();
        let outcome = self.persuade(&channel, until, guarded.id());
        match outcome {
            Ok(successor) => {
                guarded.release();
                // Before anybody who waits for the end of this upgrade goes on.
                self.passed(Passage::Gone(successor.pid));
                Ok(successor)
            }
            Err(why) => {
                let status = guarded.end();
                // Its number may be another's from now on.
                self.candidate(None);
                self.passed(Passage::Here);
                Err(status.map_or_else(|| why.clone(), |status| format!("{why} ({status})")))
            }
        }
    }

    /// All messages of an upgrade.
    fn persuade(&self, channel: &Channel, until: Instant, guardian: u32) -> Result<Successor, String> {
        let hear = |what: &str| hear(channel, until, what);
        let pid = match hear("a sound configuration")? {
            Message::Hello { version: VERSION, pid } if is_parent_of(guardian, pid) => pid,
            Message::Hello { version: VERSION, pid } => {
                return Err(format!("process {pid} answers, which was not started for this"));
            }
            Message::Hello { version, .. } => {
                return Err(format!("it speaks version {version}, we speak {VERSION}"));
            }
            other => return Err(unexpected(&other)),
        };
        // The new process opens the cache after this, and is to find what is hot now.
        self.engine().seal();
        self.send_sockets(channel).map_err(|error| format!("the sockets did not reach it: {error}"))?;
        tell(channel, &Message::State { tickets: self.tickets.export() })?;
        let instance = match hear("its preparations")? {
            Message::Prepared { instance } if instance != self.instance => instance,
            other => return Err(unexpected(&other)),
        };
        probe::ask(channel, until, &instance)?;
        // What is ordered from here on is for the new process.
        let orders = self.commit_to_successor(|| self.orders())?;
        for part in parts(&orders) {
            tell(channel, &Message::Orders { orders: part })?;
        }
        tell(channel, &Message::Commit)?;
        let until = until.max(Instant::now() + LAST_STEP);
        match self::hear(channel, until, "it to take connections")? {
            Message::Accepting => Ok(Successor { pid, instance }),
            other => Err(unexpected(&other)),
        }
    }

    fn send_sockets(&self, channel: &Channel) -> io::Result<()> {
        let sockets = self.sockets()?;
        for chunk in sockets.chunks(MAX_DESCRIPTORS) {
            let names = chunk.iter().map(|(name, _)| name.clone()).collect();
            let descriptors: Vec<BorrowedFd<'_>> = chunk.iter().map(|(_, socket)| socket.as_fd()).collect();
            send(channel, &Message::Sockets { names }, &descriptors)?;
        }
        Ok(())
    }

    /// What operators ordered, which is in no file.
    fn orders(&self) -> Orders {
        let upstreams = self.upstreams().borrow().clone();
        let pools = upstreams.values().filter_map(|upstream| match &upstream.kind {
            UpstreamKind::Pool(pool) => Some((pool.name().to_owned(), pool.orders())),
            UpstreamKind::Files(_) => None,
        });
        pools.filter(|(_, orders)| !orders.is_empty()).collect::<BTreeMap<_, _>>()
    }
}

/// The first process of a container takes all others with it when it ends.
fn may_leave(own: u32) -> Result<(), Fault> {
    if own != 1 {
        return Ok(());
    }
    let advice = "this is the first process of its container, which would end with it and take the new one along; \
                  exchange the container instead";
    Err(Fault::new(409, "state", advice))
}

fn hear(channel: &Channel, until: Instant, what: &str) -> Result<Message, String> {
    let left = until.saturating_duration_since(Instant::now());
    match receive(channel, left) {
        Ok((Message::Failed { why }, _)) => Err(why),
        Ok((message, _)) => Ok(message),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(format!("the new process hangs: waited for {what} until server.upgrade_timeout"))
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(format!("the new process ended while waited for {what}"))
        }
        Err(error) => Err(format!("the new process makes no sense while waited for {what}: {error}")),
    }
}

fn tell(channel: &Channel, message: &Message) -> Result<(), String> {
    send(channel, message, &[]).map_err(|error| format!("the new process does not listen: {error}"))
}

fn unexpected(message: &Message) -> String {
    format!("the new process said something out of turn: {message:?}")
}

#[cfg(test)]
mod tests {
    use super::may_leave;

    #[test]
    fn the_first_process_of_a_container_stays() {
        assert_eq!(may_leave(1).unwrap_err().code, "state");
        may_leave(2).unwrap();
    }
}
