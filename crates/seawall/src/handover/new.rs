//! The new process's part of an upgrade.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use seawall_listen::Channel;

use super::ENVIRONMENT;
use super::message::{Message, Orders, VERSION, receive, send};

/// The old process waits for us, not we for it: this only ends a wait for one that is gone astray.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the process before left.
pub(crate) struct Inheritance {
    channel: Channel,
    sockets: HashMap<String, OwnedFd>,
    orders: Orders,
    tickets: Vec<String>,
}

impl Inheritance {
    /// The channel that this process was born with, when it is a successor.
    ///
    /// # Errors
    /// When it was told to be one but has no channel.
    pub(crate) fn channel() -> io::Result<Option<Channel>> {
        if std::env::var_os(ENVIRONMENT).is_none() {
            return Ok(None);
        }
        let end = io::stdin().as_fd().try_clone_to_owned()?;
        // Nothing is to be read there any more.
        nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
        // SIGINT of a terminal and the like reach both; a successor of a process without one is the usual case.
        Ok(Some(Channel::inherited(end)))
    }

    /// Takes over what the old process has. To be called with a configuration that is sound.
    ///
    /// # Errors
    /// When the old process is gone or makes no sense.
    pub(crate) fn take(channel: Channel) -> io::Result<Self> {
        send(&channel, &Message::Hello { version: VERSION }, &[])?;
        let mut sockets = HashMap::new();
        loop {
            match receive(&channel, PATIENCE)? {
                (Message::Sockets { names }, descriptors) if names.len() == descriptors.len() => {
                    sockets.extend(names.into_iter().zip(descriptors));
                }
                (Message::State { orders, tickets }, _) => {
                    return Ok(Self { channel, sockets, orders, tickets });
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// The listening socket of this name, if there is one.
    pub(crate) fn socket(&mut self, name: &str) -> Option<OwnedFd> {
        self.sockets.remove(name)
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    pub(crate) fn tickets(&self) -> &[String] {
        &self.tickets
    }

    /// Says that all is prepared, answers for this process, and waits until it may take connections. Sockets that the
    /// configuration does not name any more are closed.
    ///
    /// # Errors
    /// When the old process decided otherwise.
    pub(crate) fn await_commit(&mut self, instance: &str) -> io::Result<()> {
        self.sockets.clear();
        send(&self.channel, &Message::Prepared, &[])?;
        loop {
            match receive(&self.channel, PATIENCE)?.0 {
                Message::Prove { nonce } => {
                    let instance = instance.to_owned();
                    send(&self.channel, &Message::Proof { nonce, instance, ready: true }, &[])?;
                }
                Message::Commit => return Ok(()),
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

/// Tells the old process why it comes to nothing.
pub(crate) fn fail(channel: &Channel, why: &str) {
    // It sees the end of this process anyway.
    let _ = send(channel, &Message::Failed { why: why.chars().take(8000).collect() }, &[]);
}
