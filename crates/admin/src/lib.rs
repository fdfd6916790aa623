//! The control API: what an operator may ask of a running process, over a unix socket or a guarded address.
//!
//! This crate knows HTTP and who may come in; what is asked for is done by whoever implements [`Control`]. The
//! routes are in one table ([`ROUTES`]), which `docs/openapi.yaml` is tested against. [`Client`] is the other end, for
//! the command line.

mod access;
mod app;
mod client;
mod control;
mod routes;
mod serve;
mod settings;

pub use access::Access;
pub use app::AdminApp;
pub use client::{Client, ClientError, Target};
pub use control::{Control, Fault, MAX_PURGED, Order, Purge, Readiness, Reply};
pub use routes::{Action, ROUTES, Route};
pub use settings::{AdminSettings, admin_limits};
