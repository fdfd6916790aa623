//! The client's own conditions, evaluated against a stored response (RFC 9110 §13.2.2, RFC 9111 §4.3.2).
//!
//! RFC 9111 lets a cache leave If-Match and If-Unmodified-Since aside, since they mean the origin's current
//! representation. Here they are evaluated against the response that would be served: a client that asks for one
//! version never gets another one under status 200.

use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode, header};

use super::etag;
use crate::date::date_field;
use crate::syntax::{tag_list, trim};
use crate::{Request, Response};

/// What a client's conditions make of the response that would be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is served.
    Continue,
    /// The client has it already: 304.
    NotModified,
    /// The client does not want this one: 412.
    PreconditionFailed,
}

/// Evaluates the conditions of `request` in the order of RFC 9110 §13.2.2.
///
/// `received` is when the stored response arrived (it stands in for Last-Modified and Date when both are
/// missing, RFC 9111 §4.3.2); `now` settles the century of two-digit years. Without conditions it costs four
/// look-ups.
#[must_use]
pub fn evaluate(
    request: &Request<'_>,
    stored: &Response<'_>,
    received: SystemTime,
    now: SystemTime,
) -> Outcome {
    // RFC 9110 §13.2.1: conditions count only where the answer without them would be a 2xx.
    if !stored.status.is_success() {
        return Outcome::Continue;
    }
    let conditions = request.headers;
    if conditions.contains_key(header::IF_MATCH) {
        if !if_match(conditions, stored.headers) {
            return Outcome::PreconditionFailed;
        }
    } else if let Some(Some(since)) = date_field(conditions, &header::IF_UNMODIFIED_SINCE, now)
        && modified(stored.headers, now).is_some_and(|modified| modified > since)
    {
        return Outcome::PreconditionFailed;
    }
    let reads = matches!(*request.method, Method::GET | Method::HEAD);
    if conditions.contains_key(header::IF_NONE_MATCH) {
        if !any_tag_matches(conditions, stored.headers) {
            return Outcome::Continue;
        }
        return if reads { not_modified(stored.status) } else { Outcome::PreconditionFailed };
    }
    if reads
        && let Some(Some(since)) = date_field(conditions, &header::IF_MODIFIED_SINCE, now)
        && age_mark(stored.headers, received, now) <= since
    {
        return not_modified(stored.status);
    }
    Outcome::Continue
}

/// Whether the Range of a request applies to a stored response, by its If-Range (RFC 9110 §13.1.5).
///
/// Without If-Range it does. A tag must match strongly. A date must be the Last-Modified, and that a strong
/// validator: at least a second older than Date (RFC 9110 §8.8.2.2).
#[must_use]
pub fn range_applies(request: &HeaderMap, stored: &HeaderMap, now: SystemTime) -> bool {
    let mut lines = request.get_all(header::IF_RANGE).iter();
    let Some(first) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    let condition = trim(first.as_bytes());
    if etag::is_well_formed(condition) {
        return etag::of(stored).is_some_and(|tag| etag::strong_eq(tag, condition));
    }
    let dates =
        (crate::http_date(condition, now), modified(stored, now), date_field(stored, &header::DATE, now));
    let (Some(wanted), Some(modified), Some(Some(date))) = dates else { return false };
    wanted == modified && date.duration_since(modified).is_ok_and(|gap| gap.as_secs() >= 1)
}

/// 304 stands for a 200 (RFC 9110 §15.4.5), or for a 203, which is a 200 that was transformed on its way.
fn not_modified(status: StatusCode) -> Outcome {
    match status {
        StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => Outcome::NotModified,
        _ => Outcome::Continue,
    }
}

/// If-Match compares strongly (RFC 9110 §13.1.1).
fn if_match(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if is_star(request, &header::IF_MATCH) {
        return true;
    }
    let Some(tag) = etag::of(stored) else { return false };
    tags(request, &header::IF_MATCH).any(|wanted| etag::strong_eq(wanted, tag))
}

/// If-None-Match compares weakly (RFC 9110 §13.1.2).
fn any_tag_matches(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if is_star(request, &header::IF_NONE_MATCH) {
        return true;
    }
    let Some(tag) = etag::of(stored) else { return false };
    tags(request, &header::IF_NONE_MATCH).any(|known| etag::weak_eq(known, tag))
}

fn tags<'a>(request: &'a HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'a [u8]> {
    request.get_all(name).iter().flat_map(|line| tag_list(line.as_bytes()))
}

/// `*` alone; among tags it is no tag.
fn is_star(request: &HeaderMap, name: &http::HeaderName) -> bool {
    let mut all = tags(request, name);
    all.next() == Some(b"*") && all.next().is_none()
}

fn modified(stored: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    date_field(stored, &header::LAST_MODIFIED, now).flatten()
}

/// What If-Modified-Since is compared with (RFC 9111 §4.3.2).
fn age_mark(stored: &HeaderMap, received: SystemTime, now: SystemTime) -> SystemTime {
    modified(stored, now).or_else(|| date_field(stored, &header::DATE, now).flatten()).unwrap_or(received)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, any_value, before, date, headers, now};
    use proptest::prelude::*;

    fn answer(method: Method, status: u16, conditions: &[(&str, &str)], stored: &[(&str, &str)]) -> Outcome {
        evaluate(
            &Request { method: &method, headers: &headers(conditions), has_body: false },
            &Response { status: StatusCode::from_u16(status).unwrap(), headers: &headers(stored) },
            before(100),
            now(),
        )
    }

    fn get(conditions: &[(&str, &str)], stored: &[(&str, &str)]) -> Outcome {
        answer(Method::GET, 200, conditions, stored)
    }

    const TAGGED: &[(&str, &str)] = &[("etag", "\"a,b\"")];

    #[test]
    fn without_conditions_it_is_served() {
        assert_eq!(get(&[], TAGGED), Outcome::Continue);
    }

    #[test]
    fn if_none_match() {
        for tags in ["\"a,b\"", "W/\"a,b\"", "\"x\", \"a,b\"", "\"x\" ,, W/\"a,b\" ", "*"] {
            assert_eq!(get(&[("if-none-match", tags)], TAGGED), Outcome::NotModified, "{tags}");
        }
        for tags in ["\"a\"", "a,b", "\"a\", \"b\"", "", "\"A,B\"", "\"x\", *", "*, \"x\"", "w/\"a,b\""] {
            assert_eq!(get(&[("if-none-match", tags)], TAGGED), Outcome::Continue, "{tags}");
        }
        assert_eq!(
            get(&[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")], TAGGED),
            Outcome::NotModified
        );
        assert_eq!(get(&[("if-none-match", "\"a\"")], &[]), Outcome::Continue);
        assert_eq!(get(&[("if-none-match", "*")], &[]), Outcome::NotModified);
        assert_eq!(get(&[("if-none-match", "\"a\"")], &[("etag", "W/\"a\"")]), Outcome::NotModified);
        assert_eq!(get(&[("if-none-match", "\"a\\\", \"b\"")], &[("etag", "\"b\"")]), Outcome::NotModified);
    }

    #[test]
    fn if_none_match_hides_if_modified_since() {
        let conditions = [("if-none-match", "\"x\""), ("if-modified-since", &*date(now()))];
        assert_eq!(get(&conditions, TAGGED), Outcome::Continue);
    }

    #[test]
    fn if_modified_since() {
        let stored = [("last-modified", &*date(before(50)))];
        let since = |at| get(&[("if-modified-since", &*date(at))], &stored);
        assert_eq!(since(before(50)), Outcome::NotModified);
        assert_eq!(since(now()), Outcome::NotModified);
        assert_eq!(since(before(51)), Outcome::Continue);
    }

    #[test]
    fn without_last_modified_date_counts_and_then_the_arrival() {
        let by_date = [("date", &*date(before(20)))];
        assert_eq!(get(&[("if-modified-since", &*date(before(20)))], &by_date), Outcome::NotModified);
        assert_eq!(get(&[("if-modified-since", &*date(before(21)))], &by_date), Outcome::Continue);
        assert_eq!(get(&[("if-modified-since", &*date(before(100)))], &[]), Outcome::NotModified);
        assert_eq!(get(&[("if-modified-since", &*date(before(101)))], &[]), Outcome::Continue);
    }

    #[test]
    fn a_bad_or_repeated_date_is_no_condition() {
        let stored = [("last-modified", &*date(before(50)))];
        for bad in ["yesterday", "", "0"] {
            assert_eq!(get(&[("if-modified-since", bad)], &stored), Outcome::Continue);
            assert_eq!(get(&[("if-unmodified-since", bad)], &stored), Outcome::Continue);
        }
        let twice = [("if-modified-since", &*date(now())), ("if-modified-since", &*date(now()))];
        assert_eq!(get(&twice, &stored), Outcome::Continue);
    }

    #[test]
    fn if_match_compares_strongly() {
        for tags in ["\"a,b\"", "\"x\", \"a,b\"", "*"] {
            assert_eq!(get(&[("if-match", tags)], TAGGED), Outcome::Continue, "{tags}");
        }
        for tags in ["\"x\"", "W/\"a,b\"", ""] {
            assert_eq!(get(&[("if-match", tags)], TAGGED), Outcome::PreconditionFailed, "{tags}");
        }
        assert_eq!(get(&[("if-match", "W/\"a\"")], &[("etag", "W/\"a\"")]), Outcome::PreconditionFailed);
        assert_eq!(get(&[("if-match", "\"a\"")], &[]), Outcome::PreconditionFailed);
        assert_eq!(get(&[("if-match", "*")], &[]), Outcome::Continue);
    }

    #[test]
    fn if_unmodified_since() {
        let stored = [("last-modified", &*date(before(50)))];
        assert_eq!(get(&[("if-unmodified-since", &*date(before(50)))], &stored), Outcome::Continue);
        assert_eq!(get(&[("if-unmodified-since", &*date(before(51)))], &stored), Outcome::PreconditionFailed);
        assert_eq!(get(&[("if-unmodified-since", &*date(before(51)))], &[]), Outcome::Continue);
    }

    #[test]
    fn if_match_hides_if_unmodified_since_and_comes_before_if_none_match() {
        let stored = [("etag", "\"a\""), ("last-modified", &*date(before(50)))];
        let hidden = [("if-match", "\"a\""), ("if-unmodified-since", &*date(before(51)))];
        assert_eq!(get(&hidden, &stored), Outcome::Continue);
        assert_eq!(
            get(&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], &stored),
            Outcome::PreconditionFailed
        );
        assert_eq!(get(&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], &stored), Outcome::NotModified);
    }

    #[test]
    fn conditions_count_for_a_success_only() {
        for status in [301, 404, 500] {
            assert_eq!(answer(Method::GET, status, &[("if-none-match", "*")], TAGGED), Outcome::Continue);
            assert_eq!(answer(Method::GET, status, &[("if-match", "\"x\"")], TAGGED), Outcome::Continue);
        }
        assert_eq!(answer(Method::GET, 204, &[("if-none-match", "*")], TAGGED), Outcome::Continue);
        assert_eq!(answer(Method::GET, 203, &[("if-none-match", "*")], TAGGED), Outcome::NotModified);
    }

    #[test]
    fn other_methods() {
        assert_eq!(answer(Method::HEAD, 200, &[("if-none-match", "*")], TAGGED), Outcome::NotModified);
        assert_eq!(answer(Method::PUT, 200, &[("if-none-match", "*")], TAGGED), Outcome::PreconditionFailed);
        let since = [("if-modified-since", &*date(now()))];
        assert_eq!(answer(Method::PUT, 200, &since, TAGGED), Outcome::Continue);
    }

    #[test]
    fn if_range_by_tag_is_strong() {
        let applies = |condition, stored: &[(&str, &str)]| {
            range_applies(&headers(&[("if-range", condition)]), &headers(stored), now())
        };
        assert!(range_applies(&HeaderMap::new(), &HeaderMap::new(), now()));
        assert!(applies("\"a,b\"", TAGGED));
        assert!(!applies("\"x\"", TAGGED));
        assert!(!applies("W/\"a\"", &[("etag", "W/\"a\"")]));
        assert!(!applies("\"a\"", &[("etag", "W/\"a\"")]));
        assert!(!applies("a", &[("etag", "a")]));
        assert!(!applies("\"a\"", &[]));
    }

    #[test]
    fn if_range_by_date_is_exact_and_needs_an_older_last_modified() {
        let applies = |condition: SystemTime, modified: SystemTime, sent: SystemTime| {
            range_applies(
                &headers(&[("if-range", &date(condition))]),
                &headers(&[("last-modified", &date(modified)), ("date", &date(sent))]),
                now(),
            )
        };
        assert!(applies(before(50), before(50), now()));
        assert!(!applies(before(49), before(50), now()));
        assert!(!applies(before(51), before(50), now()));
        assert!(!applies(now(), now(), now()), "changed in the second in which it was sent");
        assert!(!applies(after(5), after(5), now()));
        let undated = headers(&[("last-modified", &date(before(50)))]);
        assert!(!range_applies(&headers(&[("if-range", &date(before(50)))]), &undated, now()));
        let twice = headers(&[("if-range", "\"a\""), ("if-range", "\"a\"")]);
        assert!(!range_applies(&twice, &headers(&[("etag", "\"a\"")]), now()));
    }

    proptest! {
        #[test]
        fn never_panics(values in prop::collection::vec(any_value(), 8)) {
            let names = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
                "etag", "last-modified", "date"];
            let mut map = HeaderMap::new();
            for (name, value) in names.into_iter().zip(values) {
                map.append(name, value);
            }
            let request = Request { method: &Method::GET, headers: &map, has_body: false };
            let stored = Response { status: StatusCode::OK, headers: &map };
            let _ = evaluate(&request, &stored, now(), now());
            let _ = range_applies(&map, &map, now());
        }

        /// A client that holds the stored tag always gets a 304, wherever it stands in the list.
        #[test]
        fn the_stored_tag_is_found(others in prop::collection::vec("(W/)?\"[!#-~]{0,6}\"", 0..4), at in 0usize..5) {
            let mut tags = others;
            tags.insert(at.min(tags.len()), "\"the one\\,\"".replace(' ', "_"));
            let stored = [("etag", "\"the_one\\,\"")];
            prop_assert_eq!(get(&[("if-none-match", &tags.join(", "))], &stored), Outcome::NotModified);
        }
    }
}
