//! One process exchanged for the next without a moment in which nobody takes connections.
//!
//! Pingora's own upgrade lets the old process go whether or not there is a new one, passes 32 sockets at most and does so
//! over a path that anybody may reach. Here the old process starts the new one and talks to it over a pair of sockets
//! that only the two have ([`seawall_listen::Channel`]):
//!
//! 1. New: `hello`, once its configuration is sound.
//! 2. Old: its listening sockets; orders for servers; ticket keys.
//! 3. New: `prepared`: everything is bound or taken over, names are resolved, servers checked once.
//! 4. Old: `prove`; new: `proof`, from the runtime that will serve.
//! 5. Old: `commit`; new takes connections and says `accepting`.
//! 6. Only now the old one closes its listeners and drains.
//!
//! Until then both share the sockets and only the old one accepts, so at whatever step the new one fails nothing is lost.

mod message;
mod new;
mod old;

pub(crate) use new::{Inheritance, fail};

/// Set for a successor, whose standard input is then its end of the channel.
const ENVIRONMENT: &str = "SEAWALL_SUCCESSOR";

/// A name that no other process has.
pub(crate) fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}
