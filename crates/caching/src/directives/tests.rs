use super::*;
use crate::syntax::MAX_DELTA;
use crate::testing::{any_value, headers};
use proptest::prelude::*;

fn response(value: &str) -> ResponseDirectives {
    ResponseDirectives::effective(&headers(&[("cache-control", value)]))
}

fn request(value: &str) -> RequestDirectives {
    RequestDirectives::parse(&headers(&[("cache-control", value)]))
}

#[test]
fn nothing_said() {
    let none = ResponseDirectives::effective(&HeaderMap::new());
    assert_eq!(none, ResponseDirectives::default());
    assert_eq!(none.source, Source::Nothing);
    assert_eq!(response("").source, Source::CacheControl);
}

#[test]
fn all_directives_without_regard_to_case() {
    let all = response(
        "MAX-AGE=1, S-MaxAge=2, stale-While-Revalidate=3, Stale-If-Error=4, No-Store, No-Cache, Private, \
         Public, Must-Revalidate, Proxy-Revalidate, Must-Understand",
    );
    assert_eq!(all.max_age, Delta::Seconds(1));
    assert_eq!(all.s_maxage, Delta::Seconds(2));
    assert_eq!(all.stale_while_revalidate, Delta::Seconds(3));
    assert_eq!(all.stale_if_error, Delta::Seconds(4));
    assert!(all.no_store && all.public && all.must_revalidate && all.proxy_revalidate && all.must_understand);
    assert!(all.no_cache.is_all() && all.private.is_all());
}

#[test]
fn lines_are_joined() {
    let map = headers(&[("cache-control", "max-age=60"), ("cache-control", "no-store, s-maxage=5")]);
    let joined = ResponseDirectives::effective(&map);
    assert_eq!(joined.max_age, Delta::Seconds(60));
    assert_eq!(joined.s_maxage, Delta::Seconds(5));
    assert!(joined.no_store);
}

#[test]
fn of_two_numbers_the_smaller_counts() {
    assert_eq!(response("max-age=3600, max-age=1").max_age, Delta::Seconds(1));
    assert_eq!(response("max-age=1, max-age=3600").max_age, Delta::Seconds(1));
}

#[test]
fn one_bad_number_spoils_all() {
    for value in [
        "max-age",
        "max-age=",
        "max-age=-1",
        "max-age=60.0",
        "max-age='60'",
        "max-age=60s",
        "max-age =60",
        "max-age= 60",
        "max-age=60;foo",
        "max-age=\"60",
        "max-age=60, max-age=x",
        "max-age=x, max-age=60",
    ] {
        assert_eq!(response(value).max_age, Delta::Invalid, "{value}");
    }
}

#[test]
fn both_forms_of_an_argument_count() {
    assert_eq!(response("max-age=\"60\"").max_age, Delta::Seconds(60));
    assert_eq!(response("max-age=\"6\\0\"").max_age, Delta::Seconds(60));
}

#[test]
fn numbers_saturate() {
    assert_eq!(response("max-age=99999999999999999999").max_age, Delta::Seconds(MAX_DELTA));
}

#[test]
fn what_stands_in_quotes_is_no_directive() {
    let quoted = response("ext=\"no-store, max-age=1, private\", max-age=60");
    assert!(!quoted.no_store && !quoted.private.is_all());
    assert_eq!(quoted.max_age, Delta::Seconds(60));
    assert!(!quoted.malformed);
}

#[test]
fn an_open_quote_is_malformed() {
    assert!(response("ext=\"no-store, max-age=60").malformed);
    assert!(!response("ext=\"a\", max-age=60").malformed);
}

#[test]
fn restrictions_count_however_they_are_dressed() {
    for value in ["no-store=1", "no-store=\"x\"", "no-store; max-age=60", " ,, NO-STORE ,", "no-store="] {
        assert!(response(value).no_store, "{value}");
    }
    for value in ["private=", "private=\"\"", "private=\"a b\"", "private; x", "private, private=\"foo\""] {
        assert!(response(value).private.is_all(), "{value}");
    }
}

#[test]
fn near_names_are_other_directives() {
    let near = response("xno-store, no-stored, max-ages=1, nostore, private2");
    assert!(!near.no_store && !near.private.is_all());
    assert_eq!(near.max_age, Delta::Absent);
}

#[test]
fn permissions_count_in_their_proper_form_only() {
    assert!(response("public").public);
    assert!(!response("public=1").public);
    assert!(!response("public;").public);
    assert!(!response("must-understand=0").must_understand);
}

#[test]
fn qualified_directives_name_fields() {
    let named = response("private=\"X-A, set-cookie\", no-cache=x-b, private=x-c");
    let fields: Vec<_> = named.private.fields().iter().map(HeaderName::as_str).collect();
    assert_eq!(fields, ["x-a", "set-cookie", "x-c"]);
    assert_eq!(named.no_cache.fields(), [HeaderName::from_static("x-b")]);
    assert!(!named.private.is_all());
}

#[test]
fn withholding_an_indispensable_field_withholds_all() {
    for field in INDISPENSABLE {
        assert!(response(&format!("private=\"x-a, {field}\"")).private.is_all(), "{field}");
    }
}

#[test]
fn too_many_names_mean_everything() {
    let names = |n: usize| (0..n).map(|i| format!("x-{i}")).collect::<Vec<_>>().join(", ");
    let named = |n: usize| response(&format!("no-cache=\"{}\"", names(n))).no_cache;
    assert_eq!(named(MAX_FIELD_NAMES).fields().len(), MAX_FIELD_NAMES);
    assert!(named(MAX_FIELD_NAMES + 1).is_all());
}

#[test]
fn what_no_client_lifts() {
    for value in ["must-revalidate", "proxy-revalidate", "s-maxage=1", "s-maxage=x", "no-cache"] {
        assert!(response(value).forbids_max_stale(), "{value}");
    }
    for value in ["max-age=1", "no-cache=\"x-a\"", "stale-if-error=1"] {
        assert!(!response(value).forbids_max_stale(), "{value}");
    }
}

#[test]
fn request_directives() {
    let all = request("no-cache, No-Store, ONLY-if-cached, max-age=1, min-fresh=2, max-stale=3");
    assert!(all.no_cache && all.no_store && all.only_if_cached);
    assert_eq!((all.max_age, all.min_fresh), (Delta::Seconds(1), Delta::Seconds(2)));
    assert_eq!(all.max_stale, MaxStale::Seconds(3));
    assert_eq!(request("max-stale").max_stale, MaxStale::Any);
    assert_eq!(request("max-stale=x").max_stale, MaxStale::None);
}

#[test]
fn pragma_counts_only_alone() {
    let pragma = |pairs: &[(&str, &str)]| RequestDirectives::parse(&headers(pairs)).no_cache;
    assert!(pragma(&[("pragma", "No-Cache")]));
    assert!(pragma(&[("pragma", "foo, no-cache")]));
    assert!(!pragma(&[("pragma", "foo")]));
    assert!(!pragma(&[("pragma", "no-cache"), ("cache-control", "max-age=1")]));
}

#[test]
fn a_targeted_field_takes_the_place_of_cache_control() {
    let map = headers(&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=60")]);
    let directives = ResponseDirectives::effective(&map);
    assert_eq!(directives.source, Source::Targeted(TARGETS[1].clone()));
    assert!(!directives.no_store && !directives.heeds_expires());
    assert_eq!(directives.max_age, Delta::Seconds(60));
}

#[test]
fn our_own_target_comes_first() {
    let map = headers(&[("cdn-cache-control", "max-age=60"), ("seawall-cdn-cache-control", "no-store")]);
    assert!(ResponseDirectives::effective(&map).no_store);
    let map = headers(&[("cdn-cache-control", "no-store"), ("seawall-cdn-cache-control", "=")]);
    assert!(ResponseDirectives::effective(&map).no_store, "an invalid first target gives way to the second");
}

#[test]
fn an_invalid_or_empty_target_is_ignored_as_a_whole() {
    for value in ["", "   ", "max-age=60,", "max-age=60, &&", "Max-Age=60", "max-age=60; ", "max-age=\"60"] {
        let map = headers(&[("cache-control", "max-age=5"), ("cdn-cache-control", value)]);
        let directives = ResponseDirectives::effective(&map);
        assert_eq!(directives.source, Source::CacheControl, "{value}");
        assert_eq!(directives.max_age, Delta::Seconds(5), "{value}");
    }
}

#[test]
fn targeted_lines_form_one_dictionary() {
    let map = headers(&[("cdn-cache-control", "max-age=60"), ("cdn-cache-control", "no-store;why=1")]);
    let directives = ResponseDirectives::effective(&map);
    assert!(directives.no_store);
    assert_eq!(directives.max_age, Delta::Seconds(60));
}

#[test]
fn a_targeted_value_of_the_wrong_type_grants_nothing() {
    for value in ["max-age=\"60\"", "max-age=60.5", "max-age=-60", "max-age=(60)", "max-age", "max-age=a60"] {
        let map = headers(&[("cdn-cache-control", value)]);
        assert_eq!(ResponseDirectives::effective(&map).max_age, Delta::Invalid, "{value}");
    }
    let map = headers(&[("cdn-cache-control", "no-store=?0, private=\"x-a\", public=?1, max-age=9")]);
    let directives = ResponseDirectives::effective(&map);
    assert!(!directives.no_store && directives.public);
    assert_eq!(directives.private.fields().len(), 1);
}

proptest! {
    #[test]
    fn never_panics(values in prop::collection::vec(any_value(), 1..4)) {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(http::header::CACHE_CONTROL, value.clone());
            map.append("cdn-cache-control", value);
        }
        let _ = ResponseDirectives::effective(&map);
        let _ = ResponseDirectives::cache_control(&map);
        let _ = RequestDirectives::parse(&map);
    }

    /// A reference grammar: any list of well-formed directives is read as what was written.
    #[test]
    fn reads_what_is_written(
        max_age in prop::option::of(any::<u32>()),
        no_store in any::<bool>(),
        private in any::<bool>(),
        extension in prop::option::of("[a-z]{1,8}x=\"[ -!#-\\[\\]-~]{0,12}\""),
        upper in any::<bool>(),
        first in any::<bool>(),
    ) {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(max_age.map(|n| format!("max-age={n}")));
        parts.extend(no_store.then(|| "no-store".to_owned()));
        parts.extend(private.then(|| "private".to_owned()));
        let mut value = parts.join(" ,, ");
        if upper {
            value = value.to_ascii_uppercase();
        }
        if let Some(extension) = extension {
            value = if first { format!("{extension},{value}") } else { format!("{value},{extension}") };
        }
        let read = response(&value);
        prop_assert_eq!(read.max_age.seconds(), max_age.map(|n| n.min(MAX_DELTA)), "{}", value);
        prop_assert_eq!(read.no_store, no_store);
        prop_assert_eq!(read.private.is_all(), private);
        prop_assert!(!read.malformed);
    }

    /// More text never makes a restrictive response less so.
    #[test]
    fn an_addition_never_lifts_no_store(value in any_value()) {
        let mut map = headers(&[("cache-control", "no-store")]);
        map.append(http::header::CACHE_CONTROL, value);
        prop_assert!(ResponseDirectives::cache_control(&map).no_store);
    }
}
