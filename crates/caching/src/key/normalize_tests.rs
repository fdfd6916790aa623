use super::tests::policy;
use super::*;
use crate::testing::{any_value, headers};
use http::{HeaderMap, header};
use proptest::prelude::*;

/// The request after the changes.
fn normal(yaml: &str, pairs: &[(&str, &str)]) -> HeaderMap {
    let mut request = headers(pairs);
    for change in policy(yaml).normalize(&request) {
        request.remove(&change.name);
        request.extend(change.value.map(|value| (change.name.clone(), value)));
    }
    request
}

fn encoding(asked: &[(&str, &str)]) -> String {
    normal("accept_encoding: [zstd, br, gzip]", asked)["accept-encoding"].to_str().unwrap().to_owned()
}

fn language(asked: &str) -> Option<String> {
    let request = normal("accept_language: [en, de, de-CH, pt-BR]", &[("accept-language", asked)]);
    request.get("accept-language").map(|value| value.to_str().unwrap().to_owned())
}

#[test]
fn without_settings_nothing_changes() {
    assert!(policy("{}").normalize(&headers(&[("accept-encoding", "gzip"), ("cookie", "a=b")])).is_empty());
}

#[test]
fn known_codings_in_one_order() {
    for (asked, sent) in [
        ("gzip, deflate, br, zstd", "zstd, br, gzip"),
        ("br;q=0.1, GZIP;q=1", "br, gzip"),
        ("deflate", "identity"),
        ("gzip;q=0", "identity"),
        ("x-gzip", "gzip"),
        ("*", "zstd, br, gzip"),
        ("*, br;q=0", "zstd, gzip"),
        ("identity", "identity"),
        ("gzip, identity;q=0", "gzip, identity;q=0"),
        ("gzip, *;q=0", "gzip, identity;q=0"),
        ("*;q=0", "identity;q=0"),
        ("gzip;q=nonsense", "identity"),
        ("", "identity"),
    ] {
        assert_eq!(encoding(&[("accept-encoding", asked)]), sent, "{asked}");
    }
    assert_eq!(encoding(&[]), "identity");
    assert_eq!(encoding(&[("accept-encoding", "br"), ("accept-encoding", "gzip")]), "br, gzip");
}

#[test]
fn the_known_language_that_is_liked_best() {
    for (asked, sent) in [
        ("de", Some("de")),
        ("DE-ch", Some("de-CH")),
        ("de-AT, en;q=0.9", Some("de")),
        ("fr, en;q=0.5, de;q=0.6", Some("de")),
        ("en, de", Some("en")),
        ("de, en", Some("de")),
        ("fr", None),
        ("fr, *;q=0.1", Some("en")),
        ("de;q=0", None),
        ("pt", None),
        ("pt-BR-x-a", Some("pt-BR")),
        ("de;;", None),
        ("", None),
    ] {
        assert_eq!(language(asked).as_deref(), sent, "{asked}");
    }
}

#[test]
fn ignored_cookies_go_and_the_others_stay() {
    let left = |pairs: &[(&str, &str)]| {
        let request = normal("ignore_cookies: [_ga*, lang]", pairs);
        request.get_all(header::COOKIE).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(left(&[("cookie", "_ga=1; id=7; _gat_x=2; lang=de")]), ["id=7"]);
    assert_eq!(left(&[("cookie", "_ga=1"), ("cookie", "a=1; b=\"2\"")]), ["a=1; b=\"2\""]);
    assert_eq!(left(&[("cookie", "_ga=1;lang")]), [""; 0]);
    assert_eq!(left(&[("cookie", "id=7 ;x")]), ["id=7 ;x"], "untouched when nothing is ignored");
    assert_eq!(left(&[]), [""; 0]);
}

proptest! {
    /// Whatever comes in, what goes out is one of few, and stays as it is when it comes in again.
    #[test]
    fn normal_is_normal(encoding in any_value(), language in any_value(), cookie in any_value(), near in "[a-z*,;q=0.1 -]{0,30}") {
        let rules = policy("{ accept_encoding: [br, gzip], accept_language: [en, de], ignore_cookies: [a*] }");
        let near = http::HeaderValue::try_from(near).unwrap();
        for (encoding, language) in [(encoding, language), (near.clone(), near)] {
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, encoding);
            request.insert(header::ACCEPT_LANGUAGE, language);
            request.insert(header::COOKIE, cookie.clone());
            let apply = |request: &HeaderMap| {
                let mut request = request.clone();
                for change in rules.normalize(&request) {
                    request.remove(&change.name);
                    request.extend(change.value.map(|value| (change.name.clone(), value)));
                }
                request
            };
            let once = apply(&request);
            prop_assert!(once[header::ACCEPT_ENCODING].len() <= "br, gzip, identity;q=0".len());
            prop_assert!(once.get(header::ACCEPT_LANGUAGE).is_none_or(|tag| tag == "en" || tag == "de"));
            prop_assert!(cookie::pairs(&once).all(|(name, _)| !name.starts_with(b"a")));
            prop_assert_eq!(apply(&once), once);
        }
    }
}
