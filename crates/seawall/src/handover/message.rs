//! What the two processes say to each other, one JSON object a packet.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use seawall_listen::Channel;
use seawall_upstream::Override;
use serde::{Deserialize, Serialize};

/// Changes when old and new could misunderstand each other.
pub(super) const VERSION: u32 = 2;
/// Servers in one message with orders, which keeps it far below the largest packet.
const ORDERS: usize = 100;

/// Orders of pools by pool and server.
pub(super) type Orders = BTreeMap<String, BTreeMap<String, Override>>;

/// From either side, in the order of an upgrade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(super) enum Message {
    /// New: my configuration is sound; I take over what you have.
    Hello { version: u32, pid: u32 },
    /// Old: some of my listening sockets, by name, each with its descriptor in this packet.
    Sockets { names: Vec<String> },
    /// Old: that was all; and what else there is to know.
    State { tickets: Vec<String> },
    /// New: pools are warm, everything is bound. Ask me, under this name.
    Prepared { instance: String },
    /// Old: with this comes one end of a connection, over which it asks what will serve for its health.
    Ask,
    /// Old: some of what operators ordered.
    Orders { orders: Orders },
    /// Old: go on, take connections.
    Commit,
    /// New: I do.
    Accepting,
    /// New: it cannot be.
    Failed { why: String },
}

/// The same orders in parts that fit a message each.
pub(super) fn parts(orders: &Orders) -> Vec<Orders> {
    let flat: Vec<_> = orders
        .iter()
        .flat_map(|(pool, servers)| servers.iter().map(move |(server, order)| (pool, server, order)))
        .collect();
    let part = |some: &[(&String, &String, &Override)]| {
        let mut part = Orders::new();
        for (pool, server, order) in some {
            part.entry((*pool).clone()).or_default().insert((*server).clone(), **order);
        }
        part
    };
    flat.chunks(ORDERS).map(part).collect()
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

#[cfg(test)]
mod tests {
    use super::{ORDERS, Orders, parts};
    use seawall_upstream::Override;

    #[test]
    fn many_orders_go_in_parts_and_none_is_lost() {
        let mut all = Orders::new();
        for pool in 0..7 {
            for server in 0..61 {
                let order = Override { drain: Some(true), weight: None };
                all.entry(format!("pool-{pool}"))
                    .or_default()
                    .insert(format!("10.0.{pool}.{server}:80"), order);
            }
        }
        let (parts, mut again) = (parts(&all), Orders::new());
        for part in &parts {
            assert!(part.values().map(|servers| servers.len()).sum::<usize>() <= ORDERS);
            for (pool, servers) in part {
                again.entry(pool.clone()).or_default().extend(servers.clone());
            }
        }
        assert_eq!((parts.len(), again), (5, all));
    }
}
