//! What the cache did, from Pingora's phase and our own facts, in the words of RFC 9211.

use http::StatusCode;
use pingora_cache::{CachePhase, NoCacheReason};
use seawall_caching::CacheStatus;
use seawall_caching::status::{ForwardReason, Handling};

use crate::context::{CacheFacts, Stored};

/// The member of the list that speaks for this cache.
pub(crate) fn describe(facts: &CacheFacts, phase: CachePhase, sent: StatusCode) -> CacheStatus<'static> {
    CacheStatus {
        handling: handling(facts, phase, sent),
        ttl: facts.ttl.filter(|_| in_store(phase)),
        key: None,
        detail: detail(facts, phase),
    }
}

/// For an answer that Seawall makes itself because the origin's never came, or was not to be asked for.
pub(crate) fn describe_failure(
    facts: &CacheFacts,
    phase: CachePhase,
    why: &'static str,
) -> CacheStatus<'static> {
    let handling = if facts.asked {
        Handling::Forwarded {
            reason: reason(facts, phase),
            status: facts.origin_status.and_then(|status| StatusCode::from_u16(status).ok()),
            stored: false,
            collapsed: facts.collapsed,
        }
    } else {
        Handling::Neither
    };
    CacheStatus { handling, ttl: None, key: None, detail: Some(why) }
}

fn handling(facts: &CacheFacts, phase: CachePhase, sent: StatusCode) -> Handling {
    // Answered by the fetch of another client that was under way: one forward for all of them (RFC 9211 §2.6).
    let shared = facts.collapsed && !facts.asked && matches!(phase, CachePhase::Hit);
    let from_store = match phase {
        CachePhase::Hit | CachePhase::StaleUpdating => !shared,
        // Stale is an answer after the origin was asked and failed, or without asking at all.
        CachePhase::Stale => !facts.asked,
        _ => false,
    };
    if from_store {
        return Handling::Hit;
    }
    let origin = facts.origin_status.and_then(|status| StatusCode::from_u16(status).ok());
    Handling::Forwarded {
        reason: if shared { shared_reason(facts) } else { reason(facts, phase) },
        status: origin.filter(|status| *status != sent),
        stored: stored(facts, phase),
        collapsed: facts.collapsed,
    }
}

/// Why a request waited: what was stored when it came is not known any more, except that a variant was missing.
fn shared_reason(facts: &CacheFacts) -> ForwardReason {
    match facts {
        _ if facts.stands_in => ForwardReason::Stale,
        _ if facts.vary_missed => ForwardReason::VaryMiss,
        _ => ForwardReason::Miss,
    }
}

fn reason(facts: &CacheFacts, phase: CachePhase) -> ForwardReason {
    match phase {
        _ if facts.demanded => ForwardReason::Request,
        CachePhase::Stale
        | CachePhase::Expired
        | CachePhase::Revalidated
        | CachePhase::RevalidatedNoCache(_) => ForwardReason::Stale,
        CachePhase::Bypass => ForwardReason::Bypass,
        _ => match facts.bypass {
            Some(reason) => reason.forward_reason(),
            None if facts.predicted => ForwardReason::Bypass,
            None if facts.stale_found => ForwardReason::Stale,
            None if facts.vary_missed => ForwardReason::VaryMiss,
            None if facts.partial => ForwardReason::Partial,
            None => ForwardReason::UriMiss,
        },
    }
}

fn in_store(phase: CachePhase) -> bool {
    !matches!(phase, CachePhase::Disabled(_) | CachePhase::Bypass | CachePhase::Uninit | CachePhase::CacheKey)
}

fn stored(facts: &CacheFacts, phase: CachePhase) -> bool {
    facts.stored == Stored::Yes
        && matches!(phase, CachePhase::Miss | CachePhase::Expired | CachePhase::Revalidated)
}

fn detail(facts: &CacheFacts, phase: CachePhase) -> Option<&'static str> {
    match (facts.stored, phase) {
        (_, CachePhase::StaleUpdating) => Some("stale-while-revalidate"),
        (_, CachePhase::Stale) if facts.asked => Some("stale-if-error"),
        (_, CachePhase::Hit) if facts.stands_in => Some("stale-if-error"),
        (_, CachePhase::Hit) if facts.unasked.is_some() => facts.unasked,
        (Stored::No(reason), _) => Some(reason),
        (_, CachePhase::Disabled(reason)) if facts.bypass.is_none() => disabled(reason),
        (_, CachePhase::Bypass) => Some("uncacheable"),
        _ => facts.bypass.map(|reason| reason.as_str()).filter(|reason| *reason != "method"),
    }
}

/// Why the cache was left while the request was on its way.
fn disabled(reason: NoCacheReason) -> Option<&'static str> {
    match reason {
        NoCacheReason::CacheLockTimeout | NoCacheReason::CacheLockRetryLimit => Some("collapse-timeout"),
        NoCacheReason::CacheLockGiveUp => Some("uncacheable"),
        NoCacheReason::StorageError => Some("store-refused"),
        NoCacheReason::ResponseTooLarge | NoCacheReason::PredictedResponseTooLarge => Some("too-large"),
        NoCacheReason::Custom(reason) => Some(reason),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(facts: &CacheFacts, phase: CachePhase, sent: u16) -> String {
        let value =
            describe(facts, phase, StatusCode::from_u16(sent).unwrap()).value(&http::HeaderMap::new());
        value.to_str().unwrap().to_owned()
    }

    fn asked(origin_status: Option<u16>) -> CacheFacts {
        CacheFacts { asked: true, origin_status, ..CacheFacts::default() }
    }

    #[test]
    fn answers_without_the_origin_are_hits() {
        let facts = CacheFacts { ttl: Some(9), ..CacheFacts::default() };
        assert_eq!(said(&facts, CachePhase::Hit, 200), "seawall; hit; ttl=9");
        let stale = CacheFacts { ttl: Some(-2), ..CacheFacts::default() };
        assert_eq!(said(&stale, CachePhase::Stale, 200), "seawall; hit; ttl=-2");
        assert_eq!(
            said(&stale, CachePhase::StaleUpdating, 200),
            "seawall; hit; ttl=-2; detail=stale-while-revalidate"
        );
    }

    #[test]
    fn a_waiter_is_one_forward_with_the_others() {
        let facts = CacheFacts { collapsed: true, ttl: Some(9), ..CacheFacts::default() };
        assert_eq!(said(&facts, CachePhase::Hit, 200), "seawall; fwd=miss; collapsed; ttl=9");
        let variant = CacheFacts { vary_missed: true, ..facts };
        assert_eq!(said(&variant, CachePhase::Hit, 200), "seawall; fwd=vary-miss; collapsed; ttl=9");
    }

    #[test]
    fn each_reason_to_forward() {
        let stored = CacheFacts { stored: Stored::Yes, ttl: Some(5), ..asked(Some(200)) };
        assert_eq!(said(&stored, CachePhase::Miss, 200), "seawall; fwd=uri-miss; stored; ttl=5");
        assert_eq!(said(&stored, CachePhase::Expired, 200), "seawall; fwd=stale; stored; ttl=5");
        let variant = CacheFacts { vary_missed: true, ..stored.clone() };
        assert_eq!(said(&variant, CachePhase::Miss, 200), "seawall; fwd=vary-miss; stored; ttl=5");
        let validated = CacheFacts { stored: Stored::Yes, ttl: Some(5), ..asked(Some(304)) };
        assert_eq!(
            said(&validated, CachePhase::Revalidated, 200),
            "seawall; fwd=stale; fwd-status=304; stored; ttl=5"
        );
        let demanded = CacheFacts { demanded: true, stored: Stored::Yes, ttl: Some(5), ..asked(Some(304)) };
        assert_eq!(
            said(&demanded, CachePhase::Revalidated, 200),
            "seawall; fwd=request; fwd-status=304; stored; ttl=5"
        );
        let partial = CacheFacts { partial: true, ..stored };
        assert_eq!(
            said(&partial, CachePhase::Miss, 206),
            "seawall; fwd=partial; fwd-status=200; stored; ttl=5"
        );
        let predicted = CacheFacts { predicted: true, ..asked(Some(200)) };
        assert_eq!(said(&predicted, CachePhase::Bypass, 200), "seawall; fwd=bypass; detail=uncacheable");
        let refused = CacheFacts { stored: Stored::No("private"), ..asked(Some(200)) };
        assert_eq!(
            said(&refused, CachePhase::Disabled(NoCacheReason::Custom("private")), 200),
            "seawall; fwd=uri-miss; detail=private"
        );
        assert_eq!(
            said(
                &CacheFacts { predicted: true, ..refused },
                CachePhase::Disabled(NoCacheReason::Deferred),
                200
            ),
            "seawall; fwd=bypass; detail=private"
        );
    }

    #[test]
    fn stale_in_place_of_a_failure_was_forwarded() {
        let facts = CacheFacts { ttl: Some(-3), ..asked(Some(503)) };
        assert_eq!(
            said(&facts, CachePhase::Stale, 200),
            "seawall; fwd=stale; fwd-status=503; ttl=-3; detail=stale-if-error"
        );
    }

    #[test]
    fn who_waited_for_a_failure_shares_it() {
        let waited = CacheFacts { stands_in: true, collapsed: true, ttl: Some(-3), ..CacheFacts::default() };
        assert_eq!(
            said(&waited, CachePhase::Hit, 200),
            "seawall; fwd=stale; collapsed; ttl=-3; detail=stale-if-error"
        );
        let just_came = CacheFacts { collapsed: false, ..waited };
        assert_eq!(said(&just_came, CachePhase::Hit, 200), "seawall; hit; ttl=-3; detail=stale-if-error");
    }

    #[test]
    fn stale_without_a_refresh_says_why() {
        let refused = CacheFacts { unasked: Some("refresh-limit"), ttl: Some(-3), ..CacheFacts::default() };
        assert_eq!(said(&refused, CachePhase::Hit, 200), "seawall; hit; ttl=-3; detail=refresh-limit");
    }

    #[test]
    fn answers_of_our_own() {
        let value = |facts: &CacheFacts| {
            let value = describe_failure(facts, CachePhase::Miss, "why").value(&http::HeaderMap::new());
            value.to_str().unwrap().to_owned()
        };
        assert_eq!(value(&CacheFacts::default()), "seawall; detail=why");
        assert_eq!(value(&asked(None)), "seawall; fwd=uri-miss; detail=why");
    }
}
