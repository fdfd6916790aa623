use super::*;
use crate::testing::{any_value, before, date, headers, now};
use proptest::prelude::*;

fn select_from(field: &str, complete: usize) -> Selection {
    resolve(field.as_bytes(), complete, DEFAULT_MAX_RANGES)
}

fn multi(ranges: &[(usize, usize)]) -> Selection {
    Selection::Multi(ranges.iter().map(|(start, end)| *start..*end).collect())
}

#[test]
fn the_examples_of_the_rfc() {
    for (field, expected) in [
        ("bytes=0-499", Selection::Single(0..500)),
        ("bytes=500-999", Selection::Single(500..1000)),
        ("bytes=-500", Selection::Single(9500..10_000)),
        ("bytes=9500-", Selection::Single(9500..10_000)),
        ("bytes=0-0,-1", multi(&[(0, 1), (9999, 10_000)])),
        ("bytes= 0-999, 4500-5499, -1000", multi(&[(0, 1000), (4500, 5500), (9000, 10_000)])),
        ("bytes=500-600,601-999", Selection::Single(500..1000)),
        ("bytes=500-700,601-999", Selection::Single(500..1000)),
    ] {
        assert_eq!(select_from(field, 10_000), expected, "{field}");
    }
}

#[test]
fn ends_are_cut_and_large_numbers_do_not_overflow() {
    for (field, expected) in [
        ("bytes=7-7", Selection::Single(7..8)),
        ("bytes=9-", Selection::Single(9..10)),
        ("bytes=5-99", Selection::Single(5..10)),
        ("bytes=-99", Selection::Single(0..10)),
        ("bytes=0-18446744073709551615", Selection::Single(0..10)),
        ("bytes=1-99999999999999999999999999", Selection::Single(1..10)),
        ("bytes=-99999999999999999999999999", Selection::Single(0..10)),
        ("bytes=007-008", Selection::Single(7..9)),
        ("bytes=10-", Selection::Unsatisfiable),
        ("bytes=10-10", Selection::Unsatisfiable),
        ("bytes=99999999999999999999999999-", Selection::Unsatisfiable),
        ("bytes=18446744073709551615-18446744073709551616", Selection::Unsatisfiable),
        ("bytes=-0", Selection::Unsatisfiable),
        ("bytes=-0, 10-", Selection::Unsatisfiable),
        ("bytes=20-,-0,3-4", Selection::Single(3..5)),
    ] {
        assert_eq!(select_from(field, 10), expected, "{field}");
    }
}

#[test]
fn an_empty_body() {
    assert_eq!(select_from("bytes=0-", 0), Selection::Unsatisfiable);
    assert_eq!(select_from("bytes=0-0", 0), Selection::Unsatisfiable);
    assert_eq!(select_from("bytes=-0", 0), Selection::Unsatisfiable);
    assert_eq!(select_from("bytes=-5", 0), Selection::Whole);
    assert_eq!(select_from("bytes=0-,-5", 0), Selection::Whole);
}

#[test]
fn whitespace_and_case_as_lists_and_units_have_them() {
    for field in ["BYTES=1-2", " bytes=1-2\t", "bytes=1-2 ", "bytes=\t1-2", "bytes=,1-2", "bytes= , ,1-2 ,"] {
        assert_eq!(select_from(field, 10), Selection::Single(1..3), "{field}");
    }
    assert_eq!(select_from("Bytes=5-6\t,\t1-2", 10), multi(&[(5, 7), (1, 3)]));
}

#[test]
fn what_is_malformed_anywhere_is_ignored_as_a_whole() {
    for field in [
        "",
        "bytes",
        "bytes=",
        "bytes= ",
        "bytes=,",
        "bytes=-",
        "bytes=5",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=1-b",
        "bytes=0x1-2",
        "bytes=1-2-3",
        "bytes=1 -2",
        "bytes=1- 2",
        "bytes=+1-2",
        "bytes=--1",
        "bytes=-1-2",
        "bytes =1-2",
        "bytes:1-2",
        "bytes=1-2;3-4",
        "bytes=1-2,x",
        "bytes=1-2,5-4",
        "bytes=1.0-2",
        "1-2",
        "lines=1-2",
        "none=1-2",
        "bytes-x=1-2",
        "bytes=1-2\u{a0}",
    ] {
        assert_eq!(select_from(field, 100), Selection::Whole, "{field}");
    }
    assert_eq!(resolve(b"bytes=0-1\xff", 100, 5), Selection::Whole);
}

#[test]
fn too_many_ranges_get_the_whole() {
    let ranges = |n: usize| {
        let list: Vec<String> = (0..n).map(|i| format!("{}-{}", i * 10, i * 10 + 1)).collect();
        format!("bytes={}", list.join(","))
    };
    assert!(matches!(select_from(&ranges(5), 1000), Selection::Multi(parts) if parts.len() == 5));
    assert_eq!(select_from(&ranges(6), 1000), Selection::Whole);
    // Unsatisfiable ones count: they cost as much to read.
    assert_eq!(select_from("bytes=0-0,2000-,2001-,2002-,2003-,2004-", 1000), Selection::Whole);
    assert_eq!(resolve(ranges(2).as_bytes(), 1000, 1), Selection::Whole);
    assert_eq!(resolve(b"bytes=1-2", 1000, 0), Selection::Whole, "zero switches ranges off");
}

#[test]
fn two_overlapping_ranges_are_joined_and_three_get_the_whole() {
    assert_eq!(select_from("bytes=0-9,5-14", 100), Selection::Single(0..15));
    assert_eq!(select_from("bytes=0-9,5-14,50-59", 100), multi(&[(0, 15), (50, 60)]));
    assert_eq!(select_from("bytes=0-9,5-14,9-20", 100), Selection::Whole);
    assert_eq!(select_from("bytes=0-,0-,0-", 100), Selection::Whole);
    assert_eq!(select_from("bytes=0-9,5-14,50-59,55-60", 100), Selection::Whole);
}

#[test]
fn parts_keep_the_order_asked_for() {
    assert_eq!(select_from("bytes=50-59,0-9", 100), multi(&[(50, 60), (0, 10)]));
    assert_eq!(select_from("bytes=50-59,0-9", 100).ascending(), multi(&[(0, 10), (50, 60)]));
    assert_eq!(select_from("bytes=50-59,0-9,60-69", 100), multi(&[(50, 70), (0, 10)]));
    assert_eq!(select_from("bytes=0-9,50-59,10-19", 100), multi(&[(0, 20), (50, 60)]));
    assert_eq!(select_from("bytes=10-19,20-29,0-9", 100), Selection::Single(0..30));
}

fn asked(method: Method, status: u16, request: &[(&str, &str)], stored: &[(&str, &str)]) -> Selection {
    select(
        &Request { method: &method, headers: &headers(request), has_body: false },
        &Response { status: StatusCode::from_u16(status).unwrap(), headers: &headers(stored) },
        Some(100),
        DEFAULT_MAX_RANGES,
        now(),
    )
}

#[test]
fn only_a_get_with_a_200_of_known_length_has_ranges() {
    let range = [("range", "bytes=1-2")];
    assert_eq!(asked(Method::GET, 200, &range, &[]), Selection::Single(1..3));
    for method in [Method::HEAD, Method::POST, Method::PUT] {
        assert_eq!(asked(method, 200, &range, &[]), Selection::Whole);
    }
    for status in [203, 204, 206, 301, 304, 404, 412, 500] {
        assert_eq!(asked(Method::GET, status, &range, &[]), Selection::Whole, "{status}");
    }
    assert_eq!(asked(Method::GET, 200, &[], &[]), Selection::Whole);
    assert_eq!(asked(Method::GET, 200, &[range[0], range[0]], &[]), Selection::Whole);
    let request = Request { method: &Method::GET, headers: &headers(&range), has_body: false };
    let response = Response { status: StatusCode::OK, headers: &HeaderMap::new() };
    assert_eq!(select(&request, &response, None, 5, now()), Selection::Whole);
}

#[test]
fn if_range_counts() {
    let stored = [("etag", "\"a\""), ("last-modified", &*date(before(50))), ("date", &*date(now()))];
    let with = |condition: &str| {
        asked(Method::GET, 200, &[("range", "bytes=1-2"), ("if-range", condition)], &stored)
    };
    assert_eq!(with("\"a\""), Selection::Single(1..3));
    assert_eq!(with("\"b\""), Selection::Whole);
    assert_eq!(with("W/\"a\""), Selection::Whole);
    assert_eq!(with(&date(before(50))), Selection::Single(1..3));
    assert_eq!(with(&date(before(49))), Selection::Whole);
}

#[test]
fn a_length_is_one_line_of_digits() {
    let length = |values: &[&str]| {
        complete_length(&headers(&values.iter().map(|v| ("content-length", *v)).collect::<Vec<_>>()))
    };
    assert_eq!(length(&["0"]), Some(0));
    assert_eq!(length(&[" 12 "]), Some(12));
    for bad in [&[][..], &[""], &["-1"], &["+1"], &["1, 1"], &["1", "1"], &["0x1"], &["99999999999999999999"]]
    {
        assert_eq!(length(bad), None, "{bad:?}");
    }
}

#[test]
fn a_whole_response_says_that_it_has_ranges() {
    let with = |status, pairs: &[(&str, &str)], complete| {
        let status = StatusCode::from_u16(status).unwrap();
        advertise(&Response { status, headers: &headers(pairs) }, complete)
    };
    assert_eq!(with(200, &[], Some(1)).unwrap().1, "bytes");
    assert_eq!(with(200, &[("accept-ranges", "none")], Some(1)), None);
    assert_eq!(with(200, &[], None), None);
    assert_eq!(with(404, &[], Some(1)), None);
}

fn field(head: &RangeHead, name: &str) -> Option<String> {
    let found = head.set.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.to_str().unwrap().to_owned())
}

#[test]
fn the_head_of_one_part() {
    let head = Selection::Single(2..5).head(&HeaderMap::new(), 10, "b").unwrap();
    assert_eq!(head.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(field(&head, "content-length").unwrap(), "3");
    assert_eq!(field(&head, "content-range").unwrap(), "bytes 2-4/10");
    assert_eq!(field(&head, "content-type"), None);
    assert!(head.remove.contains(&HeaderName::from_static("content-digest")));
    assert!(!head.remove.contains(&header::ETAG) && !head.remove.contains(&header::CACHE_CONTROL));
    assert_eq!(Selection::Whole.head(&HeaderMap::new(), 10, "b"), None);
}

#[test]
fn the_head_of_several_parts() {
    let whole = headers(&[("content-type", "text/plain")]);
    let head = multi(&[(0, 2), (5, 6)]).head(&whole, 10, "xyz").unwrap();
    assert_eq!(field(&head, "content-type").unwrap(), "multipart/byteranges; boundary=xyz");
    assert_eq!(field(&head, "content-range"), None, "MUST NOT: RFC 9110 §15.3.7.2");
    assert_eq!(head.part_type.as_deref(), Some("text/plain"));
    let body = "\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
                \r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/10\r\n\r\n5\r\n--xyz--\r\n";
    assert_eq!(field(&head, "content-length").unwrap(), body.len().to_string());
}

#[test]
fn a_416_can_be_stored_by_nobody() {
    let head = Selection::Unsatisfiable.head(&HeaderMap::new(), 10, "b").unwrap();
    assert_eq!(head.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(field(&head, "content-range").unwrap(), "bytes */10");
    assert_eq!(field(&head, "content-length").unwrap(), "0");
    assert_eq!(field(&head, "cache-control").unwrap(), "no-store");
    for gone in ["etag", "expires", "content-type", "content-encoding", "cdn-cache-control"] {
        assert!(head.remove.iter().any(|name| name == gone), "{gone}");
    }
}

/// A range-spec as it is written, and the bytes it means, one by one: the slow way.
#[derive(Debug, Clone)]
struct Asked {
    text: String,
    bytes: Vec<usize>,
}

fn asked_of(complete: usize) -> impl Strategy<Value = Asked> {
    let reach = complete + 5;
    prop_oneof![
        (0..reach, 0..reach).prop_map(move |(a, b)| {
            let (first, last) = (a.min(b), a.max(b));
            Asked {
                text: format!("{first}-{last}"),
                bytes: (first..=last).filter(|at| *at < complete).collect(),
            }
        }),
        (0..reach)
            .prop_map(move |first| Asked { text: format!("{first}-"), bytes: (first..complete).collect() }),
        (0..reach).prop_map(move |count| Asked {
            text: format!("-{count}"),
            bytes: (0..complete).filter(|at| at + count >= complete).collect(),
        }),
    ]
}

fn sets() -> impl Strategy<Value = (usize, Vec<Asked>)> {
    (1usize..40).prop_flat_map(|complete| (Just(complete), prop::collection::vec(asked_of(complete), 1..8)))
}

proptest! {
    /// The parts together are exactly the bytes asked for, each once; or the whole, for a stated reason.
    #[test]
    fn parts_are_the_bytes_asked_for((complete, asked) in sets()) {
        let list: Vec<&str> = asked.iter().map(|one| one.text.as_str()).collect();
        let selection = select_from(&format!("bytes={}", list.join(" , ")), complete);
        let mut wanted: Vec<usize> = asked.iter().flat_map(|one| one.bytes.clone()).collect();
        let clashing = asked.iter().enumerate().filter(|(i, one)| {
            asked.iter().enumerate().any(|(j, other)| *i != j && one.bytes.iter().any(|at| other.bytes.contains(at)))
        }).count();
        wanted.sort_unstable();
        wanted.dedup();
        if asked.len() > DEFAULT_MAX_RANGES || clashing > MAX_OVERLAPPING {
            prop_assert_eq!(selection, Selection::Whole);
            return Ok(());
        }
        let parts = match selection {
            Selection::Unsatisfiable => vec![],
            Selection::Single(range) => vec![range],
            Selection::Multi(parts) => {
                prop_assert!(parts.len() > 1);
                parts
            }
            Selection::Whole => return Err(TestCaseError::fail("no reason for the whole")),
        };
        prop_assert!(parts.iter().all(|part| !part.is_empty()));
        prop_assert!(parts.iter().map(ExactSizeIterator::len).sum::<usize>() <= complete);
        let mut sent: Vec<usize> = parts.iter().cloned().flatten().collect();
        // The first part begins with or around the first satisfiable range, as asked.
        if let (Some(first), Some(part)) = (asked.iter().find_map(|one| one.bytes.first()), parts.first()) {
            prop_assert!(part.contains(first));
        }
        sent.sort_unstable();
        prop_assert_eq!(sent, wanted);
    }

    /// Content-Length is the length of the body that a simple writer writes.
    #[test]
    fn the_stated_length_is_the_sent_length((complete, asked) in sets(), boundary in "[a-f0-9]{16}", typed in any::<bool>()) {
        let list: Vec<&str> = asked.iter().map(|one| one.text.as_str()).collect();
        let whole = if typed { headers(&[("content-type", "image/png")]) } else { HeaderMap::new() };
        let content: Vec<u8> = (0..complete).map(|at| at as u8).collect();
        let selection = select_from(&format!("bytes={}", list.join(",")), complete);
        let Some(head) = selection.head(&whole, complete, &boundary) else { return Ok(()) };
        let body = match &selection {
            Selection::Single(range) => content[range.clone()].to_vec(),
            Selection::Multi(ranges) => {
                let mut body = Vec::new();
                for range in ranges {
                    body.extend(part_head(range, complete, &boundary, head.part_type.as_deref()));
                    body.extend(&content[range.clone()]);
                }
                body.extend(format!("\r\n--{boundary}--\r\n").bytes());
                body
            }
            _ => vec![],
        };
        prop_assert_eq!(field(&head, "content-length").unwrap(), body.len().to_string());
        prop_assert!(body.len() <= complete + DEFAULT_MAX_RANGES * 128 + 64, "the answer is bounded");
    }

    #[test]
    fn any_bytes_select_something_lawful(value in any_value(), tail in "[0-9,\t -]{0,30}", complete in any::<usize>()) {
        let near = format!("bytes={tail}");
        for field in [value.as_bytes(), near.as_bytes()] {
            let parts = match resolve(field, complete, MOST_RANGES) {
                Selection::Whole | Selection::Unsatisfiable => vec![],
                Selection::Single(range) => vec![range],
                Selection::Multi(parts) => parts,
            };
            for (i, part) in parts.iter().enumerate() {
                prop_assert!(part.start < part.end && part.end <= complete);
                prop_assert!(parts[..i].iter().all(|other| other.end < part.start || part.end < other.start));
            }
        }
    }
}
