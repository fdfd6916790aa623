//! Purges that come by another way than a `PURGE` request.

use std::time::Instant;

use pingora_cache::key::CompactCacheKey;
use pingora_cache::storage::{PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora_cache::trace::Span;
use seawall_caching::invalidation::Origin;
use seawall_routing::normalize_host;
use seawall_store::{Label, MAX_PREFIX_SEGMENTS, NotObjectKey, ObjectKey};

use crate::phases::{invalidate, route};
use crate::plan::Plan;

/// What a purge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge<'a> {
    /// The response that a GET for this URL would be served from, with its variants and parts.
    Url(&'a str),
    /// The object with this key, in hexadecimal digits, with its variants and parts, whatever the configuration says of
    /// its URL today.
    Key(&'a str),
    /// All responses that bear this tag.
    Tag(&'a str),
    /// All responses at and beneath this host and path, `example.com/assets` or as a URL; the scheme does not count.
    Prefix(&'a str),
    /// All responses of this host.
    Host(&'a str),
    /// All responses.
    Everything,
}

/// What came of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purged {
    /// The response and all its variants are gone, or stale.
    Done,
    /// There was none. One that is on its way is not stored either.
    Nothing,
}

/// Why a purge is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// It is not a URL.
    #[error("`{0}` is not a URL; write it as a client asks for it, such as https://example.com/path")]
    NotUrl(String),
    /// It is not a key.
    #[error("`{0}` is not a key: {NotObjectKey}, as in `seawall store dump` or in Cache-Status")]
    NotKey(String),
    /// It is not a tag.
    #[error("a tag is not empty")]
    NotTag,
    /// It is not a host.
    #[error("`{0}` is not a host; write it without scheme, port and path, such as example.com")]
    NotHost(String),
    /// It is not a host and a path.
    #[error("`{0}` is not a host and a path, such as example.com/assets")]
    NotPrefix(String),
    /// The path has too many segments.
    #[error(
        "`{0}` has more than {MAX_PREFIX_SEGMENTS} path segments; name a shorter one, or tag what you mean"
    )]
    TooDeep(String),
    /// Nothing of it is ever stored.
    #[error("no route with a cache answers for this URL; `seawall explain` tells which one does")]
    NotCached,
    /// The store failed.
    #[error("the store did not do it: {0}")]
    Store(String),
}

impl PurgeError {
    /// Whether the one who asked is wrong.
    #[must_use]
    pub fn is_of_request(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

impl Purge<'_> {
    /// The kind of name, in a word.
    #[must_use]
    pub const fn by(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Key(_) => "key",
            Self::Tag(_) => "tag",
            Self::Prefix(_) => "prefix",
            Self::Host(_) => "host",
            Self::Everything => "everything",
        }
    }

    /// Whether it is soft when nobody says so: what hits many responses must not send all their requests to the origin
    /// at once.
    #[must_use]
    pub const fn is_soft_by_default(&self) -> bool {
        !matches!(self, Self::Url(_) | Self::Key(_))
    }
}

impl Plan {
    /// Takes what `purge` names out of the store. With `soft` it stays, but is stale: it is used while or in case the
    /// origin cannot be asked, as its rules allow, and else the origin is asked first.
    ///
    /// For a URL and a key `Some` tells whether it was there; the others take no time for what they name, and do not know.
    ///
    /// # Errors
    /// When the name is none, or no route would store the URL, or no disk could record it.
    pub async fn purge(&self, purge: Purge<'_>, soft: bool) -> Result<Option<Purged>, PurgeError> {
        let began = Instant::now();
        let done = match purge {
            Purge::Url(url) => self.purge_url(url, soft).await.map(Some),
            Purge::Key(key) => self.purge_object(key, soft).await.map(Some),
            Purge::Tag("") => Err(PurgeError::NotTag),
            Purge::Tag(tag) => self.purge_label(Label::Tag(tag), soft).await,
            Purge::Host(host) => match normalize_host(host) {
                Ok(name) if !host.contains(['/', '@']) && !has_port(host) => {
                    self.purge_label(Label::Host(&name), soft).await
                }
                _ => Err(PurgeError::NotHost(host.into())),
            },
            Purge::Prefix(prefix) => self.purge_prefix(prefix, soft).await,
            Purge::Everything => self.purge_label(Label::Everything, soft).await,
        };
        let counted = done.as_ref().map_or_else(|error| !error.is_of_request(), |_| true);
        if counted {
            self.metrics.purged(purge.by(), soft, done.is_ok(), began.elapsed());
        }
        done
    }

    async fn purge_label(&self, label: Label<'_>, soft: bool) -> Result<Option<Purged>, PurgeError> {
        let done = self.cache.store.purge_labels(&[label], soft).await;
        done.map(|()| None).map_err(|error| PurgeError::Store(error.to_string()))
    }

    async fn purge_prefix(&self, prefix: &str, soft: bool) -> Result<Option<Purged>, PurgeError> {
        let wrong = || PurgeError::NotPrefix(prefix.into());
        let plain =
            prefix.strip_prefix("https://").or_else(|| prefix.strip_prefix("http://")).unwrap_or(prefix);
        let (host, path) = plain.split_at(plain.find('/').ok_or_else(wrong)?);
        if path.contains(['?', '#']) {
            return Err(wrong());
        }
        let host = normalize_host(host).map_err(|_| wrong())?;
        let path = route::normal(path).ok_or_else(wrong)?;
        if path.trim_end_matches('/').matches('/').count() > MAX_PREFIX_SEGMENTS {
            return Err(PurgeError::TooDeep(prefix.into()));
        }
        self.purge_label(Label::Prefix { host: &host, path: &path }, soft).await
    }

    async fn purge_url(&self, url: &str, soft: bool) -> Result<Purged, PurgeError> {
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

    async fn purge_object(&self, key: &str, soft: bool) -> Result<Purged, PurgeError> {
        let key: ObjectKey = key.parse().map_err(|_| PurgeError::NotKey(key.into()))?;
        let found = self.purge_key(&key.compact(), soft).await?;
        Ok(if found { Purged::Done } else { Purged::Nothing })
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

/// Whether a host comes with a port: a colon behind the brackets of an IPv6 address, or the only one.
fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}
