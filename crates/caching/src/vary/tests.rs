use super::*;
use crate::key::KeySettings;
use crate::testing::{any_value, headers};
use proptest::prelude::*;

fn fields(names: &[&str]) -> Vec<HeaderName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn parse(lines: &[&str]) -> Vary {
    let pairs: Vec<(&str, &str)> = lines.iter().map(|line| ("vary", *line)).collect();
    Vary::parse(&headers(&pairs), &[])
}

fn variant(vary: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
    let key = KeyPolicy::default();
    variance_key(&headers(pairs), &Selection { realm: "", key: &key, vary: &fields(&[vary]) }).unwrap()
}

fn same(field: &str, a: &str, b: &str) -> bool {
    variant(field, &[(field, a)]) == variant(field, &[(field, b)])
}

#[test]
fn names_are_sorted_and_single() {
    let expected = Vary::Fields(fields(&["accept", "accept-encoding", "x-a"]));
    assert_eq!(parse(&["X-A, Accept ,accept-encoding"]), expected);
    assert_eq!(parse(&["accept,, ACCEPT", " x-a", "accept-encoding,Accept,"]), expected);
    assert_eq!(parse(&[]), Vary::Fields(vec![]));
    assert_eq!(parse(&[""]), Vary::Fields(vec![]));
}

#[test]
fn a_star_anywhere_means_any() {
    for lines in [&["*"][..], &["accept, *"], &["*, accept"], &["accept", "*"], &[" * "]] {
        assert_eq!(parse(lines), Vary::Any, "{lines:?}");
    }
}

#[test]
fn what_is_no_field_name_means_any() {
    for line in ["accept encoding", "\"accept\"", "accept;q=1", "(accept)"] {
        assert_eq!(parse(&[line]), Vary::Any, "{line}");
    }
}

#[test]
fn ignored_fields_do_not_count() {
    let vary = Vary::parse(&headers(&[("vary", "Origin, Accept")]), &fields(&["origin"]));
    assert_eq!(vary, Vary::Fields(fields(&["accept"])));
    assert_eq!(Vary::parse(&headers(&[("vary", "Origin, *")]), &fields(&["origin"])), Vary::Any);
}

#[test]
fn the_width_is_bounded() {
    let names = |n: usize| (0..n).map(|i| format!("x-{i}")).collect::<Vec<_>>().join(",");
    assert!(matches!(parse(&[&names(MAX_FIELDS)]), Vary::Fields(found) if found.len() == MAX_FIELDS));
    assert_eq!(parse(&[&names(MAX_FIELDS + 1)]), Vary::TooWide);
}

#[test]
fn nothing_to_tell_apart_is_no_variant() {
    let key = KeyPolicy::default();
    assert_eq!(variance_key(&HeaderMap::new(), &Selection { realm: "", key: &key, vary: &[] }), None);
}

#[test]
fn realm_and_selectors_count_too() {
    let settings: KeySettings = serde_yaml::from_str("{ headers: [x-a], cookies: [c] }").unwrap();
    let key = KeyPolicy::new(&settings).unwrap();
    let none = KeyPolicy::default();
    let of = |realm, key, pairs: &[(&str, &str)]| {
        variance_key(&headers(pairs), &Selection { realm, key, vary: &[] })
    };
    assert!(of("", &key, &[]).is_some());
    assert_ne!(of("", &key, &[("x-a", "1")]), of("", &key, &[("x-a", "2")]));
    assert_ne!(of("", &key, &[("cookie", "c=1")]), of("", &key, &[("cookie", "c=2")]));
    assert_eq!(of("", &key, &[("cookie", "d=1")]), of("", &key, &[("cookie", "d=2")]));
    assert_ne!(of("blue", &none, &[]), of("green", &none, &[]));
    assert_eq!(of("blue", &none, &[]), of("blue", &none, &[("x-a", "1")]));
}

#[test]
fn absent_empty_and_full_differ() {
    let (absent, empty, full) =
        (variant("x-a", &[]), variant("x-a", &[("x-a", "")]), variant("x-a", &[("x-a", "1")]));
    assert!(absent != empty && empty != full && absent != full);
    assert_eq!(variant("x-a", &[("x-b", "1")]), absent);
}

#[test]
fn lines_and_whitespace_of_any_field() {
    let joined = variant("x-a", &[("x-a", "1, 2")]);
    assert_eq!(variant("x-a", &[("x-a", "1"), ("x-a", "2")]), joined);
    assert!(same("x-a", "1, 2", "1,2") && same("x-a", " 1 ,\t2 ", "1,2"));
    assert!(!same("x-a", "1, 2", "2, 1"));
    assert!(!same("x-a", "1 2", "12") && !same("x-a", "a", "A"));
    assert!(!same("x-a", "\"1, 2\"", "\"1,2\""));
}

#[test]
fn codings_are_a_set() {
    let same = |a, b| same("accept-encoding", a, b);
    assert!(same("gzip, br", "br,gzip"));
    assert!(same("gzip;q=0.5, BR", "br;q=1.0 , gzip"));
    assert!(same("x-gzip", "gzip"));
    assert!(same("gzip, identity", "gzip"));
    assert!(same("identity", ""));
    assert!(same("gzip, br;q=0", "gzip"));
    assert!(same("*;q=0, gzip", "gzip, identity;q=0"));
}

#[test]
fn different_codings_stay_apart() {
    let same = |a, b| same("accept-encoding", a, b);
    assert!(!same("gzip", "br"));
    assert!(!same("gzip, unknown", "gzip"), "the origin may know a coding that we do not");
    assert!(!same("gzip;q=0", "gzip"));
    assert!(!same("*", ""));
    assert!(!same("*, br;q=0", "*"));
    assert!(!same("gzip, identity;q=0", "gzip"));
    assert!(!same("*;q=0", ""));
    assert_ne!(variant("accept-encoding", &[]), variant("accept-encoding", &[("accept-encoding", "")]));
}

#[test]
fn languages_by_weight() {
    let same = |a, b| same("accept-language", a, b);
    assert!(same("en, DE", "de,en"));
    assert!(same("de;q=0.5, en", "en;q=1.000, de;q=0.50"));
    assert!(!same("de, en;q=0.5", "en, de;q=0.5"));
    assert!(!same("de, en;q=0.5", "de, en;q=0.4"));
    assert!(!same("de", "de-AT") && !same("de", "de, en;q=0"));
}

#[test]
fn what_cannot_be_weighed_is_compared_as_it_is() {
    for field in ["accept-encoding", "accept-language"] {
        for value in
            ["gzip;q=2", "gzip;q=0.1234", "gzip;q=x", "gzip;v=1", "gzip;q=1;v=2", "a b", "gzip, gzip;q=0"]
        {
            assert!(same(field, value, value), "{value}");
            assert!(!same(field, value, "gzip"), "{field} {value}");
        }
    }
    let many = (0..40).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
    assert!(same("accept-encoding", &many, &many) && !same("accept-encoding", &many, "c0"));
}

proptest! {
    #[test]
    fn never_panics(vary in any_value(), value in any_value(), again in any_value()) {
        let mut map = HeaderMap::new();
        map.insert(header::VARY, vary);
        for name in [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::ACCEPT] {
            map.append(&name, value.clone());
            map.append(&name, again.clone());
        }
        let _ = Vary::parse(&map, &[]);
        let key = KeyPolicy::default();
        let names = [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE];
        let _ = variance_key(&map, &Selection { realm: "", key: &key, vary: &names });
    }

    #[test]
    fn equal_up_to_normalising_is_equal(
        mut codings in prop::collection::btree_map("[a-z]{1,6}", 1u16..1000, 0..6),
        seed in any::<u64>(),
    ) {
        codings.remove("q");
        let plain: Vec<String> = codings.iter().map(|(name, q)| format!("{name};q=0.{q:03}")).collect();
        let mut shuffled: Vec<String> =
            codings.iter().map(|(name, q)| format!(" {};Q=0.{q:03}\t", name.to_ascii_uppercase())).collect();
        let turn = if shuffled.is_empty() { 0 } else { seed as usize % shuffled.len() };
        shuffled.rotate_left(turn);
        for field in ["accept-encoding", "accept-language"] {
            prop_assert!(same(field, &plain.join(", "), &shuffled.join(",")));
        }
    }

    /// RFC 9111 §4.1 on any bytes: matching is symmetric; blanks around members, lines instead of commas and, where a
    /// field has it so, order and case do not matter.
    #[test]
    fn matching_is_symmetric_and_blind_to_form(
        a in prop::collection::vec("[a-zA-Z*]{1,4}(;q=(0|1|0\\.[0-9]{1,3}))?", 0..5),
        b in prop::collection::vec("[a-zA-Z*]{1,4}(;q=(0|1|0\\.[0-9]{1,3}))?", 0..5),
        blank in "[ \t]{0,2}", turn in any::<usize>(), any_a in any_value(), any_b in any_value(),
    ) {
        for field in ["accept-encoding", "accept-language", "x-a"] {
            let of = |value: &http::HeaderValue| {
                let mut map = HeaderMap::new();
                map.insert(http::HeaderName::from_static(field), value.clone());
                variance_key(&map, &Selection { realm: "", key: &KeyPolicy::default(), vary: &fields(&[field]) })
            };
            prop_assert_eq!(of(&any_a) == of(&any_b), of(&any_b) == of(&any_a));
            prop_assert_eq!(same(field, &a.join(","), &b.join(",")), same(field, &b.join(","), &a.join(",")));
            let lines: Vec<(&str, &str)> = a.iter().map(|member| (field, member.as_str())).collect();
            if !a.is_empty() {
                prop_assert_eq!(variant(field, &lines), variant(field, &[(field, &a.join(&format!("{blank},{blank}")))]));
            }
        }
        let mut turned = a.clone();
        turned.rotate_left(turn % a.len().max(1));
        turned.iter_mut().for_each(|member| member.make_ascii_uppercase());
        let mut names: Vec<String> = a.iter().map(|m| m.split(';').next().unwrap_or("").to_lowercase()).collect();
        names.sort();
        names.dedup();
        // A name with two weights has no meaning, and is compared as it is.
        if names.len() == a.len() {
            prop_assert!(same("accept-encoding", &a.join(","), &turned.join(",")));
            prop_assert!(same("accept-language", &a.join(","), &turned.join(",")));
        }
    }

    #[test]
    fn a_field_that_is_not_named_never_counts(value in any_value()) {
        let base = headers(&[("accept", "a")]);
        let mut more = base.clone();
        more.insert("x-other", value);
        let key = KeyPolicy::default();
        let names = [header::ACCEPT];
        let selection = Selection { realm: "", key: &key, vary: &names };
        prop_assert_eq!(variance_key(&base, &selection), variance_key(&more, &selection));
    }

    /// Fields without a known normalisation: equal keys only for equal members.
    #[test]
    fn different_members_are_different_variants(
        a in prop::collection::vec("[a-zA-Z0-9=;]{1,4}", 1..4), b in prop::collection::vec("[a-zA-Z0-9=;]{1,4}", 1..4),
    ) {
        prop_assert_eq!(same("x-a", &a.join(","), &b.join(" , ")), a == b);
    }
}
