//! Pools of servers: who is in them, who is healthy, who takes the next request, and whether it may be sent again.
//!
//! [`UpstreamSettings`] is what a person writes; [`UpstreamSettings::check`] says what is wrong with it. From it a
//! [`Pool`] is built, which requests share:
//!
//! ```
//! use std::sync::Arc;
//! use seawall_upstream::{Pool, SelectRequest, SystemResolver, UpstreamSettings};
//!
//! let settings: UpstreamSettings = serde_yaml::from_str("servers: [127.0.0.1:8080]").unwrap();
//! let pool = Pool::new("app", &settings, Arc::new(SystemResolver::default())).unwrap();
//! let headers = http::HeaderMap::new();
//! let request = SelectRequest { uri: "/", headers: &headers, client: "192.0.2.7".parse().unwrap() };
//! pool.budget().deposit();
//! let server = pool.select(&request, &[]).unwrap();
//! assert_eq!(server.server(), "127.0.0.1:8080");
//! let peer = server.peer(); // for Pingora
//! assert_eq!(pool.snapshot().servers[0].in_flight, 1);
//! # drop((server, peer));
//! ```
//!
//! [`Pool::run`] resolves DNS names and checks health in the background; Pingora's load balancing keeps the health
//! (`HealthRegistry` with its thresholds) and the Ketama ring. Choosing a server takes no lock: it reads an immutable
//! table ([`arc_swap`]) and a few atomics.

mod address;
mod budget;
mod credentials;
mod floor;
mod member;
mod members;
mod membership;
mod names;
mod overrides;
mod patient;
mod peers;
mod pool;
mod probe;
mod resolver;
mod retry;
mod run;
mod seed;
mod select;
mod selected;
pub mod settings;
mod silence;
mod snapshot;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use budget::RetryBudget;
pub use credentials::CredentialProblem;
pub use floor::WeakTls;
pub use member::{Outcome, ServerId};
pub use overrides::{NoSuchServer, Override};
pub use pool::{Pool, PoolError, SelectError};
pub use resolver::{Answer, Resolve, ResolveError, SystemResolver};
pub use retry::{Reached, RetryPolicy};
pub use select::SelectRequest;
pub use selected::Selected;
pub use settings::UpstreamSettings;
pub use silence::SilenceWatch;
pub use snapshot::{NameSnapshot, PoolSnapshot, ServerSnapshot};
