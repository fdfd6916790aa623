//! What the rules decided about a stored response, kept with it so that no hit decides it anew.

use std::str::from_utf8;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::DATE;
use http::{Extensions, HeaderMap, HeaderName};
use pingora_cache::CacheMeta;
use seawall_caching::no_vary_search::SearchRule;
use seawall_caching::{Freshness, LifetimeSource, StaleWindows, http_date};
use seawall_store::{ExtensionCodec, VariantLimit};

use crate::trouble::Trouble;

/// The form on disk. Another one makes what is stored unusable, which costs a fetch each.
const VERSION: u8 = 2;

/// The decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) freshness: Freshness,
    pub(crate) stale: StaleWindows,
    pub(crate) vary: Vec<HeaderName>,
    pub(crate) search: SearchRule,
    /// Its Date, in seconds since 1970.
    pub(crate) date: Option<u64>,
}

/// The Date of a response that arrived at `received`, in seconds since 1970.
pub(crate) fn date(headers: &HeaderMap, received: SystemTime) -> Option<u64> {
    let date = http_date(headers.get(DATE)?.as_bytes(), received)?;
    Some(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

impl Facts {
    /// `limit`: how many variants the route keeps.
    fn encode(&self, limit: Option<VariantLimit>) -> Vec<u8> {
        // Without `..`: a field that is new must be written, too.
        // The date is read from the header again.
        let Self { freshness, stale, vary, search, date: _ } = self;
        let Freshness { lifetime, source, initial_age, received } = *freshness;
        let StaleWindows { while_revalidate, if_error, if_disconnected, forbidden } = *stale;
        let received = received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // The rule itself is in the header; what counts is whether the route heeded it.
        let mut out = vec![VERSION, u8::from(forbidden), u8::from(!search.is_exact())];
        out.extend_from_slice(&limit.map_or(0, |limit| limit.0).to_le_bytes());
        for time in [lifetime, initial_age, received, while_revalidate, if_error, if_disconnected] {
            out.extend_from_slice(&time.as_secs().to_le_bytes());
            out.extend_from_slice(&time.subsec_nanos().to_le_bytes());
        }
        out.extend_from_slice(source.as_str().as_bytes());
        for name in vary {
            out.push(b'\n');
            out.extend_from_slice(name.as_str().as_bytes());
        }
        out
    }

    fn decode(bytes: &[u8], header: &HeaderMap) -> Option<(Self, Option<VariantLimit>)> {
        let (&[version, forbidden, by_search], rest) = bytes.split_first_chunk()?;
        if version != VERSION {
            return None;
        }
        let (limit, mut rest) = rest.split_first_chunk()?;
        let limit = Some(u32::from_le_bytes(*limit)).filter(|limit| *limit > 0).map(VariantLimit);
        let mut time = || {
            let (secs, behind) = rest.split_first_chunk()?;
            let (nanos, behind) = behind.split_first_chunk()?;
            rest = behind;
            let nanos = u32::from_le_bytes(*nanos);
            (nanos < 1_000_000_000).then(|| Duration::new(u64::from_le_bytes(*secs), nanos))
        };
        let (lifetime, initial_age, received) = (time()?, time()?, time()?);
        let (while_revalidate, if_error, if_disconnected) = (time()?, time()?, time()?);
        let mut names = rest.split(|byte| *byte == b'\n');
        let source = LifetimeSource::from_name(from_utf8(names.next()?).ok()?)?;
        let received = SystemTime::UNIX_EPOCH.checked_add(received)?;
        let facts = Self {
            freshness: Freshness { lifetime, source, initial_age, received },
            stale: StaleWindows { while_revalidate, if_error, if_disconnected, forbidden: forbidden != 0 },
            vary: names.map(|name| HeaderName::from_bytes(name).ok()).collect::<Option<_>>()?,
            search: if by_search != 0 { SearchRule::of(header) } else { SearchRule::default() },
            date: date(header, received),
        };
        Some((facts, limit))
    }
}

/// Brings facts onto a disk and back.
#[derive(Debug)]
pub struct FactsCodec;

impl ExtensionCodec for FactsCodec {
    fn encode(&self, extensions: &Extensions) -> Vec<u8> {
        let limit = extensions.get::<VariantLimit>().copied();
        extensions.get::<Arc<Facts>>().map(|facts| facts.encode(limit)).unwrap_or_default()
    }

    fn decode(&self, bytes: &[u8], meta: &mut CacheMeta) -> Option<()> {
        let (facts, limit) = Facts::decode(bytes, meta.headers())?;
        meta.extensions_mut().insert(Arc::new(facts));
        meta.extensions_mut().insert(Arc::new(Trouble::default()));
        if let Some(limit) = limit {
            meta.extensions_mut().insert(limit);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time() -> impl Strategy<Value = Duration> {
        (0..1u64 << 40, 0..1_000_000_000u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
    }

    proptest! {
        #[test]
        fn facts_come_back_from_disk(
            times in prop::array::uniform6(time()),
            source in 0..LifetimeSource::ALL.len(),
            forbidden: bool,
            vary in prop::collection::vec("[a-z][a-z0-9-]{0,20}", 0..4),
            limit in 0..5u32,
            searched: bool,
        ) {
            let mut header = HeaderMap::new();
            header.insert("no-vary-search", "params=(\"utm\")".parse().unwrap());
            header.insert("date", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
            let search = if searched { SearchRule::of(&header) } else { SearchRule::default() };
            let limit = Some(limit).filter(|limit| *limit > 0).map(VariantLimit);
            let [lifetime, initial_age, received, while_revalidate, if_error, if_disconnected] = times;
            let facts = Facts {
                freshness: Freshness {
                    lifetime,
                    source: LifetimeSource::ALL[source],
                    initial_age,
                    received: SystemTime::UNIX_EPOCH + received,
                },
                stale: StaleWindows { while_revalidate, if_error, if_disconnected, forbidden },
                vary: vary.iter().map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap()).collect(),
                search,
                date: Some(784_111_777),
            };
            prop_assert_eq!(Facts::decode(&facts.encode(limit), &header), Some((facts, limit)));
        }

        #[test]
        fn any_bytes_are_taken_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Facts::decode(&bytes, &HeaderMap::new());
        }
    }

    #[test]
    fn what_has_no_facts_or_other_ones_is_not_understood() {
        let bytes = FactsCodec.encode(&Extensions::new());
        assert_eq!(Facts::decode(&bytes, &HeaderMap::new()), None);
        assert_eq!(Facts::decode(&[VERSION + 1, 0, 0, 0, 0, 0, 0], &HeaderMap::new()), None);
    }
}
