//! Purges that come by another way than a `PURGE` request.

use std::time::Instant;

use futures::future::join_all;
use pingora_cache::key::CompactCacheKey;
use pingora_cache::storage::{PurgeOutcome, PurgeTarget, PurgeType, Storage};
use pingora_cache::trace::Span;
use seawall_caching::invalidation::Origin;
use seawall_routing::normalize_host;
use seawall_store::{Label, MAX_PREFIX_SEGMENTS, NotObjectKey, ObjectKey};

use crate::phases::{invalidate, route};
use crate::plan::{CachePlan, Plan};
use crate::zone::Zone;

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
    /// It is not a zone.
    #[error("there is no zone `{name}`; there are: {known}")]
    NoZone {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
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
    /// It reaches all zones, or with `zone` the one of this name.
    ///
    /// For a URL and a key `Some` tells whether it was there; the others take no time for what they name, and do not know.
    ///
    /// # Errors
    /// When the name is none or there is no such zone, or no route would store the URL, or no disk could record it.
    pub async fn purge(
        &self,
        purge: Purge<'_>,
        soft: bool,
        zone: Option<&str>,
    ) -> Result<Option<Purged>, PurgeError> {
        let zones = self.cache.zones_of(zone)?;
        let began = Instant::now();
        let done = match purge {
            Purge::Url(url) => self.purge_url(zones, url, soft).await.map(Some),
            Purge::Key(key) => purge_object(zones, key, soft).await.map(Some),
            Purge::Tag("") => Err(PurgeError::NotTag),
            Purge::Tag(tag) => purge_label(zones, Label::Tag(tag), soft).await,
            Purge::Host(host) => match normalize_host(host) {
                Ok(name) if !host.contains(['/', '@']) && !has_port(host) => {
                    purge_label(zones, Label::Host(&name), soft).await
                }
                _ => Err(PurgeError::NotHost(host.into())),
            },
            Purge::Prefix(prefix) => purge_prefix(zones, prefix, soft).await,
            Purge::Everything => purge_label(zones, Label::Everything, soft).await,
        };
        let counted = done.as_ref().map_or_else(|error| !error.is_of_request(), |_| true);
        if counted {
            self.metrics.purged(purge.by(), soft, done.is_ok(), began.elapsed());
        }
        done
    }

    async fn purge_url(&self, zones: &[&'static Zone], url: &str, soft: bool) -> Result<Purged, PurgeError> {
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
        let keys = invalidate::everywhere(zones, &named, &origin).collect();
        Ok(if purge_keys(keys, soft).await? { Purged::Done } else { Purged::Nothing })
    }
}

impl CachePlan {
    /// The zone of this name, or all.
    fn zones_of(&self, name: Option<&str>) -> Result<&[&'static Zone], PurgeError> {
        let Some(name) = name else { return Ok(&self.zones) };
        let found = self.zones.iter().find(|zone| *zone.name == *name);
        found.map(std::slice::from_ref).ok_or_else(|| PurgeError::NoZone {
            name: name.into(),
            known: self.zones.iter().map(|zone| &*zone.name).collect::<Vec<_>>().join(", "),
        })
    }
}

/// In all zones at once: none waits for the disk of another, and what one cannot record is purged in the others.
async fn purge_label(
    zones: &[&'static Zone],
    label: Label<'_>,
    soft: bool,
) -> Result<Option<Purged>, PurgeError> {
    let labels = [label];
    let all = join_all(zones.iter().map(|zone| zone.store.purge_labels(&labels, soft))).await;
    let all: Result<Vec<()>, _> = all.into_iter().collect();
    all.map(|_| None).map_err(|error| PurgeError::Store(error.to_string()))
}

/// Whether any of these was there. All are purged, whatever becomes of the first.
pub(crate) async fn purge_keys(
    keys: Vec<(&'static Zone, CompactCacheKey)>,
    soft: bool,
) -> Result<bool, PurgeError> {
    let span = Span::inactive();
    let handle = span.handle();
    let purges = keys.iter().map(|(zone, key)| {
        let (store, target) = (zone.store, PurgeTarget::Active(key));
        if soft {
            store.expire(target, &handle)
        } else {
            store.purge(target, PurgeType::Invalidation, &handle)
        }
    });
    let mut found = false;
    for outcome in join_all(purges).await {
        let outcome = outcome.map_err(|error| PurgeError::Store(error.to_string()))?;
        found |= !matches!(outcome, PurgeOutcome::NotFound);
    }
    Ok(found)
}

async fn purge_object(zones: &[&'static Zone], key: &str, soft: bool) -> Result<Purged, PurgeError> {
    let key: ObjectKey = key.parse().map_err(|_| PurgeError::NotKey(key.into()))?;
    let keys = zones.iter().map(|zone| (*zone, key.compact())).collect();
    Ok(if purge_keys(keys, soft).await? { Purged::Done } else { Purged::Nothing })
}

async fn purge_prefix(
    zones: &[&'static Zone],
    prefix: &str,
    soft: bool,
) -> Result<Option<Purged>, PurgeError> {
    let wrong = || PurgeError::NotPrefix(prefix.into());
    let plain = prefix.strip_prefix("https://").or_else(|| prefix.strip_prefix("http://")).unwrap_or(prefix);
    let (host, path) = plain.split_at(plain.find('/').ok_or_else(wrong)?);
    if path.contains(['?', '#']) {
        return Err(wrong());
    }
    let host = normalize_host(host).map_err(|_| wrong())?;
    let path = route::normal(path).ok_or_else(wrong)?;
    if path.trim_end_matches('/').matches('/').count() > MAX_PREFIX_SEGMENTS {
        return Err(PurgeError::TooDeep(prefix.into()));
    }
    purge_label(zones, Label::Prefix { host: &host, path: &path }, soft).await
}

/// Whether a host comes with a port: a colon behind the brackets of an IPv6 address, or the only one.
fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}
