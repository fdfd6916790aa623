//! One request's life: the `ProxyHttp` implementation, a file per phase.
//!
//! The capabilities meet here and nowhere else. A request goes through these phases, each a file in
//! `phases/`:
//!
//! | phase | what it decides |
//! |---|---|
//! | `admit` | is the head lawful and within limits; who is asking; the request id |
//! | `route` | which site and route; redirects and static answers end here |
//! | `encode` | which content coding the client gets, and makes it on the way into the store |
//! | `lookup` | may the cache be asked, under which key, which variant, may a stale answer be given |
//! | `select` | which server of the pool; retries |
//! | `fetch` | what the origin is sent |
//! | `store` | what of the origin's answer may be kept, and for how long |
//! | `parts` | whether a range request is answered with a part, and what of it is kept |
//! | `ranges` | which bytes the client is sent |
//! | `respond` | what the client is sent, also when something failed |
//! | `record` | metrics and the access log |
//!
//! `service` only hands Pingora's callbacks to these files. A request takes its [`Plan`] once, so that a
//! reload never changes the rules under it.

mod answer;
mod cache_status;
mod cdn_loop;
mod collapse;
mod context;
mod facts;
mod failure;
mod fast_path;
mod forwarding;
mod part_index;
mod phases;
mod plan;
mod predictor;
mod purge;
mod refreshes;
mod request_id;
mod search;
mod service;
mod trouble;
mod upgrade;
mod zone;

pub use collapse::Collapse;
pub use context::Context;
pub use facts::FactsCodec;
pub use forwarding::{Forwarding, ForwardingError, ForwardingSettings};
pub use part_index::{PartIndex, PartIndexStats};
pub use phases::select::MAX_TRIES;
pub use plan::{Action, CachePlan, Plan, RoutePlan, SitePlan, UpstreamKind, UpstreamPlan};
pub use purge::{Purge, PurgeError, Purged};
pub use refreshes::{RefreshLimits, RefreshStats, Refreshes};
pub use service::Seawall;
pub use zone::{Zone, ZoneLimits};
