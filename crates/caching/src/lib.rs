//! HTTP caching rules (RFC 9111, 9110, 9211, 9213, 5861) as pure functions.
//!
//! Nothing here does I/O or reads a clock: headers and times come in, decisions go out. One request meets the
//! modules in this order:
//!
//! 1. [`request::assess`] says whether the request may meet the store at all.
//! 2. [`key::KeyPolicy::key`] names the stored response and the target to forward (same key, same target).
//! 3. [`vary::variance_key`] picks the variant; [`validation::evaluate`] answers the client's own conditions;
//!    [`range::select`] cuts out the bytes that were asked for.
//! 4. On a miss [`storability::decide`] says whether the response is stored, and for how long it is fresh;
//!    on a stale entry [`validation::Validators`] makes the conditional request and [`validation::merge`]
//!    brings a 304 into the stored fields. A 206 is stored by the rules of [`partial`].
//! 5. [`invalidation::invalidated`] names what an unsafe request makes unusable.
//! 6. [`status::CacheStatus`] tells the client the truth about all of that.
//!
//! ```
//! use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
//! use seawall_caching::{CachePolicy, Request, Response, Times, storability};
//! use std::time::{Duration, SystemTime};
//!
//! let request = HeaderMap::new();
//! let mut response = HeaderMap::new();
//! response.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
//! let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
//! let stored = storability::decide(
//!     &Request { method: &Method::GET, headers: &request, has_body: false },
//!     &Response { status: StatusCode::OK, headers: &response },
//!     Times { requested: now, received: now },
//!     &CachePolicy::default(),
//! )
//! .unwrap();
//! assert_eq!(stored.freshness.fresh_until(), now + Duration::from_secs(60));
//! ```

#![forbid(unsafe_code)]

mod bypass;
mod date;
pub mod directives;
mod fields;
pub mod freshness;
pub mod invalidation;
pub mod key;
mod message;
pub mod no_vary_search;
pub mod partial;
pub mod policy;
pub mod post;
pub mod range;
pub mod request;
pub mod settings;
pub mod stale;
pub mod status;
pub mod storability;
pub mod syntax;
pub mod tags;
pub mod validation;
pub mod vary;

#[cfg(test)]
mod testing;

pub use date::{http_date, insert_date};
pub use freshness::{Freshness, LifetimeSource};
pub use key::KeyPolicy;
pub use message::{Request, Response, Times};
pub use policy::{CachePolicy, PolicyError};
pub use request::{BypassReason, Terms};
pub use settings::{Profile, RangeRequests, RouteCacheSettings};
pub use stale::StaleWindows;
pub use status::CacheStatus;
pub use storability::{Admission, NotStored};
pub use syntax::MAX_DELTA;
pub use tags::TagFields;
pub use vary::Vary;
