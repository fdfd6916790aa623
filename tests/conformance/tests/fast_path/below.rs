//! Requests for what is on a disk, and nothing of it in memory: the first is answered from there, the second, too, and brings
//! it up.

use seawall_testkit::Call;

use crate::asked::FIELDS;
use crate::changed::LANGUAGES;
use crate::pair::Pair;
use crate::stored::STORED;
use crate::{call, get};

fn all(paths: &[String]) -> Vec<Call> {
    paths.iter().map(|path| get(path, &[])).collect()
}

/// The end: so many hits came from memory and from the disk, and so many of them took the fast path.
#[track_caller]
fn finish(pair: Pair, wanted: [f64; 3]) {
    let ([memory, disk], taken) = (pair.hits(), pair.taken());
    assert_eq!([memory, disk, taken], wanted, "hits in memory, on the disk, and on the fast path");
    pair.finish(taken);
}

#[test]
fn responses_of_all_kinds() {
    let paths = STORED.map(|(name, _)| format!("/{name}"));
    let mut pair = Pair::with_on_disk(&all(&paths));
    for path in &paths {
        pair.all_ways(path, path, &[]);
    }
    finish(pair, [78.0, 82.0, 142.0]);
}

#[test]
fn on_routes_that_change_the_answer() {
    let names = ["length", "fields", "404", "301", "empty", "tags", "language", "search", "chunked"];
    let paths: Vec<_> = ["/fields/", "/moved/", "/zone/", "/keyed/"]
        .iter()
        .flat_map(|folder| names.map(|name| format!("{folder}{name}")))
        .collect();
    let mut pair = Pair::with_on_disk(&all(&paths));
    for path in &paths {
        pair.both(path, &get(path, &[]));
        pair.both(&format!("{path} again"), &get(path, &[]));
    }
    finish(pair, [72.0, 72.0, 144.0]);
}

#[test]
fn fields_of_requests() {
    let bases = ["/etag", "/language", "/pressed/page"];
    let path = |base: &str, number: usize| format!("{base}?n={number}");
    let paths: Vec<_> =
        bases.iter().flat_map(|base| (0..FIELDS.len()).map(move |number| path(base, number))).collect();
    let mut pair = Pair::with_on_disk(&all(&paths));
    for base in bases {
        for (number, field) in FIELDS.into_iter().enumerate() {
            let wanted = get(&path(base, number), &[field]);
            pair.both(&format!("{base} with {field:?}"), &wanted);
        }
    }
    finish(pair, [4.0, 372.0, 254.0]);
}

#[test]
fn variants_and_codings() {
    let codings = ["gzip", "br", "zstd, br;q=0.5", "identity", "gzip;q=0"];
    let wanted: Vec<Call> = ["/language", "/keyed/language", "/zone/language"]
        .iter()
        .flat_map(|path| LANGUAGES.map(|language| get(path, &[("Accept-Language", language)])))
        .chain(
            ["/pressed/page", "/pressed/encoding", "/pressed/length"]
                .iter()
                .flat_map(|path| codings.map(|coding| get(path, &[("Accept-Encoding", coding)]))),
        )
        .collect();
    let mut pair = Pair::with_on_disk(&wanted);
    // Others than that which stands for all are asked for first.
    for time in 0..3 {
        for (number, call) in wanted.iter().enumerate().rev() {
            pair.both(&format!("call {number}, {time}"), call);
        }
    }
    finish(pair, [192.0, 36.0, 144.0]);
}

#[test]
fn purges() {
    let names = ["length", "etag", "tags", "dated", "language"];
    let ways: [&[&str]; 6] = [
        &["--tag", "red", "--soft"],
        &["--tag", "warm", "--hard"],
        &["http://example.com/length?n=2", "--soft"],
        &["http://example.com/etag?n=3", "--hard"],
        &["--prefix", "example.com/dated", "--soft"],
        &["--everything", "--hard"],
    ];
    let paths: Vec<_> =
        (0..=ways.len()).flat_map(|time| names.map(|name| format!("/{name}?n={time}"))).collect();
    let mut pair = Pair::with_on_disk(&all(&paths));
    let look = |pair: &mut Pair, time: usize| {
        for name in names {
            let path = format!("/{name}?n={time}");
            pair.both(&path, &get(&path, &[]));
            pair.both(&format!("{path} again"), &get(&path, &[]));
        }
    };
    look(&mut pair, 0);
    for (time, way) in ways.iter().enumerate() {
        pair.control(&[&["purge"], *way].concat());
        look(&mut pair, time + 1);
        look(&mut pair, 0);
    }
    finish(pair, [194.0, 51.0, 241.0]);
}

#[test]
fn changes() {
    let stale =
        ["/stale", "/late/stale", "/late/revalidated", "/late/etag", "/revalidated", "/demands/stale"];
    let changed = ["/length", "/language", "/zone/length", "/keyed/length?a=1"];
    let paths: Vec<_> = stale.iter().chain(&changed).map(|path| (*path).to_owned()).collect();
    let mut pair = Pair::with_on_disk(&all(&paths));
    for path in stale {
        for time in 0..3 {
            pair.h1(&format!("{path}, {time}"), &get(path, &[]));
            pair.h1(&format!("{path} if cached, {time}"), &get(path, &[("Cache-Control", "only-if-cached")]));
        }
    }
    for path in changed {
        pair.h1(&format!("{path} before"), &get(path, &[]));
        pair.h1(&format!("POST {path}"), &call("POST", path, &[]).body("change"));
        pair.both(&format!("{path} after"), &get(path, &[]));
    }
    finish(pair, [52.0, 16.0, 14.0]);
}
