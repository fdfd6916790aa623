//! A POST response that later GETs may be answered with (RFC 9110 §9.3.3).

use http::{HeaderMap, Method, StatusCode, header};

use crate::directives::ResponseDirectives;
use crate::invalidation::{Origin, resolve};
use crate::policy::CachePolicy;
use crate::storability::{self, Admission, NotStored};
use crate::syntax::trim;
use crate::{Request, Response, Times};

/// Whether and how the response to a POST is stored as the one that a GET of the same URI would get.
///
/// The origin must say so twice: with a lifetime of its own, and with a Content-Location that is the URI itself. What
/// it says goes for the URI and for nothing else the POST carried, so a response that varies is left out.
///
/// # Errors
/// The reason not to store it; [`NotStored::NothingAllows`] when the origin does not say so.
pub fn decide(
    request: &HeaderMap,
    response: &Response<'_>,
    origin: &Origin<'_>,
    times: Times,
    policy: &CachePolicy,
) -> Result<Admission, NotStored> {
    if !policy.post_reuse || response.status != StatusCode::OK || !is_located_at(origin, response.headers) {
        return Err(NotStored::NothingAllows);
    }
    let directives = ResponseDirectives::effective(response.headers);
    if !storability::names_a_lifetime(response, &directives) {
        return Err(NotStored::NothingAllows);
    }
    // As a GET without content would be judged: of this request only its credentials count.
    let mut as_get = HeaderMap::new();
    for name in [header::AUTHORIZATION, header::CACHE_CONTROL, header::PRAGMA] {
        for value in request.get_all(&name) {
            as_get.append(&name, value.clone());
        }
    }
    let request = Request { method: &Method::GET, headers: &as_get, has_body: false };
    let admission = storability::decide(&request, response, times, policy)?;
    if !admission.vary.is_empty() {
        return Err(NotStored::VaryAny);
    }
    if !admission.freshness.is_fresh(times.received) {
        return Err(NotStored::Useless);
    }
    Ok(admission)
}

fn is_located_at(origin: &Origin<'_>, response: &HeaderMap) -> bool {
    let mut lines = response.get_all(header::CONTENT_LOCATION).iter();
    let (Some(only), None) = (lines.next(), lines.next()) else { return false };
    let reference = trim(only.as_bytes());
    // An empty reference is the URI itself (RFC 3986 §4.4).
    resolve(origin, reference).is_some_and(|target| target == origin.path_and_query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{headers, now};

    fn judged(request: &[(&str, &str)], status: u16, response: &[(&str, &str)]) -> Result<(), NotStored> {
        let origin = Origin { scheme: "http", authority: "example.com", path_and_query: b"/a?x=1" };
        let fields = headers(response);
        let response = Response { status: StatusCode::from_u16(status).unwrap(), headers: &fields };
        let times = Times { requested: now(), received: now() };
        let result = decide(&headers(request), &response, &origin, times, &CachePolicy::default());
        let off = CachePolicy::new(&serde_yaml::from_str("post_reuse: false").unwrap()).unwrap();
        let without = decide(&headers(request), &response, &origin, times, &off);
        assert_eq!(without, Err(NotStored::NothingAllows), "a route may do without");
        result.map(|_| ())
    }

    const FRESH: (&str, &str) = ("cache-control", "max-age=60");
    const HERE: (&str, &str) = ("content-location", "/a?x=1");

    #[test]
    fn fresh_and_located_at_its_own_uri() {
        for here in ["/a?x=1", "a?x=1", "http://example.com/a?x=1", "//EXAMPLE.com:80/a?x=1", "?x=1", ""] {
            assert_eq!(judged(&[], 200, &[FRESH, ("content-location", here)]), Ok(()), "{here}");
        }
        assert_eq!(judged(&[("content-length", "5")], 200, &[FRESH, HERE]), Ok(()));
    }

    #[test]
    fn anything_less_is_not() {
        let nothing = Err(NotStored::NothingAllows);
        assert_eq!(judged(&[], 200, &[FRESH]), nothing);
        assert_eq!(judged(&[], 200, &[HERE]), nothing, "a guess is no explicit freshness");
        assert_eq!(judged(&[], 201, &[FRESH, HERE]), nothing);
        for elsewhere in ["/a", "/b?x=1", "https://example.com/a?x=1", "http://other.example/a?x=1"] {
            assert_eq!(judged(&[], 200, &[FRESH, ("content-location", elsewhere)]), nothing, "{elsewhere}");
        }
        assert_eq!(judged(&[], 200, &[FRESH, HERE, HERE]), nothing);
        assert_eq!(
            judged(&[], 200, &[("cache-control", "max-age=0"), ("etag", "\"a\""), HERE]),
            Err(NotStored::Useless)
        );
    }

    #[test]
    fn the_rules_of_storing_count() {
        let secret = [("authorization", "Basic eA==")];
        assert_eq!(judged(&secret, 200, &[FRESH, HERE]), Err(NotStored::Authorization));
        assert_eq!(judged(&[], 200, &[FRESH, HERE, ("vary", "accept")]), Err(NotStored::VaryAny));
        assert_eq!(judged(&[], 200, &[FRESH, HERE, ("set-cookie", "a=b")]), Err(NotStored::SetCookie));
        assert_eq!(
            judged(&[], 200, &[("cache-control", "private, max-age=60"), HERE]),
            Err(NotStored::Private)
        );
    }
}
