//! Odd forms of directives, one table a directive (RFC 9111 §1.2.2, §4.2.1, §5.2).

use super::*;
use crate::syntax::MAX_DELTA;
use crate::testing::headers;

/// A value behind `max-age` and the like, and what it means.
const NUMBERS: &[(&str, Delta)] = &[
    ("=0", Delta::Seconds(0)),
    ("=60", Delta::Seconds(60)),
    ("=060", Delta::Seconds(60)),
    ("=00000000000000000000000000000060", Delta::Seconds(60)),
    ("=\"60\"", Delta::Seconds(60)),
    ("=\" 60 \"", Delta::Seconds(60)),
    ("=\"6\\0\"", Delta::Seconds(60)),
    ("=2147483647", Delta::Seconds(MAX_DELTA - 1)),
    ("=2147483648", Delta::Seconds(MAX_DELTA)),
    ("=2147483649", Delta::Seconds(MAX_DELTA)),
    ("=4294967295", Delta::Seconds(MAX_DELTA)),
    ("=4294967296", Delta::Seconds(MAX_DELTA)),
    ("=18446744073709551616", Delta::Seconds(MAX_DELTA)),
    ("=999999999999999999999999999999999999999", Delta::Seconds(MAX_DELTA)),
    ("", Delta::Invalid),
    ("=", Delta::Invalid),
    ("=\"\"", Delta::Invalid),
    ("=-1", Delta::Invalid),
    ("=+1", Delta::Invalid),
    ("=-0", Delta::Invalid),
    ("=60.0", Delta::Invalid),
    ("=60.5", Delta::Invalid),
    ("=.5", Delta::Invalid),
    ("=1e3", Delta::Invalid),
    ("=0x3c", Delta::Invalid),
    ("=60s", Delta::Invalid),
    ("=a60", Delta::Invalid),
    ("=60a", Delta::Invalid),
    ("=6 0", Delta::Invalid),
    (" =60", Delta::Invalid),
    ("= 60", Delta::Invalid),
    ("\t=60", Delta::Invalid),
    ("=60;foo=bar", Delta::Invalid),
    ("=60 foo", Delta::Invalid),
    (":60", Delta::Invalid),
    ("==60", Delta::Invalid),
    ("='60'", Delta::Invalid),
    ("=\"60\"0", Delta::Invalid),
    ("=\"60", Delta::Invalid),
    ("=60\"", Delta::Invalid),
    ("=(60)", Delta::Invalid),
    ("=\u{ff16}0", Delta::Invalid),
];

type Number = (&'static str, fn(&ResponseDirectives) -> Delta);

const RESPONSE: [Number; 4] = [
    ("max-age", |d| d.max_age),
    ("s-maxage", |d| d.s_maxage),
    ("stale-while-revalidate", |d| d.stale_while_revalidate),
    ("stale-if-error", |d| d.stale_if_error),
];

fn response(value: &[u8]) -> ResponseDirectives {
    let mut map = HeaderMap::new();
    map.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_bytes(value).unwrap());
    ResponseDirectives::effective(&map)
}

#[test]
fn numbers_of_responses() {
    for (name, read) in RESPONSE {
        for (argument, expected) in NUMBERS {
            for value in [
                format!("{name}{argument}"),
                format!("public, {name}{argument}"),
                format!(" ,,\t{}{argument} ,", name.to_ascii_uppercase()),
                format!("ext=\"a, {name}=1\",{name}{argument}"),
            ] {
                assert_eq!(read(&response(value.as_bytes())), *expected, "{value}");
            }
        }
    }
}

#[test]
fn numbers_of_requests() {
    for (argument, expected) in NUMBERS {
        let value = format!("max-age{argument}, min-fresh{argument}");
        // An open quote swallows what follows it.
        let whole =
            !argument.ends_with("\"60") && !argument.ends_with("60\"") || argument.ends_with("\"60\"");
        let mut map = HeaderMap::new();
        map.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        let read = RequestDirectives::parse(&map);
        assert_eq!(read.max_age.seconds(), expected.seconds(), "{value}");
        if whole {
            assert_eq!(read.min_fresh.seconds(), expected.seconds(), "{value}");
        }
    }
}

#[test]
fn the_number_of_a_targeted_field_is_an_integer() {
    for (value, expected) in [
        ("60", Delta::Seconds(60)),
        ("060", Delta::Seconds(60)),
        ("999999999999999", Delta::Seconds(MAX_DELTA)),
        ("-1", Delta::Invalid),
        ("-0", Delta::Seconds(0)),
        ("60.0", Delta::Invalid),
        ("\"60\"", Delta::Invalid),
        ("a60", Delta::Invalid),
        ("?1", Delta::Invalid),
        ("?0", Delta::Absent),
        ("(60)", Delta::Invalid),
        (":NjA=:", Delta::Invalid),
        ("60;x=1", Delta::Seconds(60)),
        // Not a dictionary at all: the field is ignored as a whole.
        ("9999999999999999", Delta::Seconds(7)),
        ("60s", Delta::Seconds(7)),
        ("+60", Delta::Seconds(7)),
        ("", Delta::Seconds(7)),
    ] {
        let map =
            headers(&[("cdn-cache-control", &format!("max-age={value}")), ("cache-control", "max-age=7")]);
        assert_eq!(ResponseDirectives::effective(&map).max_age, expected, "{value}");
    }
}

#[test]
fn of_two_members_of_a_dictionary_the_last_counts() {
    // RFC 8941 §3.2: unlike in Cache-Control, this is no doubt but the rule.
    let map = headers(&[("cdn-cache-control", "max-age=60, max-age=30")]);
    assert_eq!(ResponseDirectives::effective(&map).max_age, Delta::Seconds(30));
}

#[test]
fn repeated_and_conflicting_directives_restrict() {
    for (value, max_age) in [
        ("max-age=60, max-age=60", Delta::Seconds(60)),
        ("max-age=1800, max-age=1", Delta::Seconds(1)),
        ("max-age=1, max-age=1800", Delta::Seconds(1)),
        ("max-age=0, max-age=1800", Delta::Seconds(0)),
        ("max-age=1, max-age", Delta::Invalid),
        ("max-age, max-age=1", Delta::Invalid),
    ] {
        let read = response(value.as_bytes());
        assert_eq!((read.max_age, read.s_maxage), (max_age, Delta::Absent), "{value}");
        let lines: Vec<(&str, &str)> = value.split(", ").map(|one| ("cache-control", one)).collect();
        assert_eq!(ResponseDirectives::effective(&headers(&lines)).max_age, max_age, "{value} in lines");
    }
    let both = response(b"public, private, no-store, max-age=60");
    assert!(both.no_store && both.private.is_all());
}

#[test]
fn field_names_in_every_dress() {
    for (value, names) in [
        ("private=\"x-a\"", &["x-a"][..]),
        ("private=x-a", &["x-a"]),
        ("private=\" X-A ,, x-b \"", &["x-a", "x-b"]),
        ("private=\"x-a\", private=\"x-b\"", &["x-a", "x-b"]),
        ("private=\"x\\-a\"", &["x-a"]),
    ] {
        let read = response(value.as_bytes());
        let found: Vec<&str> = read.private.fields().iter().map(HeaderName::as_str).collect();
        assert_eq!(found, names, "{value}");
    }
    for all in [
        "private",
        "private=",
        "private=\"\"",
        "private=\",\"",
        "private=\"x a\"",
        "private=\"x-a;y\"",
        "private =\"x-a\"",
        "private= \"x-a\"",
        "private=x-a x-b",
        "private=\"x-a\"x",
        "private=\"x-a",
        "private, private=\"x-a\"",
        "private=\"x-a\", private",
        "private=\"\\\"\"",
    ] {
        let read = response(all.as_bytes());
        assert!(read.private.is_all() || read.malformed, "{all}");
    }
}

#[test]
fn immutable_ignores_its_argument() {
    for value in ["immutable", "IMMUTABLE", "max-age=1,immutable", "immutable=1"] {
        assert!(response(value.as_bytes()).immutable, "{value}");
    }
    assert!(!response(b"immutables").immutable && !response(b"x=\"immutable\"").immutable);
}

#[test]
fn must_understand_takes_no_argument() {
    assert!(response(b"must-understand").must_understand && !response(b"must-understand=x").must_understand);
}

#[test]
fn bytes_beyond_ascii_are_no_directive_and_spoil_none() {
    assert!(response(b"\xff\xfe, no-store").no_store);
    assert!(!response(b"no-store\xff").malformed && response(b"no-store\xff").no_store);
    assert_eq!(response(b"max-age=60\xff").max_age, Delta::Invalid);
    assert_eq!(response(b"max-age=60, \xff=\"\xff\"").max_age, Delta::Seconds(60));
}
