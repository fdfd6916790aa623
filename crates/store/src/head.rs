//! The header and freshness of a stored response, decoded once and handed out per hit.
//!
//! Pingora wants an owned [`CacheMeta`] per hit, and `CacheMeta` is not `Clone`. Its own memory store
//! decodes it from zstd and MessagePack each time. What a hit costs here instead, measured with ten header
//! fields, is a clone of the header map:
//!
//! | way | time |
//! |---|---|
//! | `CacheMeta::deserialize` of header and internals | 2.6 µs |
//! | internals decoded, header cloned (refreshed objects) | 0.72 µs |
//! | `CacheMeta::new` with the header cloned (all others) | 0.39 µs |
//!
//! The second way is needed where `updated` or `provenance` differ from `created`: nothing but Pingora's
//! own decoder can set them (pingora-cache `meta.rs`, `set_provenance` is crate-private).

use std::time::SystemTime;

use bytes::Bytes;
use http::{Extensions, HeaderValue, header};
use once_cell::sync::OnceCell;
use pingora_cache::CacheMeta;
use pingora_cache::key::HashBinary;
use pingora_error::{Error, ErrorType::InternalError, OrErr, Result};
use pingora_http::ResponseHeader;

use crate::{Epoch, Labels};

/// What an `http::HeaderMap` spends on a field, beside the text: its entry, and the reference counts of names that are
/// not standard ones. Checked by `tests/real_memory.rs`.
const FIELD_OVERHEAD: u64 = 136;
/// The same for the map that keeps how names were written.
const CASE_OVERHEAD: u64 = 104;
/// A slot of either map.
const SLOT: u64 = 4;
/// The fields that a hit adds to what is stored: Age, Cache-Status, Via, the request id, Connection, and room for some
/// of the route's own.
pub(crate) const ADDED_FIELDS: usize = 10;

/// How many variants of one URL are kept, in the place of [`StoreSettings::max_variants`](crate::StoreSettings): put it
/// into the extensions of the [`CacheMeta`] of a response whose route has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariantLimit(pub u32);

/// A [`CacheMeta`] taken apart so that it can be put together again cheaply.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    fresh_until: SystemTime,
    created: SystemTime,
    provenance: SystemTime,
    stale_while_revalidate_sec: u32,
    stale_if_error_sec: u32,
    variance: Option<HashBinary>,
    epoch_override: Option<SystemTime>,
    header: ResponseHeader,
    extensions: Extensions,
    /// Not among the extensions, which are copied for each hit.
    labels: Labels,
    /// Pingora's encoding of the internals, kept only where [`CacheMeta::new`] cannot say them.
    internals: Option<Bytes>,
    bytes: u64,
}

impl Head {
    /// Copies `meta`, with all names and values in one allocation of their own: what Pingora parsed are
    /// slices that would pin the whole receive buffer.
    pub(crate) fn freeze(meta: &CacheMeta) -> Result<Self> {
        let (header, text) = compact(meta.response_header())?;
        Self::with_header(meta, header, text)
    }

    /// The same for what was read from a disk: names and values are in one allocation of `text` bytes already.
    pub(crate) fn freeze_read(meta: &CacheMeta, text: u64) -> Result<Self> {
        Self::with_header(meta, meta.response_header().clone(), text)
    }

    fn with_header(meta: &CacheMeta, header: ResponseHeader, text: u64) -> Result<Self> {
        let plain = meta.updated() == meta.created() && meta.provenance() == meta.created();
        let internals = if plain { None } else { Some(Bytes::from(meta.serialize()?.0)) };
        let mut extensions = meta.extensions().clone();
        extensions.remove::<Epoch>();
        let labels = extensions.remove::<Labels>().unwrap_or_default();
        let field = FIELD_OVERHEAD.saturating_add(if header.has_case() { CASE_OVERHEAD } else { 0 });
        let slot = if header.has_case() { 2 * SLOT } else { SLOT };
        // Three of four slots are used before a map grows.
        let slots = (header.headers.capacity() as u64).saturating_mul(4).div_ceil(3);
        let bytes = (size_of::<Self>() as u64)
            .saturating_add(text)
            .saturating_add(labels.bytes())
            .saturating_add((header.headers.len() as u64).saturating_mul(field))
            .saturating_add(slots.saturating_mul(slot))
            .saturating_add(internals.as_ref().map_or(0, |b| b.len() as u64));
        Ok(Self {
            fresh_until: meta.fresh_until(),
            created: meta.created(),
            provenance: meta.provenance(),
            stale_while_revalidate_sec: meta.stale_while_revalidate_sec(),
            stale_if_error_sec: meta.stale_if_error_sec(),
            variance: meta.variance(),
            epoch_override: meta.epoch_override(),
            header,
            extensions,
            labels,
            internals,
            bytes,
        })
    }

    /// The names by which it is purged with others.
    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Gives it the labels that were stored with it.
    pub(crate) fn set_labels(&mut self, labels: Labels) {
        self.bytes = self.bytes.saturating_sub(self.labels.bytes()).saturating_add(labels.bytes());
        self.labels = labels;
    }

    /// Variants of its URL that may be kept beside it, when its route says so.
    pub(crate) fn variant_limit(&self) -> Option<usize> {
        self.extensions.get::<VariantLimit>().map(|limit| limit.0 as usize)
    }

    /// Puts the [`CacheMeta`] together again.
    pub(crate) fn thaw(&self) -> Result<CacheMeta> {
        let mut meta = match &self.internals {
            None => self.thaw_plain(),
            Some(internals) => {
                let mut meta = CacheMeta::deserialize(internals, blank_header()?)?;
                *meta.response_header_mut() = self.header.clone();
                // The bytes may predate a soft purge.
                meta.expire_at(self.fresh_until);
                meta
            }
        };
        if !self.extensions.is_empty() {
            *meta.extensions_mut() = self.extensions.clone();
        }
        Ok(meta)
    }

    fn thaw_plain(&self) -> CacheMeta {
        let mut meta = CacheMeta::new(
            self.fresh_until,
            self.created,
            self.stale_while_revalidate_sec,
            self.stale_if_error_sec,
            self.header.clone(),
        );
        if let Some(variance) = self.variance {
            meta.set_variance(variance);
        }
        if let Some(epoch) = self.epoch_override {
            meta.set_epoch_override(epoch);
        }
        meta
    }

    /// Goes stale at `instant`, unless it did before; the serve-stale windows count from there.
    pub(crate) fn expire_at(&mut self, instant: SystemTime) {
        self.fresh_until = self.fresh_until.min(instant);
    }

    /// Until when it is fresh.
    pub(crate) fn fresh_until(&self) -> SystemTime {
        self.fresh_until
    }

    /// Whether it is a part of a response, a 206.
    pub(crate) fn is_part(&self) -> bool {
        self.header.status == http::StatusCode::PARTIAL_CONTENT
    }

    /// When the response was admitted; a 304 keeps it.
    pub(crate) fn created(&self) -> SystemTime {
        self.created
    }

    /// Pingora takes variants that were admitted before this moment of their primary for purged.
    pub(crate) fn provenance(&self) -> SystemTime {
        self.provenance
    }

    /// The header as it was stored.
    pub(crate) fn header(&self) -> &ResponseHeader {
        &self.header
    }

    /// What was stored with it.
    pub(crate) fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Which variant of its URL it is.
    pub(crate) fn variance(&self) -> Option<HashBinary> {
        self.variance
    }

    /// Memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The length the body must have (RFC 9110 §8.6), where the header says one.
    pub(crate) fn content_length(&self) -> Option<u64> {
        content_length(&self.header)
    }
}

/// The length the body of `header` must have; none for statuses that never have one (RFC 9112 §6.3).
pub(crate) fn content_length(header: &ResponseHeader) -> Option<u64> {
    if header.status.is_informational() || matches!(header.status.as_u16(), 204 | 304) {
        return None;
    }
    header.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// A copy of `header` whose names and values share one exact allocation, and the size of that in bytes.
///
/// It has slots for the fields that a hit adds, so that its clones need not be hashed anew when they grow. Names
/// that are known are no part of the allocation: cloning and dropping them counts no references.
fn compact(header: &ResponseHeader) -> Result<(ResponseHeader, u64)> {
    let room = header.headers.len().saturating_add(ADDED_FIELDS);
    let mut copy = if header.has_case() {
        ResponseHeader::build(header.status, Some(room))?
    } else {
        ResponseHeader::build_no_case(header.status, Some(room))?
    };
    copy.set_version(header.version);
    copy.set_reason_phrase(header.get_reason_phrase())?;
    let fields: Vec<(&[u8], &[u8])> = if header.has_case() {
        header.case_header_iter().map(|(name, value)| (name.as_slice(), value.as_bytes())).collect()
    } else {
        header.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect()
    };
    let names: Vec<Option<&'static str>> = fields.iter().map(|(name, _)| known_name(name)).collect();
    let unknown = |at: usize| if names[at].is_some() { &[][..] } else { fields[at].0 };
    let text: Bytes =
        (0..fields.len()).flat_map(|at| [unknown(at), fields[at].1]).collect::<Vec<_>>().concat().into();
    let mut at = 0;
    for (field, name) in names.iter().enumerate() {
        let value_at = at + unknown(field).len();
        let end = value_at + fields[field].1.len();
        let value = HeaderValue::from_maybe_shared(text.slice(value_at..end))
            .or_err(InternalError, "a header value that was valid no longer is")?;
        match name {
            Some(name) => copy.append_header(*name, value)?,
            None => copy.append_header(text.slice(at..value_at), value)?,
        };
        at = end;
    }
    // A clone has all its slots, and entries only for the fields there are.
    Ok((copy.clone(), text.len() as u64))
}

/// Names as most origins write them.
const KNOWN_NAMES: [&str; 42] = [
    "Accept-Ranges",
    "Age",
    "Alt-Svc",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Location",
    "Content-Security-Policy",
    "Content-Type",
    "Date",
    "ETag",
    "Expires",
    "Last-Modified",
    "Link",
    "Location",
    "Referrer-Policy",
    "Server",
    "Set-Cookie",
    "Strict-Transport-Security",
    "Transfer-Encoding",
    "Vary",
    "Via",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-Powered-By",
    "X-XSS-Protection",
    "accept-ranges",
    "age",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "server",
    "vary",
    "via",
];

pub(crate) fn known_name(name: &[u8]) -> Option<&'static str> {
    KNOWN_NAMES.iter().find(|known| known.as_bytes() == name).copied()
}

/// The encoding of a header without fields, which Pingora's decoder insists on.
pub(crate) fn blank_header() -> Result<&'static [u8]> {
    static BLANK: OnceCell<Vec<u8>> = OnceCell::new();
    let encode = || -> Result<Vec<u8>> {
        let header = ResponseHeader::build_no_case(200, Some(0))?;
        let epoch = SystemTime::UNIX_EPOCH;
        let (_, encoded) = CacheMeta::new(epoch, epoch, 0, 0, header)
            .serialize()
            .map_err(|e| Error::because(InternalError, "cannot encode a blank header", e))?;
        Ok(encoded)
    };
    BLANK.get_or_try_init(encode).map(Vec::as_slice)
}

#[cfg(test)]
mod tests;
