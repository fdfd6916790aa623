//! What the cache did, from Pingora's phase and our own facts, in the words of RFC 9211.

use http::StatusCode;
use pingora_cache::{CachePhase, NoCacheReason};
use seawall_caching::CacheStatus;
use seawall_caching::status::{ForwardReason, Handling};

use crate::context::{CacheFacts, Stored};

/// The member of the list that speaks for this cache.
pub(crate) fn describe(facts: &CacheFacts, phase: CachePhase, sent: StatusCode) -> CacheStatus<'static> {
    let handling = match phase {
        CachePhase::Hit | CachePhase::StaleUpdating => Handling::Hit,
        // Served stale after the origin was asked and failed.
        CachePhase::Stale if facts.origin_status.is_none() && !facts.asked => Handling::Hit,
        _ => Handling::Forwarded {
            reason: reason(facts, phase),
            status: facts.origin_status.and_then(|s| StatusCode::from_u16(s).ok()).filter(|s| *s != sent),
            stored: stored(facts, phase),
            collapsed: facts.collapsed,
        },
    };
    CacheStatus {
        handling,
        ttl: facts.ttl.filter(|_| in_store(phase)),
        key: None,
        detail: detail(facts, phase),
    }
}

fn reason(facts: &CacheFacts, phase: CachePhase) -> ForwardReason {
    match phase {
        CachePhase::Stale
        | CachePhase::Expired
        | CachePhase::Revalidated
        | CachePhase::RevalidatedNoCache(_) => ForwardReason::Stale,
        CachePhase::Bypass => ForwardReason::Bypass,
        _ => facts.bypass.map_or(ForwardReason::UriMiss, |reason| reason.forward_reason()),
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
        (Stored::No(reason), _) => Some(reason),
        (_, CachePhase::Disabled(NoCacheReason::CacheLockTimeout)) => Some("collapse-timeout"),
        (_, CachePhase::Bypass) => Some("uncacheable"),
        _ => facts.bypass.map(|reason| reason.as_str()).filter(|reason| *reason != "method"),
    }
}
