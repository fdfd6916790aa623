//! Which keys turned out to be uncacheable, with parts of objects told apart from wholes.

use pingora_cache::predictor::{CacheablePredictor, Predictor};
use pingora_cache::{CacheKey, NoCacheReason};
use seawall_caching::storability::speaks_of_the_request;

/// Marks a key, in its extensions, as that of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfPart;

/// What speaks of one answer to one range, not of the parts of an object.
const OF_ONE_ANSWER: [&str; 5] =
    ["status", "content-range", "partial-vary", "part-too-large", "not-modified-mismatch"];

/// The reason not to store a failure of the origin while something is stored that could stand in for it.
pub(crate) const OF_ONE_MOMENT: &str = "origin-trouble";

/// The reason not to store what the store has no room for at the moment.
pub(crate) const NO_ROOM: &str = "no-room";

/// The reason not to store what the disk takes only when it is asked for again.
pub(crate) const FIRST_REQUEST: &str = "first-request";

/// What speaks of one request, or of one moment, and not of the key.
fn is_passing(reason: &'static str) -> bool {
    [OF_ONE_MOMENT, NO_ROOM, FIRST_REQUEST].contains(&reason) || speaks_of_the_request(reason)
}

/// Pingora's predictor, which knows primary keys only, with a name of its own for the parts of a URL: a whole that is
/// too large may still be stored in parts, and a part that may not be stored says nothing of the whole.
pub struct Uncacheable<const SHARDS: usize>(Predictor<SHARDS>);

impl<const SHARDS: usize> Uncacheable<SHARDS> {
    /// Remembers up to `per_shard` keys in each shard.
    #[must_use]
    pub fn new(per_shard: usize) -> Self {
        Self(Predictor::new(per_shard, Some(is_passing)))
    }
}

/// The key under which the parts of an object are remembered. `None` for a whole.
fn parts(key: &CacheKey) -> Option<CacheKey> {
    key.extensions.get::<OfPart>()?;
    Some(CacheKey::new([key.primary_key(), b" parts"].concat(), ""))
}

impl<const SHARDS: usize> CacheablePredictor for Uncacheable<SHARDS> {
    fn cacheable_prediction(&self, key: &CacheKey) -> bool {
        self.predicted_uncacheable_reason(key).is_none()
    }

    /// What forbids to store the whole forbids it of its parts, except its size.
    fn predicted_uncacheable_reason(&self, key: &CacheKey) -> Option<NoCacheReason> {
        let whole = self.0.predicted_uncacheable_reason(key);
        let Some(parts) = parts(key) else { return whole };
        self.0
            .predicted_uncacheable_reason(&parts)
            .or_else(|| whole.filter(|reason| *reason != NoCacheReason::ResponseTooLarge))
    }

    fn mark_cacheable(&self, key: &CacheKey) -> bool {
        let Some(parts) = parts(key) else { return self.0.mark_cacheable(key) };
        let was = self.0.mark_cacheable(&parts);
        if self.0.predicted_uncacheable_reason(key) == Some(NoCacheReason::ResponseTooLarge) {
            return was;
        }
        self.0.mark_cacheable(key) && was
    }

    fn mark_uncacheable(&self, key: &CacheKey, reason: NoCacheReason) -> Option<bool> {
        match (parts(key), reason) {
            (None, _) => self.0.mark_uncacheable(key, reason),
            // The origin sent the whole, and that is too large.
            (Some(_), NoCacheReason::ResponseTooLarge) => self.0.mark_uncacheable(key, reason),
            (Some(_), NoCacheReason::Custom(reason)) if OF_ONE_ANSWER.contains(&reason) => None,
            (Some(parts), _) => self.0.mark_uncacheable(&parts, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: NoCacheReason = NoCacheReason::Custom("private");

    fn keys() -> (CacheKey, CacheKey) {
        let whole = CacheKey::new("/", "");
        let mut part = whole.clone();
        part.set_variance_key([1; 16]);
        part.extensions.insert(OfPart);
        (whole, part)
    }

    #[test]
    fn a_whole_that_is_too_large_has_parts() {
        let (known, (whole, part)) = (Uncacheable::<1>::new(10), keys());
        known.mark_uncacheable(&whole, NoCacheReason::ResponseTooLarge);
        assert!(!known.cacheable_prediction(&whole) && known.cacheable_prediction(&part));
        known.mark_cacheable(&part);
        assert!(!known.cacheable_prediction(&whole), "a part that fits does not make the whole fit");
        known.mark_uncacheable(&whole, PRIVATE);
        assert!(!known.cacheable_prediction(&part), "what is private is private in parts");
        known.mark_cacheable(&part);
        assert!(known.cacheable_prediction(&whole));
    }

    #[test]
    fn what_is_learnt_of_parts_is_not_held_against_the_whole() {
        let (known, (whole, part)) = (Uncacheable::<1>::new(10), keys());
        for reason in OF_ONE_ANSWER {
            known.mark_uncacheable(&part, NoCacheReason::Custom(reason));
            assert!(known.cacheable_prediction(&part), "{reason}");
        }
        known.mark_uncacheable(&part, PRIVATE);
        assert!(known.cacheable_prediction(&whole) && !known.cacheable_prediction(&part));
        assert!(!known.mark_cacheable(&part), "it was marked");
        assert!(known.cacheable_prediction(&part) && known.mark_cacheable(&part));
    }

    #[test]
    fn what_passes_is_not_remembered() {
        let (known, (whole, _)) = (Uncacheable::<1>::new(10), keys());
        for reason in [OF_ONE_MOMENT, NO_ROOM, FIRST_REQUEST, "authorization", "request-no-store", "status"] {
            assert_eq!(known.mark_uncacheable(&whole, NoCacheReason::Custom(reason)), None, "{reason}");
            assert!(known.cacheable_prediction(&whole), "{reason}");
        }
        assert_eq!(known.mark_uncacheable(&whole, PRIVATE), Some(true));
    }

    #[test]
    fn an_origin_that_sends_too_large_a_whole_for_a_range_is_remembered_so() {
        let (known, (whole, part)) = (Uncacheable::<1>::new(10), keys());
        known.mark_uncacheable(&part, NoCacheReason::ResponseTooLarge);
        assert!(!known.cacheable_prediction(&whole));
    }
}
