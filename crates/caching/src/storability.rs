//! Whether a response may be stored (RFC 9111 §3), and what is stored of it.

use http::{HeaderName, StatusCode, header};

use crate::directives::ResponseDirectives;
use crate::fields::unstorable;
use crate::freshness::{heuristically_cacheable, may_force};
use crate::policy::CachePolicy;
use crate::request::{BypassReason, assess};
use crate::settings::SetCookie;
use crate::{Freshness, Request, Response, StaleWindows, Times, Vary};

/// Statuses that speak of one request, one connection or one part, never of the resource: they are not stored,
/// whatever the origin or the settings say. (206 and 304 are no whole responses; 413 and 431 stored for
/// everyone are how one client's odd request denies a page to all. For 400 see [`CachePolicy`]'s profile.)
pub const NEVER_STORED: [u16; 13] = [206, 304, 407, 408, 411, 412, 413, 416, 417, 421, 425, 426, 431];

/// Statuses whose caching requirements are known here, for `must-understand` (RFC 9111 §5.2.2.3).
const UNDERSTOOD: [u16; 20] =
    [200, 203, 204, 300, 301, 302, 303, 307, 308, 401, 403, 404, 405, 410, 414, 500, 501, 502, 503, 504];

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The request goes past the store.
    Bypassed(BypassReason),
    /// The client forbids it and the route heeds that (RFC 9111 §5.2.1.5).
    RequestNoStore,
    /// A status of one request, one connection or one part ([`NEVER_STORED`]), or an interim one.
    Status,
    /// The status is not stored without a word of the origin, and there is none (RFC 9111 §3).
    NothingAllows,
    /// `must-understand` with a status that is not known here.
    NotUnderstood,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// The request had Authorization and the response does not say that it is for all (RFC 9111 §3.5).
    Authorization,
    /// It sets a cookie.
    SetCookie,
    /// `Vary: *`, or a Vary that cannot be read.
    VaryAny,
    /// Vary names more fields than are kept apart.
    VaryTooWide,
    /// A part whose range cannot be read, or is not the one that was asked for.
    ContentRange,
    /// A part with a Vary: parts are told apart by their range alone.
    PartVaries,
    /// Cache-Control cannot be read.
    Malformed,
    /// Neither fresh, nor to be validated, nor ever served stale: nothing could come of it.
    Useless,
}

impl NotStored {
    /// A stable name, for `detail` of Cache-Status and for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypassed(reason) => reason.as_str(),
            Self::RequestNoStore => "request-no-store",
            Self::Status => "status",
            Self::NothingAllows => "no-explicit-freshness",
            Self::NotUnderstood => "must-understand",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryAny => "vary-any",
            Self::VaryTooWide => "vary-too-wide",
            Self::ContentRange => "content-range",
            Self::PartVaries => "partial-vary",
            Self::Malformed => "malformed-cache-control",
            Self::Useless => "no-freshness-no-validator",
        }
    }
}

/// Whether a reason ([`NotStored::as_str`]) comes from the request alone. Such a response says nothing about the next
/// one for the same key: remembering the key as uncacheable would let any client send others past the cache.
#[must_use]
pub fn speaks_of_the_request(reason: &'static str) -> bool {
    [NotStored::RequestNoStore, NotStored::Authorization, NotStored::Status]
        .iter()
        .any(|known| known.as_str() == reason)
}

/// A response that may be stored, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Its lifetime and age.
    pub freshness: Freshness,
    /// How long it may be served stale.
    pub stale: StaleWindows,
    /// The request fields that select it, sorted; empty without Vary.
    pub vary: Vec<HeaderName>,
    /// The fields to take out of the response: those of one hop, and Set-Cookie when the route strips it.
    pub remove: Vec<HeaderName>,
    /// The fields to take out of the stored copy: those that `private` and `no-cache` name. They restrict storing and
    /// reusing, not the answer to the request that they came for (RFC 9111 §5.2.2.4, §5.2.2.7).
    pub withhold: Vec<HeaderName>,
}

/// Whether and how `response` is stored for `request`.
///
/// For a 304 call it with the merged fields ([`crate::validation::merge`]), the stored status, and the times
/// of the 304.
///
/// # Errors
/// The reason not to store it.
pub fn decide(
    request: &Request<'_>,
    response: &Response<'_>,
    times: Times,
    policy: &CachePolicy,
) -> Result<Admission, NotStored> {
    let terms = assess(request, policy).map_err(NotStored::Bypassed)?;
    if terms.no_store {
        return Err(NotStored::RequestNoStore);
    }
    admit(request, response, times, policy)
}

/// The same for a request that is known to be allowed to the store.
fn admit(
    request: &Request<'_>,
    response: &Response<'_>,
    times: Times,
    policy: &CachePolicy,
) -> Result<Admission, NotStored> {
    let status = response.status;
    if status.is_informational()
        || NEVER_STORED.contains(&status.as_u16())
        || (status == StatusCode::BAD_REQUEST && !policy.stores_bad_requests())
    {
        return Err(NotStored::Status);
    }
    let mut directives = ResponseDirectives::effective(response.headers);
    if policy.force_store && may_force(status) {
        directives.lift_bans();
    }
    permitted(status, &directives)?;
    let shared = directives.public || directives.must_revalidate || directives.s_maxage.seconds().is_some();
    if request.headers.contains_key(header::AUTHORIZATION) && !shared {
        return Err(NotStored::Authorization);
    }
    let (remove, withhold) = (removals(response, &directives, policy)?, withheld(&directives));
    let vary = match policy.vary(response.headers) {
        Vary::Any => return Err(NotStored::VaryAny),
        Vary::TooWide => return Err(NotStored::VaryTooWide),
        Vary::Fields(fields) => fields,
    };
    let may_guess = policy.by_profile.heuristic_with_cookie || !request.headers.contains_key(header::COOKIE);
    let freshness = Freshness::of(response, &directives, times, policy, may_guess);
    let stale = StaleWindows::of(&directives, policy).limited(policy.error_limit(status));
    let allowed = heuristically_cacheable(status)
        || directives.public
        || names_a_lifetime(response, &directives)
        || freshness.source.is_configured();
    if !allowed {
        return Err(NotStored::NothingAllows);
    }
    let kept = |name: &HeaderName| response.headers.contains_key(name) && !withhold.contains(name);
    let validator = [header::ETAG, header::LAST_MODIFIED].iter().any(kept);
    if !freshness.is_fresh(times.received) && !validator && stale.is_closed() {
        return Err(NotStored::Useless);
    }
    Ok(Admission { freshness, stale, vary, remove, withhold })
}

/// What the directives say about storing at all.
fn permitted(status: StatusCode, directives: &ResponseDirectives) -> Result<(), NotStored> {
    if directives.malformed {
        return Err(NotStored::Malformed);
    }
    let understood = UNDERSTOOD.contains(&status.as_u16());
    if directives.must_understand && !understood {
        return Err(NotStored::NotUnderstood);
    }
    // Beside must-understand, no-store is for caches that do not know must-understand (RFC 9111 §5.2.2.3).
    if directives.no_store && !directives.must_understand {
        return Err(NotStored::NoStore);
    }
    if directives.private.is_all() {
        return Err(NotStored::Private);
    }
    Ok(())
}

/// Whether the origin gives a lifetime, readable or not (RFC 9111 §3: Expires, max-age, s-maxage).
pub(crate) fn names_a_lifetime(response: &Response<'_>, directives: &ResponseDirectives) -> bool {
    directives.max_age.is_present()
        || directives.s_maxage.is_present()
        || (directives.heeds_expires() && response.headers.contains_key(header::EXPIRES))
}

/// The fields to take out of the response.
fn removals(
    response: &Response<'_>,
    directives: &ResponseDirectives,
    policy: &CachePolicy,
) -> Result<Vec<HeaderName>, NotStored> {
    let mut remove = unstorable(response.headers);
    let named = |names: &[HeaderName]| names.contains(&header::SET_COOKIE);
    let withheld = named(directives.private.fields()) || named(directives.no_cache.fields());
    if response.headers.contains_key(header::SET_COOKIE) {
        match policy.by_profile.set_cookie {
            SetCookie::Bypass if !withheld => return Err(NotStored::SetCookie),
            SetCookie::Strip => remove.push(header::SET_COOKIE),
            SetCookie::Bypass | SetCookie::Store => {}
        }
    }
    Ok(remove)
}

/// The fields that `private` and `no-cache` name. `no-cache="field"` asks that the field is not sent before
/// validation; leaving it out of the copy does that.
fn withheld(directives: &ResponseDirectives) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for name in directives.private.fields().iter().chain(directives.no_cache.fields()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests;
