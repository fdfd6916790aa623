use super::*;
use crate::testing::{after, any_value, at_once, headers};
use http::Method;
use proptest::prelude::*;

fn asked(value: &str) -> Option<Asked> {
    Asked::of(&headers(&[("range", value)]))
}

fn part(first: u64, last: u64, complete: Option<u64>) -> ContentRange {
    ContentRange { first, last, complete }
}

/// Received as announced.
fn as_announced(range: ContentRange) -> Received {
    Received { range, to_end: range.complete == Some(range.last + 1) }
}

fn content_range(value: &str) -> Option<ContentRange> {
    ContentRange::of(&headers(&[("content-range", value)]))
}

#[test]
fn one_range_has_one_form() {
    for (text, canonical) in [
        ("bytes=5-9", "bytes=5-9"),
        ("BYTES= 005-0009 ", "bytes=5-9"),
        ("bytes=,5-9,", "bytes=5-9"),
        ("bytes=5-", "bytes=5-"),
        ("bytes=5-99999999999999999999999", "bytes=5-"),
        ("bytes=-5", "bytes=-5"),
    ] {
        assert_eq!(asked(text).unwrap().value(), canonical, "{text}");
    }
    for none in ["bytes=1-2,4-5", "bytes=5-1", "bytes=-0", "bytes=-", "bytes=", "lines=1-2", "5-9", ""] {
        assert_eq!(asked(none), None, "{none}");
    }
    assert_eq!(Asked::of(&headers(&[("range", "bytes=1-2"), ("range", "bytes=1-2")])), None);
    assert_eq!(Asked::of(&HeaderMap::new()), None);
}

#[test]
fn depth() {
    let deep = |text| asked(text).unwrap().is_deep();
    assert!(!deep("bytes=0-") && !deep("bytes=1048575-9999999"));
    assert!(deep("bytes=1048576-") && deep("bytes=-1"));
}

#[test]
fn what_a_content_range_says() {
    assert_eq!(content_range("bytes 5-9/10"), Some(part(5, 9, Some(10))));
    assert_eq!(content_range(" Bytes 0-0/* "), Some(part(0, 0, None)));
    for bad in [
        "",
        "bytes",
        "bytes */10",
        "bytes 5-9",
        "bytes 9-5/10",
        "bytes 5-10/10",
        "bytes -9/10",
        "bytes 5-/10",
        "bytes +5-9/10",
        "bytes 5-9/",
        "bytes=5-9/10",
        "lines 5-9/10",
        "bytes 5-9/10/11",
        "bytes 5-9/1x",
        "bytes 0-18446744073709551615/*",
        "bytes 99999999999999999999-99999999999999999999/*",
    ] {
        assert_eq!(content_range(bad), None, "{bad}");
    }
    let twice = headers(&[("content-range", "bytes 5-9/10"), ("content-range", "bytes 5-9/10")]);
    assert_eq!(ContentRange::of(&twice), None);
    assert_eq!(part(5, 9, Some(10)).value(), "bytes 5-9/10");
    assert_eq!(part(5, 9, None).value(), "bytes 5-9/*");
    assert_eq!(part(5, 9, None).length(), 5);
}

#[test]
fn what_lies_within_a_part() {
    let within = |text: &str, part: ContentRange| asked(text).unwrap().within(&as_announced(part));
    let known = part(4, 8, Some(10));
    assert_eq!(within("bytes=6-8", known), Some(6..9));
    assert_eq!(within("bytes=4-8", known), Some(4..9));
    for outside in ["bytes=3-5", "bytes=6-9", "bytes=6-", "bytes=-1", "bytes=10-", "bytes=0-20"] {
        assert_eq!(within(outside, known), None, "{outside}");
    }
    let end = part(4, 9, Some(10));
    assert_eq!(within("bytes=6-", end), Some(6..10));
    assert_eq!(within("bytes=6-500", end), Some(6..10));
    assert_eq!(within("bytes=-3", end), Some(7..10));
    assert_eq!(within("bytes=-7", end), None);
    assert_eq!(within("bytes=10-", end), None, "not there at all: the origin says 416");
    let all = part(0, 9, Some(10));
    assert_eq!(within("bytes=-500", all), Some(0..10));
    let unknown = part(4, 9, None);
    assert_eq!(within("bytes=6-8", unknown), Some(6..9));
    for outside in ["bytes=6-", "bytes=-1", "bytes=6-10"] {
        assert_eq!(within(outside, unknown), None, "{outside}");
    }
}

#[test]
fn what_the_origin_called_the_end_is_the_end() {
    let short = Received { range: part(4, 8, Some(10)), to_end: true };
    let within = |text: &str| asked(text).unwrap().within(&short);
    assert_eq!(within("bytes=6-"), Some(6..9));
    for outside in ["bytes=3-", "bytes=9-", "bytes=6-9", "bytes=-1"] {
        assert_eq!(within(outside), None, "{outside}");
    }
    let fields = headers(&[("content-range", "bytes 4-9/10"), ("content-length", "5")]);
    assert_eq!(received(&fields), Some(short));
    let middle = headers(&[("content-range", "bytes 4-8/10"), ("content-length", "4")]);
    assert!(!received(&middle).unwrap().to_end);
}

fn decided(
    range: &str,
    response: &[(&str, &str)],
    request: &[(&str, &str)],
) -> Result<PartAdmission, NotStored> {
    let mut request = headers(request);
    request.insert("range", HeaderValue::from_str(range).unwrap());
    let asked = Asked::of(&request).unwrap();
    let request = Request { method: &Method::GET, headers: &request, has_body: false };
    decide(&request, &asked, &headers(response), at_once(), &CachePolicy::default())
}

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

fn answered(range: &str, content_range: &str) -> Result<ContentRange, NotStored> {
    decided(range, &[FRESH, ("content-range", content_range)], &[]).map(|part| part.received.range)
}

#[test]
fn a_part_is_stored_when_it_says_which_it_is() {
    let stored =
        decided("bytes=5-9", &[FRESH, ("content-range", "bytes 5-9/10"), ("content-length", "5")], &[]);
    let stored = stored.unwrap();
    assert_eq!(stored.received.range, part(5, 9, Some(10)));
    assert_eq!(stored.admission.freshness.fresh_until(), after(60));
    assert_eq!(answered("bytes=5-9", "bytes 5-9/*"), Ok(part(5, 9, None)));
    assert_eq!(answered("bytes=5-99", "bytes 5-9/10"), Ok(part(5, 9, Some(10))));
    assert_eq!(answered("bytes=5-9", "bytes 5-7/10"), Ok(part(5, 7, Some(10))), "less is lawful");
    assert_eq!(answered("bytes=-5", "bytes 5-9/10"), Ok(part(5, 9, Some(10))));
    assert_eq!(answered("bytes=-5", "bytes 4-9/10"), Ok(part(4, 9, Some(10))));
    assert_eq!(answered("bytes=-50", "bytes 0-9/10"), Ok(part(0, 9, Some(10))));
}

#[test]
fn an_answer_to_another_question_is_not_stored() {
    for (range, content_range) in [
        ("bytes=5-9", "bytes 4-9/10"),
        ("bytes=5-9", "bytes 6-9/10"),
        ("bytes=5-9", "bytes 5-12/20"),
        ("bytes=5-9", "bytes */10"),
        ("bytes=5-9", "bytes 5-9"),
        ("bytes=-5", "bytes 6-9/10"),
        ("bytes=-5", "bytes 4-8/10"),
        ("bytes=-5", "bytes 5-9/*"),
        ("bytes=-5", "bytes 0-4/10"),
    ] {
        assert_eq!(answered(range, content_range), Err(NotStored::ContentRange), "{range}: {content_range}");
    }
    assert_eq!(decided("bytes=5-9", &[FRESH], &[]), Err(NotStored::ContentRange), "none at all");
    let multipart =
        [FRESH, ("content-range", "bytes 5-9/10"), ("content-type", "Multipart/ByteRanges; boundary=x")];
    assert_eq!(decided("bytes=5-9", &multipart, &[]), Err(NotStored::ContentRange));
}

#[test]
fn only_received_bytes_count() {
    let with = |length: &str| {
        let fields = [FRESH, ("content-range", "bytes 4-9/10"), ("content-length", length)];
        decided("bytes=-5", &fields, &[]).map(|part| part.received.range)
    };
    assert_eq!(with("6"), Ok(part(4, 9, Some(10))));
    assert_eq!(with("5"), Ok(part(4, 8, Some(10))));
    for wrong in ["0", "7", "", "x"] {
        assert_eq!(with(wrong), Err(NotStored::ContentRange), "{wrong}");
    }
}

#[test]
fn all_else_counts_as_for_the_whole() {
    let range = ("content-range", "bytes 5-9/10");
    for (fields, reason) in [
        (&[("cache-control", "private")][..], NotStored::Private),
        (&[("cache-control", "no-store")], NotStored::NoStore),
        (&[FRESH, ("set-cookie", "a=b")], NotStored::SetCookie),
        (&[FRESH, ("vary", "*")], NotStored::VaryAny),
        (&[FRESH, ("vary", "accept-encoding")], NotStored::PartVaries),
    ] {
        let fields: Vec<_> = fields.iter().copied().chain([range]).collect();
        assert_eq!(decided("bytes=5-9", &fields, &[]), Err(reason), "{fields:?}");
    }
    let secret = [("authorization", "Basic x")];
    assert_eq!(decided("bytes=5-9", &[FRESH, range], &secret), Err(NotStored::Authorization));
    let public = [("cache-control", "public, max-age=60"), range];
    assert!(decided("bytes=5-9", &public, &secret).is_ok());
    let understood = [("cache-control", "max-age=60, no-store, must-understand"), range];
    assert!(decided("bytes=5-9", &understood, &[]).is_ok(), "a 206 is understood here");
}

#[test]
fn versions_are_told_apart() {
    assert_eq!(version(&headers(&[("etag", "\"a\""), ("last-modified", "x")])), Some(&b"\"a\""[..]));
    assert_eq!(version(&headers(&[("last-modified", "x")])), Some(&b"x"[..]));
    assert_eq!(version(&HeaderMap::new()), None);
    assert_eq!(version(&headers(&[("etag", "\"a\""), ("etag", "\"b\"")])), None, "two say nothing");
}

proptest! {
    /// The canonical form means the same bytes as what the client wrote, and asking for it again changes nothing.
    #[test]
    fn the_canonical_form_means_the_same(first in 0u64..30, last in 0u64..30, complete in 1u64..20) {
        for text in [format!("bytes={first}-{last}"), format!("bytes={first}-"), format!("bytes=-{first}")] {
            let Some(found) = asked(&text) else { continue };
            let value = found.value();
            prop_assert_eq!(asked(value.to_str().unwrap()), Some(found));
            let select = |field: &[u8]| crate::range::resolve(field, complete as usize, 5);
            prop_assert_eq!(select(text.as_bytes()), select(value.as_bytes()));
        }
    }

    /// What lies within a part is what the range selects of the whole, and all of it is there.
    #[test]
    fn within_agrees_with_the_whole(
        first in 0u64..25, last in 0u64..25, kind in 0..3, start in 0u64..20, length in 1u64..20, complete in 1u64..20,
    ) {
        let text = match kind {
            0 => format!("bytes={first}-{last}"),
            1 => format!("bytes={first}-"),
            _ => format!("bytes=-{first}"),
        };
        let end = (start + length).min(complete);
        prop_assume!(start < end);
        let Some(asked) = asked(&text) else { return Ok(()) };
        let whole = crate::range::resolve(text.as_bytes(), complete as usize, 5);
        let expected = match whole {
            crate::range::Selection::Single(bytes) if bytes.start as u64 >= start && bytes.end as u64 <= end => {
                Some(bytes.start as u64..bytes.end as u64)
            }
            _ => None,
        };
        prop_assert_eq!(asked.within(&as_announced(part(start, end - 1, Some(complete)))), expected);
    }

    #[test]
    fn any_fields_are_survived(range in any_value(), content_range in any_value(), length in any_value()) {
        let mut fields = HeaderMap::new();
        fields.insert("range", range);
        fields.insert("content-range", content_range);
        fields.insert("content-length", length);
        let _ = (Asked::of(&fields), received(&fields), version(&fields));
    }
}
