//! The new process's part of an upgrade.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use seawall_listen::Channel;
use tokio::sync::mpsc;

use super::ENVIRONMENT;
use super::message::{Message, Orders, VERSION, receive, send};

/// The old process waits for us, not we for it: this only ends a wait for one that is gone astray.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the process before left.
pub(crate) struct Inheritance {
    channel: Channel,
    sockets: HashMap<String, OwnedFd>,
    tickets: Vec<String>,
}

impl Inheritance {
    /// The channel that this process was born with, when it is a successor.
    ///
    /// # Errors
    /// When it was told to be one but has no channel.
    pub(crate) fn channel() -> io::Result<Option<Channel>> {
        if std::env::var_os(ENVIRONMENT).is_none() { Ok(None) } else { inherited_channel().map(Some) }
    }

    /// Takes over what the old process has. To be called with a configuration that is sound.
    ///
    /// # Errors
    /// When the old process is gone or makes no sense.
    pub(crate) fn take(channel: Channel) -> io::Result<Self> {
        send(&channel, &Message::Hello { version: VERSION, pid: std::process::id() }, &[])?;
        let mut sockets = HashMap::new();
        loop {
            match receive(&channel, PATIENCE)? {
                (Message::Sockets { names }, descriptors) if names.len() == descriptors.len() => {
                    sockets.extend(names.into_iter().zip(descriptors));
                }
                (Message::State { tickets }, _) => return Ok(Self { channel, sockets, tickets }),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// The listening socket of this name, if there is one.
    pub(crate) fn socket(&mut self, name: &str) -> Option<OwnedFd> {
        self.sockets.remove(name)
    }

    pub(crate) fn tickets(&self) -> &[String] {
        &self.tickets
    }

    /// Says that all is prepared, gives questions about its health to what serves, and waits until connections may be
    /// taken. Sockets that the configuration does not name any more are closed. Returns what operators ordered.
    ///
    /// # Errors
    /// When the old process decided otherwise.
    pub(crate) fn await_commit(
        &mut self,
        instance: &str,
        health: &mpsc::Sender<UnixStream>,
    ) -> io::Result<Orders> {
        self.sockets.clear();
        send(&self.channel, &Message::Prepared { instance: instance.to_owned() }, &[])?;
        let mut all = Orders::new();
        loop {
            match receive(&self.channel, PATIENCE)? {
                (Message::Ask, mut with) if with.len() == 1 => {
                    let asked = with.pop().map(UnixStream::from).ok_or(io::ErrorKind::InvalidData)?;
                    health.blocking_send(asked).map_err(io::Error::other)?;
                }
                (Message::Orders { orders }, _) => {
                    for (pool, servers) in orders {
                        all.entry(pool).or_default().extend(servers);
                    }
                }
                (Message::Commit, _) => return Ok(all),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Says that connections are taken: the old process may leave.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn accepting(self) -> io::Result<()> {
        send(&self.channel, &Message::Accepting, &[])
    }
}

/// The channel on standard input, where nothing is to be read any more afterwards.
pub(super) fn inherited_channel() -> io::Result<Channel> {
    let end = io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(Channel::inherited(end))
}

/// Tells the old process why it comes to nothing.
pub(crate) fn fail(channel: &Channel, why: &str) {
    // It sees the end of this process anyway.
    let _ = send(channel, &Message::Failed { why: why.chars().take(8000).collect() }, &[]);
}
