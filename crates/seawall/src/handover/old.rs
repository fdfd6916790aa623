//! The old process's part of an upgrade: it starts the new one, gives it what it has, asks it to prove itself, and only
//! then leaves. Until the new one accepts connections, any failure ends it and changes nothing here.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_admin::{Fault, Reply};
use seawall_listen::{Channel, MAX_DESCRIPTORS};
use seawall_proxy::UpstreamKind;
use serde_json::json;

use super::ENVIRONMENT;
use super::message::{Message, Orders, VERSION, receive, send};
use crate::control::Node;
use crate::lifecycle::Station;
use crate::signals::Wish;

/// How long a process that said it failed may take to end by itself.
const PARTING: Duration = Duration::from_secs(1);

/// A successor that takes connections.
struct Successor {
    pid: u32,
    instance: String,
}

impl Node {
    /// Exchanges this process for a new one of the binary on disk.
    pub(crate) async fn upgrade_now(self: &Arc<Self>) -> Reply {
        // Neither beside a reload nor beside another upgrade.
        let Ok(_alone) = self.exclusive().try_lock_owned() else {
            return Err(Fault::new(409, "busy", "a reload or an upgrade is under way; try again"));
        };
        if self.lifecycle.station() != Station::Ready {
            return Err(Fault::new(409, "state", "this process is not ready, so it hands nothing over"));
        }
        log::info!("upgrading: starting {}", self.program.display());
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
        let mut command = Command::new(&self.program);
        command.arg("run").arg(&self.file).env(ENVIRONMENT, "1").env_remove("WATCHDOG_PID");
        // Its standard input is its end of the channel; the logs stay where they are.
        command.stdin(Stdio::from(theirs));
        let mut child =
            command.spawn().map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        drop(command);
        let until = Instant::now() + self.settings().server.upgrade_timeout.duration();
        match self.persuade(&channel, until) {
            Ok(instance) => Ok(Successor { pid: child.id(), instance }),
            Err(why) => Err(end(&mut child, why)),
        }
    }

    /// All messages of an upgrade. Returns the name the successor gave itself.
    fn persuade(&self, channel: &Channel, until: Instant) -> Result<String, String> {
        let hear = |what: &str| hear(channel, until, what);
        match hear("a sound configuration")? {
            Message::Hello { version: VERSION } => {}
            Message::Hello { version } => {
                return Err(format!("it speaks version {version}, we speak {VERSION}"));
            }
            other => return Err(unexpected(&other)),
        }
        self.send_sockets(channel).map_err(|error| format!("the sockets did not reach it: {error}"))?;
        let state = Message::State { orders: self.orders(), tickets: self.tickets.export() };
        tell(channel, &state)?;
        match hear("its preparations")? {
            Message::Prepared => {}
            other => return Err(unexpected(&other)),
        }
        let nonce = super::random_name();
        tell(channel, &Message::Prove { nonce: nonce.clone() })?;
        let instance = match hear("its readiness")? {
            Message::Proof { nonce: given, instance, ready: true } if given == nonce => instance,
            Message::Proof { ready: false, .. } => return Err("it says that it is not ready".into()),
            other => return Err(unexpected(&other)),
        };
        tell(channel, &Message::Commit)?;
        match hear("it to take connections")? {
            Message::Accepting => Ok(instance),
            other => Err(unexpected(&other)),
        }
    }

    fn send_sockets(&self, channel: &Channel) -> io::Result<()> {
        let sockets = self.sockets();
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

/// Ends a successor that came to nothing, and adds how it ended by itself, if it did.
fn end(child: &mut Child, why: String) -> String {
    let until = Instant::now() + PARTING;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) => return format!("{why} ({status})"),
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => break,
        }
    }
    if let Err(error) = child.kill() {
        log::warn!("cannot end process {}: {error}", child.id());
    }
    let _ = child.wait();
    why
}
