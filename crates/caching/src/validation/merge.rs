//! A 304 brought into the stored fields (RFC 9111 §3.2, §4.3.4).

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, header};

use super::etag;
use crate::date::{date_field, insert_date};
use crate::fields::unstorable;
use crate::policy::CachePolicy;
use crate::settings::SetCookie;

/// Fields that describe the stored bytes: a 304 has none, so it cannot change them (RFC 9111 §3.2).
const OF_THE_BYTES: [HeaderName; 3] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE];

/// Whether a 304 speaks of this stored response (RFC 9111 §4.3.4).
///
/// A strong tag must be the stored one. Otherwise a weak tag or a Last-Modified must agree with the stored one.
/// Without validators it can only mean the response that was asked about. When it is not, fetch the whole anew.
#[must_use]
pub fn freshens(stored: &HeaderMap, not_modified: &HeaderMap, now: SystemTime) -> bool {
    if let Some(new) = etag::of(not_modified) {
        let Some(old) = etag::of(stored) else { return false };
        // A stored weak tag cannot be confirmed as strong; by weak comparison it is still the one asked about.
        return etag::weak_eq(new, old) && (new.starts_with(b"W/") || !old.starts_with(b"W/"));
    }
    match (
        date_field(not_modified, &header::LAST_MODIFIED, now),
        date_field(stored, &header::LAST_MODIFIED, now),
    ) {
        (Some(Some(new)), Some(Some(old))) => new == old,
        (Some(Some(_)), _) => false,
        _ => true,
    }
}

/// The stored fields, each replaced by what the 304 says of it.
///
/// Fields of one hop are left out, and so are those that describe the stored bytes. A Set-Cookie comes in only
/// when the route stores cookies. The age starts anew: without Age or Date in the 304 the old ones go, and
/// `received` becomes the Date (RFC 9110 §6.6.1).
#[must_use]
pub fn merge(
    stored: &HeaderMap,
    not_modified: &HeaderMap,
    received: SystemTime,
    policy: &CachePolicy,
) -> HeaderMap {
    let mut merged = stored.clone();
    merged.remove(header::AGE);
    merged.remove(header::DATE);
    let unstorable = unstorable(not_modified);
    let excluded = |name: &HeaderName| {
        OF_THE_BYTES.contains(name)
            || unstorable.contains(name)
            || (*name == header::SET_COOKIE && policy.by_profile.set_cookie != SetCookie::Store)
    };
    for name in not_modified.keys().filter(|name| !excluded(name)) {
        merged.remove(name);
        for value in not_modified.get_all(name) {
            merged.append(name, value.clone());
        }
    }
    insert_date(&mut merged, received);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{before, date, headers, now};

    fn merged(stored: &[(&str, &str)], update: &[(&str, &str)]) -> HeaderMap {
        merge(&headers(stored), &headers(update), now(), &CachePolicy::default())
    }

    #[test]
    fn every_other_field_is_replaced() {
        let map = merged(
            &[
                ("x-a", "1"),
                ("x-a", "2"),
                ("x-b", "1"),
                ("content-type", "text/html"),
                ("cache-control", "max-age=1"),
            ],
            &[
                ("x-a", "3"),
                ("x-c", "4"),
                ("x-c", "5"),
                ("content-type", "text/plain"),
                ("cache-control", "max-age=9"),
            ],
        );
        let all = |name: &str| map.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("x-a"), ["3"]);
        assert_eq!(all("x-b"), ["1"]);
        assert_eq!(all("x-c"), ["4", "5"]);
        assert_eq!(all("content-type"), ["text/plain"]);
        assert_eq!(all("cache-control"), ["max-age=9"]);
    }

    #[test]
    fn the_stored_bytes_keep_their_description() {
        let map = merged(
            &[("content-length", "100"), ("content-encoding", "gzip")],
            &[("content-length", "0"), ("content-encoding", "br"), ("content-range", "bytes 0-1/2")],
        );
        assert_eq!(map["content-length"], "100");
        assert_eq!(map["content-encoding"], "gzip");
        assert!(!map.contains_key("content-range"));
    }

    #[test]
    fn fields_of_one_hop_and_cookies_stay_out() {
        let update = [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a=1"),
        ];
        let map = merged(&[("x-a", "1")], &update);
        for name in ["connection", "x-hop", "transfer-encoding", "set-cookie"] {
            assert!(!map.contains_key(name), "{name}");
        }
        let keeping = CachePolicy::new(&serde_yaml::from_str("set_cookie: store").unwrap()).unwrap();
        assert!(merge(&HeaderMap::new(), &headers(&update), now(), &keeping).contains_key("set-cookie"));
    }

    #[test]
    fn the_age_starts_anew() {
        let stored = [("age", "500"), ("date", &*date(before(5000)))];
        let map = merged(&stored, &[]);
        assert!(!map.contains_key("age"));
        assert_eq!(map["date"], date(now()));
        let map = merged(&stored, &[("age", "7"), ("date", &*date(before(7)))]);
        assert_eq!((map["age"].to_str().unwrap(), map["date"].to_str().unwrap()), ("7", &*date(before(7))));
    }

    #[test]
    fn a_304_must_speak_of_what_is_stored() {
        let (old, new) = (date(before(50)), date(before(40)));
        let speaks = |stored: &[(&str, &str)], update: &[(&str, &str)]| {
            freshens(&headers(stored), &headers(update), now())
        };
        assert!(speaks(&[("etag", "\"a\"")], &[]));
        assert!(speaks(&[("etag", "\"a\"")], &[("etag", "\"a\"")]));
        assert!(speaks(&[("etag", "\"a\"")], &[("etag", "W/\"a\"")]));
        assert!(speaks(&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")]));
        assert!(!speaks(&[("etag", "W/\"a\"")], &[("etag", "\"a\"")]));
        assert!(!speaks(&[("etag", "\"a\"")], &[("etag", "\"b\"")]));
        assert!(!speaks(&[("last-modified", &old)], &[("etag", "\"b\"")]));
        assert!(speaks(&[("last-modified", &old)], &[("last-modified", &old)]));
        assert!(!speaks(&[("last-modified", &old)], &[("last-modified", &new)]));
        assert!(speaks(
            &[("etag", "\"a\""), ("last-modified", &old)],
            &[("etag", "\"a\""), ("last-modified", &new)]
        ));
    }
}
