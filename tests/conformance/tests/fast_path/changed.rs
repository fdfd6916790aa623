//! Requests between which something happens to what is stored.

use crate::call;
use crate::get;
use crate::pair::Pair;

pub(crate) const LANGUAGES: [&str; 3] = ["de", "en", "fr"];

/// All variants, over both versions of HTTP.
fn languages(pair: &mut Pair, when: &str, path: &str) {
    for language in LANGUAGES {
        pair.both(&format!("{path} in {language}, {when}"), &get(path, &[("Accept-Language", language)]));
    }
}

/// Asks for all of them twice.
fn look(pair: &mut Pair, when: &str) {
    for time in ["first", "then"] {
        for path in ["/length", "/etag", "/tags", "/zone/tags", "/keyed/length?a=1&b=2"] {
            pair.both(&format!("{path} {when}, {time}"), &get(path, &[]));
        }
    }
}

#[test]
fn purges() {
    let mut pair = Pair::new();
    look(&mut pair, "at first");
    for mode in ["--hard", "--soft"] {
        for what in [
            &["http://example.com/length"][..],
            &["--tag", "red"],
            &["--tag", "red", "--zone", "second"],
            &["--prefix", "example.com/keyed/"],
            &["--host", "example.com"],
            &["--everything"],
        ] {
            pair.control(&[&["purge"], what, &[mode]].concat());
            look(&mut pair, &format!("after {what:?} {mode}"));
        }
    }
    for path in ["/length", "/keyed/length?b=2&a=1", "/zone/tags", "/tags"] {
        pair.both(&format!("PURGE {path}"), &call("PURGE", path, &[]));
        look(&mut pair, &format!("after PURGE {path}"));
    }
    pair.finish(301.0);
}

#[test]
fn purges_of_variants() {
    let mut pair = Pair::new();
    for path in ["/language", "/keyed/language", "/pressed/page"] {
        languages(&mut pair, "at first", path);
        let url = format!("http://example.com{path}");
        for mode in ["--soft", "--hard"] {
            pair.control(&["purge", &url, mode]);
            // Another one than the first that was stored now stands for all, and the others come in another order.
            for language in ["fr", "de", "fr", "en", "fr", "de"] {
                let wanted = get(path, &[("Accept-Language", language)]);
                pair.both(&format!("{path} in {language} after {mode}"), &wanted);
            }
            languages(&mut pair, "again", path);
        }
        pair.h1("PURGE", &call("PURGE", path, &[]));
        languages(&mut pair, "after PURGE", path);
        languages(&mut pair, "at last", path);
    }
    pair.finish(134.0);
}

#[test]
fn changes_by_unsafe_methods() {
    let mut pair = Pair::new();
    for path in ["/length", "/language", "/zone/length", "/keyed/length?a=1"] {
        for method in ["POST", "DELETE"] {
            pair.both(&format!("{path} before"), &get(path, &[]));
            pair.h1(&format!("{method} {path}"), &call(method, path, &[]).body("change"));
            pair.both(&format!("{path} after {method}"), &get(path, &[]));
        }
    }
    pair.finish(20.0);
}

#[test]
fn stale_responses() {
    let mut pair = Pair::new();
    // Stale when they come; softly purged; and refreshed with what is fresh. A refresh
    // counts as under way before its answer is read, and is over when the next request is sent.
    for path in ["/stale", "/late/stale", "/late/revalidated", "/late/etag", "/revalidated", "/demands/stale"]
    {
        for time in 0..4 {
            pair.both(&format!("{path}, {time}"), &get(path, &[]));
            pair.both(&format!("HEAD {path}, {time}"), &call("HEAD", path, &[]));
            pair.both(
                &format!("{path} if cached, {time}"),
                &get(path, &[("Cache-Control", "only-if-cached")]),
            );
        }
        pair.control(&["purge", &format!("http://example.com{path}"), "--soft"]);
        for time in 0..3 {
            pair.both(&format!("{path} purged softly, {time}"), &get(path, &[]));
        }
    }
    pair.finish(28.0);
}

#[test]
fn rules_that_avoid_the_cache() {
    let mut pair = Pair::new();
    for fields in
        [&[][..], &[("Cookie", "session=1")], &[("Cookie", "other=1")], &[("Cookie", "a=1; session=2")], &[]]
    {
        for path in ["/avoid/length", "/avoid/length?draft=1", "/avoid/length?draft"] {
            pair.both(&format!("{path} with {fields:?}"), &get(path, fields));
        }
    }
    pair.finish(5.0);
}
