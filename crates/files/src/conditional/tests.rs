use super::{Verdict, allows_range, judge};
use crate::validators::{EntityTag, Validators};
use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use std::time::{Duration, UNIX_EPOCH};

const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
const EXACT: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
const AFTER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

fn file(weak: bool) -> Validators {
    Validators {
        tag: EntityTag { weak, opaque: b"v,1".to_vec() },
        modified: UNIX_EPOCH + Duration::from_secs(1_000_000_000),
        modified_is_strong: !weak,
    }
}

fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

#[test]
fn if_none_match_compares_weakly() {
    for (value, verdict) in [
        ("*", Verdict::NotModified),
        (" * ", Verdict::NotModified),
        ("\"v,1\"", Verdict::NotModified),
        ("W/\"v,1\"", Verdict::NotModified),
        ("\"a\", W/\"b\",,\t\"v,1\"", Verdict::NotModified),
        ("\"v\", \"1\"", Verdict::Serve),
        ("v,1", Verdict::Serve),
        ("w/\"v,1\"", Verdict::Serve),
        ("\"v,1", Verdict::Serve),
        ("\"*\"", Verdict::Serve),
        ("", Verdict::Serve),
        ("oops \"v,1\"", Verdict::Serve),
    ] {
        assert_eq!(judge(&headers(&[(IF_NONE_MATCH, value)]), &file(false)), verdict, "{value}");
        assert_eq!(judge(&headers(&[(IF_NONE_MATCH, value)]), &file(true)), verdict, "{value}");
    }
    let two_lines = headers(&[(IF_NONE_MATCH, "\"a\""), (IF_NONE_MATCH, "\"v,1\"")]);
    assert_eq!(judge(&two_lines, &file(false)), Verdict::NotModified);
}

#[test]
fn if_match_compares_strongly() {
    for (value, strong, weak) in [
        ("*", Verdict::Serve, Verdict::Serve),
        ("\"v,1\"", Verdict::Serve, Verdict::Failed),
        ("\"a\", \"v,1\"", Verdict::Serve, Verdict::Failed),
        ("W/\"v,1\"", Verdict::Failed, Verdict::Failed),
        ("\"a\"", Verdict::Failed, Verdict::Failed),
        ("nonsense", Verdict::Failed, Verdict::Failed),
    ] {
        assert_eq!(judge(&headers(&[(IF_MATCH, value)]), &file(false)), strong, "{value}");
        assert_eq!(judge(&headers(&[(IF_MATCH, value)]), &file(true)), weak, "{value}");
    }
}

#[test]
fn dates_count_to_the_second() {
    for (value, since, unmodified) in [
        (BEFORE, Verdict::Serve, Verdict::Failed),
        (EXACT, Verdict::NotModified, Verdict::Serve),
        (AFTER, Verdict::NotModified, Verdict::Serve),
        ("Sunday, 09-Sep-01 01:46:40 GMT", Verdict::NotModified, Verdict::Serve),
        ("Sun Sep  9 01:46:40 2001", Verdict::NotModified, Verdict::Serve),
        ("yesterday", Verdict::Serve, Verdict::Serve),
        ("", Verdict::Serve, Verdict::Serve),
    ] {
        assert_eq!(judge(&headers(&[(IF_MODIFIED_SINCE, value)]), &file(false)), since, "{value}");
        assert_eq!(judge(&headers(&[(IF_UNMODIFIED_SINCE, value)]), &file(false)), unmodified, "{value}");
    }
    let twice = headers(&[(IF_MODIFIED_SINCE, AFTER), (IF_MODIFIED_SINCE, AFTER)]);
    assert_eq!(judge(&twice, &file(false)), Verdict::Serve);
}

#[test]
fn precedence_is_that_of_the_rfc() {
    for (fields, verdict) in [
        // A tag condition silences the date condition of its kind, whichever way it falls.
        (vec![(IF_MATCH, "\"v,1\""), (IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Serve),
        (vec![(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, AFTER)], Verdict::Serve),
        (vec![(IF_NONE_MATCH, "\"v,1\""), (IF_MODIFIED_SINCE, BEFORE)], Verdict::NotModified),
        // A failed If-Match comes before everything.
        (vec![(IF_MATCH, "\"other\""), (IF_NONE_MATCH, "\"v,1\"")], Verdict::Failed),
        (vec![(IF_UNMODIFIED_SINCE, BEFORE), (IF_NONE_MATCH, "\"v,1\"")], Verdict::Failed),
        // When If-Match holds, If-None-Match is judged next.
        (vec![(IF_MATCH, "\"v,1\""), (IF_NONE_MATCH, "*")], Verdict::NotModified),
    ] {
        assert_eq!(judge(&headers(&fields), &file(false)), verdict, "{fields:?}");
    }
}

#[test]
fn if_range_wants_the_very_same_version() {
    assert!(allows_range(&HeaderMap::new(), &file(true)));
    for (value, strong, weak) in [
        ("\"v,1\"", true, false),
        ("W/\"v,1\"", false, false),
        ("\"a\"", false, false),
        ("\"v,1\", \"a\"", false, false),
        ("*", false, false),
        (EXACT, true, false),
        (AFTER, false, false),
        (BEFORE, false, false),
        ("nonsense", false, false),
    ] {
        let headers = headers(&[(IF_RANGE, value)]);
        assert_eq!(allows_range(&headers, &file(false)), strong, "{value}");
        assert_eq!(allows_range(&headers, &file(true)), weak, "{value}");
    }
    assert!(!allows_range(&headers(&[(IF_RANGE, "\"v,1\""), (IF_RANGE, "\"v,1\"")]), &file(false)));
}

proptest! {
    #[test]
    fn never_panics(value in proptest::collection::vec(0x20u8..=0xff, 0..40)) {
        let value: Vec<u8> = value.into_iter().filter(|b| *b != 0x7f).collect();
        let value = HeaderValue::from_bytes(&value).unwrap();
        for name in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE] {
            let mut map = HeaderMap::new();
            map.insert(name, value.clone());
            judge(&map, &file(false));
            allows_range(&map, &file(false));
        }
    }
}
