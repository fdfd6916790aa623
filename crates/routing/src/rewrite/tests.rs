use super::{Rewrite, RewriteError, RewriteSettings, groups};
use crate::{Captures, Condition, PathError, TemplateError};
use proptest::prelude::*;
use seawall_config::{Diagnostics, Path};

fn rewrite(yaml: &str) -> Result<Rewrite, RewriteError> {
    Rewrite::new(&serde_yaml::from_str::<RewriteSettings>(yaml).unwrap())
}

fn apply(yaml: &str, path: &str) -> Result<String, RewriteError> {
    rewrite(yaml).unwrap().apply(path, &Captures::default())
}

#[test]
fn changes_the_path_and_keeps_the_query() {
    for (yaml, from, to) in [
        ("{strip_prefix: /api}", "/api/x?q=1", "/x?q=1"),
        ("{strip_prefix: /api}", "/api", "/"),
        ("{strip_prefix: /api/}", "/api/", "/"),
        ("{strip_prefix: /api}", "/apix", "/apix"),
        ("{strip_prefix: /api}", "/other", "/other"),
        ("{strip_prefix: /api}", "/api?q", "/?q"),
        ("{strip_prefix: /api}", "/api//x", "//x"),
        ("{add_prefix: /v2}", "/x", "/v2/x"),
        ("{add_prefix: /v2/}", "/", "/v2/"),
        ("{strip_prefix: /a, add_prefix: /b}", "/a/x", "/b/x"),
        ("{regex: '^/u/(\\d+)$', replacement: '/user/$1'}", "/u/7?x", "/user/7?x"),
        ("{regex: '(?<n>\\d+)', replacement: '${n}x'}", "/1/2", "/1x/2"),
        ("{regex: nomatch, replacement: x}", "/a", "/a"),
        ("{regex: '\\d', replacement: '$$'}", "/a1", "/a$"),
        ("{strip_prefix: /a, regex: '^/b', replacement: /c, add_prefix: /d}", "/a/b", "/d/c"),
        ("{path: /fixed}", "/a?x=%2f", "/fixed?x=%2f"),
        ("{path: '{path}.html'}", "/a", "/a.html"),
        ("{add_prefix: /v}", "/a?b?c", "/v/a?b?c"),
    ] {
        assert_eq!(apply(yaml, from).as_deref(), Ok(to), "{yaml} {from}");
    }
}

#[test]
fn fills_captures_in() {
    let condition = Condition::pattern("/u/{id}/{*rest}").unwrap();
    let captures: Captures = condition.names().iter().zip(["7", "a/b"]).collect();
    let made = rewrite("{path: '/x/{rest}/{id}'}").unwrap();
    assert_eq!(made.apply("/u/7/a/b?q", &captures).as_deref(), Ok("/x/a/b/7?q"));
    assert_eq!(made.wanted_captures().collect::<Vec<_>>(), ["rest", "id"]);
}

#[test]
fn the_new_path_is_normal_or_refused() {
    // A regex can cut anywhere, so what it captures may climb.
    let condition = Condition::regex("^/x(.*)y").unwrap();
    let climb: Captures = condition.names().iter().zip(["../.."]).collect();
    let made = rewrite("{path: '/a/{1}/b'}").unwrap();
    assert_eq!(made.apply("/x../..y", &climb), Err(RewriteError::Result(PathError::AboveRoot)));
    let inside: Captures = condition.names().iter().zip([".."]).collect();
    assert_eq!(made.apply("/x..y", &inside).as_deref(), Ok("/b"));
    assert_eq!(
        apply("{regex: '^/', replacement: ''}", "/a"),
        Err(RewriteError::Result(PathError::NotAbsolute)),
        "a replacement may leave no path at all"
    );
    assert_eq!(apply("{regex: 'x.*', replacement: '..'}", "/a/x/y").as_deref(), Ok("/"));
}

#[test]
fn refuses_an_endless_result() {
    let long = format!("/{}", "a".repeat(40_000));
    assert_eq!(apply("{regex: '(.*)', replacement: '$1$1'}", &long), Err(RewriteError::TooLong));
}

#[test]
fn refuses_slips() {
    for (yaml, error) in [
        ("{}", RewriteError::Nothing),
        ("{strip_prefix: /}", RewriteError::Nothing),
        ("{path: /a, add_prefix: /b}", RewriteError::PathIsAll),
        ("{regex: a}", RewriteError::Half),
        ("{replacement: a}", RewriteError::Half),
        ("{path: a}", RewriteError::NotAPath),
        ("{path: '/a?b'}", RewriteError::NotAPath),
        ("{path: '{id}'}", RewriteError::NotAPath),
        ("{path: '/{host}'}", RewriteError::Template(TemplateError::CaptureOnly("host"))),
        ("{path: '/{uri}'}", RewriteError::Template(TemplateError::CaptureOnly("uri"))),
        ("{path: '/{query}'}", RewriteError::Template(TemplateError::CaptureOnly("query"))),
    ] {
        assert_eq!(rewrite(yaml).unwrap_err(), error, "{yaml}");
    }
    for (yaml, hint) in [
        ("{strip_prefix: api}", "begin with `/`"),
        ("{add_prefix: '/a/../b'}", "write `/b`"),
        ("{regex: '(', replacement: x}", "unclosed"),
        ("{regex: x, replacement: 'a b'}", "' '"),
        ("{regex: x, replacement: 'a?b'}", "'?'"),
        ("{regex: '(x)', replacement: '$2'}", "no group `2`"),
        ("{regex: '(x)', replacement: '$1st'}", "no group `1st`"),
        ("{regex: '(x)', replacement: '${name}'}", "no group `name`"),
    ] {
        let error = rewrite(yaml).unwrap_err().to_string();
        assert!(error.contains(hint), "{yaml}: {error}");
    }
}

#[test]
fn check_points_at_the_key() {
    for (yaml, path) in [
        ("{}", "rewrite"),
        ("{path: /a, add_prefix: /b}", "rewrite.path"),
        ("{regex: a}", "rewrite.regex"),
        ("{replacement: a}", "rewrite.replacement"),
        ("{regex: a, replacement: '$1'}", "rewrite.replacement"),
        ("{strip_prefix: a}", "rewrite.strip_prefix"),
        ("{path: '/{host}'}", "rewrite.path"),
    ] {
        let mut out = Diagnostics::default();
        serde_yaml::from_str::<RewriteSettings>(yaml).unwrap().check(&Path::root().key("rewrite"), &mut out);
        let found: Vec<String> = out.iter().map(|d| d.path.to_string()).collect();
        assert_eq!(found, [path], "{yaml}");
    }
}

#[test]
fn reads_groups_as_the_regex_crate_does() {
    assert_eq!(groups("/$1/${2}x/$name-$$5$"), ["1", "2", "name"]);
}

proptest! {
    #[test]
    fn what_comes_out_is_normal(path in "(/[a-z.]{0,3}){1,4}", capture in "[a-z./]{0,8}") {
        let condition = Condition::pattern("/{*rest}").unwrap();
        let captures: Captures = condition.names().iter().zip([capture.as_str()]).collect();
        for yaml in ["{path: '/a/{rest}'}", "{strip_prefix: /a}", "{regex: '[a-z]+', replacement: '..'}"] {
            if let Ok(new) = rewrite(yaml).unwrap().apply(&path, &captures) {
                prop_assert_eq!(crate::normalize_path(&new).unwrap(), new.as_str());
            }
        }
    }
}
