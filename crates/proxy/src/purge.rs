//! Purges that come by another way than a `PURGE` request.

use pingora_cache::key::CompactCacheKey;
use pingora_cache::storage::{PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora_cache::trace::Span;
use seawall_caching::invalidation::Origin;
use seawall_routing::normalize_host;

use crate::phases::invalidate;
use crate::plan::Plan;

/// What came of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purged {
    /// The response and all its variants are gone, or stale.
    Done,
    /// There was none. One that is on its way is not stored either.
    Nothing,
}

/// Why a URL cannot be purged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// It is not one.
    #[error("`{0}` is not a URL; write it as a client asks for it, such as https://example.com/path")]
    NotUrl(String),
    /// Nothing of it is ever stored.
    #[error("no route with a cache answers for this URL; `seawall explain` tells which one does")]
    NotCached,
    /// The store failed.
    #[error("the store did not do it: {0}")]
    Store(String),
}

impl Plan {
    /// Takes the response that a GET for `url` would be served from out of the store, with its variants. With `soft`
    /// it stays, but the origin is asked before it is used again.
    ///
    /// # Errors
    /// When the URL is none, or no route would store it.
    pub async fn purge(&self, url: &str, soft: bool) -> Result<Purged, PurgeError> {
        let uri: http::Uri = url.parse().map_err(|_| PurgeError::NotUrl(url.into()))?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(PurgeError::NotUrl(url.into()));
        };
        let host = normalize_host(authority.as_str()).map_err(|_| PurgeError::NotUrl(url.into()))?;
        let authority = match authority.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone().into_owned(),
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let origin = Origin { scheme, authority: &authority, path_and_query: target.as_bytes() };
        let named = invalidate::named(self, &host, &origin, target).ok_or(PurgeError::NotCached)?;
        let other = invalidate::searched(self, &named, &origin);
        let mut found = Purged::Nothing;
        for key in std::iter::once(named.key).chain(other) {
            if self.purge_key(&key.to_compact(), soft).await? {
                found = Purged::Done;
            }
        }
        Ok(found)
    }

    async fn purge_key(&self, key: &CompactCacheKey, soft: bool) -> Result<bool, PurgeError> {
        let span = Span::inactive();
        let (target, handle) = (PurgeTarget::Active(key), span.handle());
        let outcome = if soft {
            self.cache.store.expire(target, &handle).await
        } else {
            self.cache.store.purge(target, PurgeType::Invalidation, &handle).await
        };
        let outcome = outcome.map_err(|error| PurgeError::Store(error.to_string()))?;
        Ok(!matches!(outcome, PurgeOutcome::NotFound))
    }
}
