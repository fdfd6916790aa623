//! What the two processes say to each other, one JSON object a packet.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use seawall_listen::Channel;
use seawall_upstream::Override;
use serde::{Deserialize, Serialize};

/// Changes when old and new could misunderstand each other.
pub(super) const VERSION: u32 = 1;

/// Orders of pools by pool and server.
pub(super) type Orders = BTreeMap<String, BTreeMap<String, Override>>;

/// From either side, in the order of an upgrade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(super) enum Message {
    /// New: my configuration is sound; I take over what you have.
    Hello { version: u32 },
    /// Old: some of my listening sockets, by name, each with its descriptor in this packet.
    Sockets { names: Vec<String> },
    /// Old: that was all; and what else there is to know.
    State { orders: Orders, tickets: Vec<String> },
    /// New: pools are warm, everything is bound. Ask me.
    Prepared,
    /// Old: who are you?
    Prove { nonce: String },
    /// New: ready, and the answer came from what will serve.
    Proof { nonce: String, instance: String, ready: bool },
    /// Old: go on, take connections.
    Commit,
    /// New: I do.
    Accepting,
    /// New: it cannot be.
    Failed { why: String },
}

pub(super) fn send(channel: &Channel, message: &Message, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    channel.send(&bytes, sockets)
}

pub(super) fn receive(channel: &Channel, within: Duration) -> io::Result<(Message, Vec<OwnedFd>)> {
    let (bytes, sockets) = channel.receive(within)?;
    let message = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    Ok((message, sockets))
}
