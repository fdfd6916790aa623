//! End-to-end tests of the promise "never drop a request": reloads, certificates, draining, upgrades. The tests are in
//! `tests/`; this is the load they run under.

mod book;
mod edge;
mod kinds;
mod load;
mod nginx;
mod traffic;

pub use book::{Book, Counts};
pub use edge::{Edge, SeawallEdge, content, is_gone, origin, own_program, tunnel_call, tunnel_reply};
pub use kinds::Kind;
pub use load::{Client, Judge, Load, Tally};
pub use nginx::NginxEdge;
pub use traffic::Traffic;

/// How often something is repeated: `few` in `make test`, `many` in `make soak`.
#[must_use]
pub fn rounds(few: u32, many: u32) -> u32 {
    if std::env::var_os("SEAWALL_SOAK").is_some() { many } else { few }
}
