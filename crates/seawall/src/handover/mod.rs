//! One process exchanged for the next without a moment in which nobody takes connections.
//!
//! Pingora's own upgrade lets the old process go whether or not there is a new one, passes 32 sockets at most and does so
//! over a path that anybody may reach. Here the old process starts the new one and talks to it over a pair of sockets
//! that only the two have ([`seawall_listen::Channel`]), through a guardian ([`guardian`]):
//!
//! 1. New: `hello`, once its configuration is sound.
//! 2. Old: its listening sockets; ticket keys.
//! 3. New: `prepared`: everything is bound or taken over, names are resolved, servers checked once.
//! 4. Old: `ask`, with a connection of its own. What will serve has to answer a request on it: with 200, the name it goes by
//!    and its state.
//! 5. Old: orders for servers; `commit`. New takes connections and says `accepting`.
//! 6. Only now the old one closes its listeners and drains.
//!
//! Until then both share the sockets and only the old one accepts, so at whatever step the new one fails nothing is lost.
//! What is asked of the old one after its `commit` is for the new one: [`Passage`].

mod guardian;
mod message;
mod new;
mod old;
mod passage;
mod probe;

pub(crate) use guardian::guard;
pub(crate) use new::{Inheritance, fail};
pub(crate) use passage::Passage;
pub(crate) use probe::Health;

/// Set for a successor, whose standard input is then its end of the channel.
const ENVIRONMENT: &str = "SEAWALL_SUCCESSOR";

/// A name that no other process has.
pub(crate) fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}
