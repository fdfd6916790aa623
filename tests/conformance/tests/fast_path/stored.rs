//! Every kind of stored response, fetched and then taken from memory, over both versions of HTTP.

use crate::pair::Pair;
use crate::{call, get};

/// What the origin answers, and how many of four hits are for the fast path: none of what has no length of its own and a
/// status other than 200, and one less where the first of them learns a rule of No-Vary-Search.
pub(crate) const STORED: [(&str, f64); 45] = [
    ("length", 4.0),
    ("chunked", 4.0),
    ("closed", 4.0),
    ("http10", 4.0),
    ("404", 4.0),
    ("404chunked", 0.0),
    ("301", 4.0),
    ("301bare", 4.0),
    ("204", 0.0),
    ("203", 4.0),
    ("410", 4.0),
    ("500", 4.0),
    ("reason", 4.0),
    ("empty", 4.0),
    ("emptychunked", 4.0),
    ("etag", 4.0),
    ("weak", 4.0),
    ("dated", 4.0),
    ("date", 4.0),
    ("expires", 4.0),
    ("aged", 4.0),
    ("language", 4.0),
    ("encoding", 4.0),
    ("several", 4.0),
    ("star", 0.0),
    ("cookie", 0.0),
    ("publiccookie", 0.0),
    ("nocookie", 4.0),
    ("tags", 4.0),
    ("surrogate", 4.0),
    ("cdn", 4.0),
    ("search", 3.0),
    ("large", 4.0),
    ("pieces", 4.0),
    ("page", 4.0),
    ("fields", 4.0),
    ("hop", 4.0),
    ("trailer", 4.0),
    ("private", 0.0),
    ("nostore", 0.0),
    ("revalidated", 0.0),
    ("must", 4.0),
    ("immutable", 4.0),
    ("auth", 4.0),
    ("hints", 4.0),
];

/// A fetch and four times more.
fn fetch_and_hit(pair: &mut Pair, path: &str) {
    pair.h1(&format!("{path}, first"), &get(path, &[]));
    pair.all_ways(path, path, &[]);
}

/// All of `names` below `folder`.
fn below(pair: &mut Pair, folder: &str, names: &[&str]) {
    for name in names {
        fetch_and_hit(pair, &format!("{folder}{name}"));
    }
}

#[test]
fn responses_of_all_kinds() {
    let mut pair = Pair::new();
    let mut taken = Vec::new();
    for (name, _) in STORED {
        let before = pair.taken();
        fetch_and_hit(&mut pair, &format!("/{name}"));
        taken.push((name, pair.taken() - before));
    }
    assert_eq!(taken, STORED);
    pair.finish(STORED.iter().map(|(_, hits)| hits).sum());
}

#[test]
fn with_the_key_shown() {
    let mut pair = Pair::with_key();
    below(&mut pair, "/", &["length", "language", "aged"]);
    below(&mut pair, "/keyed/", &["length"]);
    pair.finish(4.0 * 4.0);
}

#[test]
fn on_routes_that_change_the_answer() {
    let mut pair = Pair::new();
    below(&mut pair, "/fields/", &["length", "fields", "404", "301", "empty", "tags", "large"]);
    below(&mut pair, "/moved/", &["length", "fields", "search"]);
    below(&mut pair, "/zone/", &["length", "language", "large"]);
    pair.finish(13.0 * 4.0 - 1.0);
}

#[test]
fn on_routes_that_have_no_cache() {
    let mut pair = Pair::new();
    below(&mut pair, "/plain/", &["length", "large"]);
    below(&mut pair, "/old/", &["length"]);
    below(&mut pair, "/", &["probe"]);
    pair.finish(0.0);
}

#[test]
fn compressed_by_the_node() {
    let mut pair = Pair::new();
    for accept in ["gzip", "br", "zstd, br;q=0.5", "identity", "*", "gzip;q=0", "deflate"] {
        for path in ["/pressed/page", "/pressed/encoding", "/pressed/length", "/pressed/large"] {
            let fields = [("Accept-Encoding", accept)];
            for time in ["first", "then"] {
                pair.h1(&format!("{path} in {accept}, {time}"), &get(path, &fields));
            }
            pair.h1(&format!("HEAD {path} in {accept}"), &call("HEAD", path, &fields));
            pair.h2(&format!("{path} in {accept}, over HTTP/2"), &[get(path, &fields)]);
        }
    }
    pair.finish(102.0);
}

#[test]
fn variants() {
    let mut pair = Pair::new();
    for language in ["de", "en", "de, en;q=0.5", "fr", "en-GB, en"] {
        for path in ["/language", "/keyed/language", "/zone/language"] {
            let wanted = get(path, &[("Accept-Language", language)]);
            for time in ["first", "then"] {
                pair.both(&format!("{path} in {language}, {time}"), &wanted);
            }
        }
    }
    for (one, two) in [("a", "b"), ("ab", ""), ("", "ab"), ("a", "b")] {
        let wanted = get("/several", &[("X-One", one), ("X-Two", two)]);
        pair.both(&format!("{one:?} and {two:?}"), &wanted);
    }
    pair.finish(52.0);
}

#[test]
fn names_with_selectors_and_parameters() {
    let mut pair = Pair::new();
    let paths = ["/keyed/length?b=2&a=1&utm_x=1", "/keyed/length?a=1&b=2", "/keyed/length?utm_y=3&b=2&a=1"];
    for (country, cookie) in
        [("de", "currency=EUR"), ("fr", "x=1; currency=EUR"), ("de", "currency=USD"), ("de", "")]
    {
        for path in paths {
            let wanted = get(path, &[("X-Country", country), ("Cookie", cookie)]);
            pair.both(&format!("{path} from {country} with {cookie}"), &wanted);
        }
    }
    for query in ["id=1&utm=a", "id=1&utm=b", "id=1&utm=c", "utm=d&id=1", "id=2&utm=c", "id=2", "id=1&utm=a"]
    {
        pair.both(query, &get(&format!("/search?{query}"), &[]));
        pair.both(query, &get(&format!("/keyed/search?{query}"), &[]));
    }
    pair.finish(42.0);
}

/// The control: what differs between two nodes is seen, in answers and in the log.
#[test]
fn nodes_that_differ_are_told_apart() {
    let mut pair = Pair::unlike();
    fetch_and_hit(&mut pair, "/length");
    let (differences, _) = pair.end();
    let seen = |what: &str| differences.iter().any(|difference| difference.starts_with(what));
    assert!(seen("/length, first:\n  with the fast path:"), "{differences:?}");
    assert!(seen("lines of the log with"), "{differences:?}");
}
