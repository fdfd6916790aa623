use super::{MOST_RANGES, Selection, Slice, select};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn parts(list: &[(u64, u64)]) -> Selection {
    Selection::Parts(list.iter().map(|&(start, end)| Slice { start, end }).collect())
}

#[test]
fn reads_what_the_rfc_shows() {
    for (value, expected) in [
        ("bytes=0-499", parts(&[(0, 500)])),
        ("bytes=500-999", parts(&[(500, 1000)])),
        ("bytes=-500", parts(&[(9500, 10000)])),
        ("bytes=9500-", parts(&[(9500, 10000)])),
        ("bytes=0-0,-1", parts(&[(0, 1), (9999, 10000)])),
        ("bytes= 0-0 ,, 5-6 ,", parts(&[(0, 1), (5, 7)])),
        ("BYTES=7-7", parts(&[(7, 8)])),
        ("bytes=9990-99999999999999999999999", parts(&[(9990, 10000)])),
        ("bytes=-99999999999999999999999", parts(&[(0, 10000)])),
        ("bytes=0-18446744073709551615", parts(&[(0, 10000)])),
        // Satisfiable ones remain when others are not.
        ("bytes=20000-,1-2", parts(&[(1, 3)])),
        ("bytes=10000-", Selection::Unsatisfiable),
        ("bytes=-0", Selection::Unsatisfiable),
        ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
    ] {
        assert_eq!(select(value.as_bytes(), 10_000), expected, "{value}");
    }
}

#[test]
fn ignores_what_it_cannot_read() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=1-2-3",
        "bytes=1 -2",
        "bytes=+1-2",
        "bytes=--1",
        "lines=1-2",
        "bytes:1-2",
        "bytes=1-2;3-4",
        "bytes=1-2,x",
    ] {
        assert_eq!(select(value.as_bytes(), 100), Selection::Whole, "{value}");
    }
}

#[test]
fn joins_neighbours_and_keeps_the_order() {
    for (value, expected) in [
        ("bytes=0-4,5-9", parts(&[(0, 10)])),
        ("bytes=50-59,0-4", parts(&[(50, 60), (0, 5)])),
        ("bytes=50-59,0-4,60-61", parts(&[(50, 62), (0, 5)])),
        ("bytes=0-1,4-5,8-9,2-3,6-7", parts(&[(0, 10)])),
        ("bytes=8-9,4-5,0-1,6-7", parts(&[(4, 10), (0, 2)])),
    ] {
        assert_eq!(select(value.as_bytes(), 100), expected, "{value}");
    }
}

#[test]
fn does_not_serve_as_an_amplifier() {
    let many = (0..=MOST_RANGES).map(|i| format!("{}-{}", i * 10, i * 10)).collect::<Vec<_>>().join(",");
    assert_eq!(select(format!("bytes={many}").as_bytes(), 1000), Selection::Whole);
    assert_eq!(select(b"bytes=0-9,5-14", 100), parts(&[(0, 15)]));
    assert_eq!(select(b"bytes=0-,0-,0-", 100), Selection::Whole);
    // The attack on Apache of 2011.
    let killer = (0..1300).map(|i| format!("5-{i}")).collect::<Vec<_>>().join(",");
    assert_eq!(select(format!("bytes=0-,{killer}").as_bytes(), 5000), Selection::Whole);
}

#[test]
fn an_empty_file_has_no_ranges() {
    assert_eq!(select(b"bytes=0-", 0), Selection::Unsatisfiable);
    assert_eq!(select(b"bytes=-0", 0), Selection::Unsatisfiable);
    assert_eq!(select(b"bytes=-5", 0), Selection::Whole);
}

/// One range-spec as numbers, and the bytes it names, the slow way.
type Asked = (Option<u64>, Option<u64>);

fn bytes_of((first, last): Asked, size: u64) -> BTreeSet<u64> {
    match (first, last) {
        (Some(first), Some(last)) => (0..size).filter(|at| *at >= first && *at <= last).collect(),
        (Some(first), None) => (0..size).filter(|at| *at >= first).collect(),
        (None, Some(count)) => (0..size).rev().zip(0..count).map(|(at, _)| at).collect(),
        (None, None) => BTreeSet::new(),
    }
}

proptest! {
    #[test]
    fn agrees_with_the_slow_way(
        asked in proptest::collection::vec(
            (proptest::option::of(0u64..40), proptest::option::of(0u64..40)), 1..=MOST_RANGES),
        size in 0u64..32,
    ) {
        let text = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let value = asked.iter().map(|(a, b)| format!("{}-{}", text(*a), text(*b))).collect::<Vec<_>>().join(",");
        let malformed = asked.iter().any(|spec| match spec {
            (None, None) => true,
            (Some(first), Some(last)) => first > last,
            _ => false,
        });
        let sets: Vec<BTreeSet<u64>> = asked.iter().map(|spec| bytes_of(*spec, size)).collect();
        let union: BTreeSet<u64> = sets.iter().flatten().copied().collect();
        let overlapping = (0..sets.len())
            .filter(|&i| (0..sets.len()).any(|j| i != j && !sets[i].is_disjoint(&sets[j])))
            .count();
        match select(format!("bytes={value}").as_bytes(), size) {
            Selection::Whole => {
                let suffix_of_nothing = size == 0 && asked.iter().any(|s| matches!(s, (None, Some(1..))));
                prop_assert!(malformed || overlapping > 2 || suffix_of_nothing, "{value} of {size}");
            }
            Selection::Unsatisfiable => prop_assert!(!malformed && union.is_empty()),
            Selection::Parts(parts) => {
                prop_assert!(!malformed && overlapping <= 2);
                let mut sent = BTreeSet::new();
                for part in &parts {
                    prop_assert!(part.start < part.end && part.end <= size);
                    for at in part.start..part.end {
                        prop_assert!(sent.insert(at), "byte {at} is sent twice: {parts:?}");
                    }
                }
                prop_assert_eq!(sent, union);
                prop_assert!(parts.iter().enumerate().all(|(i, one)|
                    parts.iter().skip(i + 1).all(|other| !one.touches(*other))));
            }
        }
    }

    #[test]
    fn never_panics(value in proptest::collection::vec(any::<u8>(), 0..60), size in any::<u64>()) {
        select(&value, size);
        let mut with_unit = b"bytes=".to_vec();
        with_unit.extend(value);
        select(&with_unit, size);
    }
}
