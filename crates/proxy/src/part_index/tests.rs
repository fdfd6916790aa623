use super::*;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use seawall_caching::partial::ContentRange;

fn asked(text: &str) -> Asked {
    let mut headers = HeaderMap::new();
    headers.insert("range", HeaderValue::from_str(text).unwrap());
    Asked::of(&headers).unwrap()
}

fn part(first: u64, last: u64, version: &'static str) -> Part {
    let mut headers = HeaderMap::new();
    headers.insert("etag", HeaderValue::from_static(version));
    let range = ContentRange { first, last, complete: Some(1 << 40) };
    let range = Received { range, to_end: false };
    Part::new(asked(&format!("bytes={first}-{last}")), range, &headers)
}

fn url(n: u64) -> Url {
    Url::of(&CacheKey::new(n.to_string(), ""))
}

fn holds(index: &PartIndex, url: Url, text: &str) -> Option<Part> {
    index.find(url, |part| if asked(text).within(&part.received).is_some() { Fit::Yes } else { Fit::No })
}

#[test]
fn a_range_finds_the_part_it_lies_in() {
    let index = PartIndex::new(100, 10);
    index.insert(url(1), part(10, 19, "a"));
    index.insert(url(1), part(30, 39, "a"));
    assert_eq!(holds(&index, url(1), "bytes=12-15"), Some(part(10, 19, "a")));
    assert_eq!(holds(&index, url(1), "bytes=30-39"), Some(part(30, 39, "a")));
    assert_eq!(holds(&index, url(1), "bytes=15-35"), None, "no two parts are joined");
    assert_eq!(holds(&index, url(2), "bytes=12-15"), None);
}

#[test]
fn what_is_gone_from_the_store_is_taken_off() {
    let index = PartIndex::new(100, 10);
    index.insert(url(1), part(10, 19, "a"));
    index.insert(url(1), part(0, 99, "a"));
    let found = index.find(url(1), |part| if part.received.range.first == 0 { Fit::Gone } else { Fit::Yes });
    assert_eq!(found, Some(part(10, 19, "a")), "the next best");
    assert_eq!(index.stats().entries, 1);
    assert_eq!(index.find(url(1), |_| Fit::No), None);
    assert_eq!(index.stats().entries, 1, "what does not fit stays");
    assert_eq!(index.find(url(1), |_| Fit::Gone), None);
    assert_eq!(index.stats().entries, 0);
    assert!(index.shards.iter().all(|shard| shard.lock().urls.is_empty()), "no empty shell stays");
}

#[test]
fn versions_do_not_mix() {
    let index = PartIndex::new(100, 10);
    index.insert(url(1), part(10, 19, "a"));
    index.insert(url(1), part(30, 39, "a"));
    assert!(index.take_others(url(1), &part(50, 59, "a")).is_empty(), "control: the same version stays");
    assert_eq!(index.take_others(url(1), &part(50, 59, "b")), [part(10, 19, "a"), part(30, 39, "a")]);
    assert_eq!(holds(&index, url(1), "bytes=12-15"), None);
    let mut grown = part(10, 19, "a");
    grown.received.range.complete = Some(1 << 41);
    index.insert(url(1), part(10, 19, "a"));
    assert_eq!(index.take_others(url(1), &grown).len(), 1, "another length is another version");
    grown.received.range.complete = None;
    index.insert(url(1), part(10, 19, "a"));
    assert!(index.take_others(url(1), &grown).is_empty(), "an unknown length contradicts nothing");
}

#[test]
fn one_object_has_a_bound() {
    let index = PartIndex::new(10_000, 3);
    for n in 0..10 {
        index.insert(url(1), part(n * 10, n * 10 + 9, "a"));
    }
    assert_eq!((index.stats().entries, index.stats().evicted), (3, 7));
    assert_eq!(holds(&index, url(1), "bytes=65-66"), None);
    assert!(holds(&index, url(1), "bytes=75-76").is_some());
    for _ in 0..10 {
        index.insert(url(1), part(90, 99, "a"));
    }
    assert_eq!(index.stats().entries, 3, "the same part again is no other");
    assert!(holds(&index, url(1), "bytes=75-76").is_some());
}

#[test]
fn objects_long_unused_make_room() {
    let index = PartIndex::new(SHARDS * 4, 3);
    let shard = |n: u64| url(n).0 as usize % SHARDS;
    let mates: Vec<u64> = (0..).filter(|n| shard(*n) == shard(0)).take(6).collect();
    for n in &mates[..4] {
        index.insert(url(*n), part(0, 9, "a"));
    }
    assert!(holds(&index, url(mates[0]), "bytes=0-9").is_some(), "a use");
    index.prefer_whole(url(mates[4]), Instant::now());
    assert!(holds(&index, url(mates[0]), "bytes=0-9").is_some());
    assert_eq!(holds(&index, url(mates[1]), "bytes=0-9"), None);
    assert_eq!(index.stats(), PartIndexStats { entries: 4, capacity: SHARDS as u64 * 4, evicted: 1 });
}

#[test]
fn that_an_object_has_no_parts_is_remembered_for_a_while() {
    let index = PartIndex::new(100, 10);
    let now = Instant::now();
    assert!(!index.prefers_whole(url(1), now));
    index.prefer_whole(url(1), now);
    assert!(index.prefers_whole(url(1), now) && !index.prefers_whole(url(2), now));
    assert!(!index.prefers_whole(url(1), now + WHOLE_FOR));
}

#[test]
fn the_name_of_a_part_is_its_range() {
    let whole = CacheKey::new("/", "");
    let key = |text| part_key(&whole, &asked(text));
    assert_eq!(key("bytes=5-9").combined(), key("Bytes= 05-9").combined());
    for other in ["bytes=5-8", "bytes=5-", "bytes=-5"] {
        assert_ne!(key("bytes=5-9").combined(), key(other).combined(), "{other}");
    }
    assert_eq!(key("bytes=5-9").primary(), whole.primary());
}

proptest! {
    /// Whatever happens, the count is the number of what is there, and within the bounds.
    #[test]
    fn counts_are_right(steps in prop::collection::vec((0u64..12, 0u64..6, 0..5), 0..200)) {
        let index = PartIndex::new(SHARDS * 3, 4);
        for (u, n, step) in steps {
            match step {
                0 | 1 => index.insert(url(u), part(n * 10, n * 10 + 9, if step == 0 { "a" } else { "b" })),
                2 => index.prefer_whole(url(u), Instant::now()),
                3 => { index.take_others(url(u), &part(n, n, "a")); }
                _ => { index.find(url(u), |part| if part.received.range.first == n * 10 { Fit::Gone } else { Fit::No }); }
            }
            for shard in &index.shards {
                let shard = shard.lock();
                let weights = shard.urls.iter().map(|(_, known)| known.weight()).sum::<usize>();
                prop_assert_eq!(shard.weight, weights);
                prop_assert!(weights <= 3);
                prop_assert!(shard.urls.iter().all(|(_, known)| known.parts.len() <= 4));
            }
        }
    }
}
