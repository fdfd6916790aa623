//! Parts that are stale, or of another version than the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_testkit::{Call, Origin, Reply, Request};

use crate::object::{LENGTH, answer, check, object, range, status};
use crate::{both, cached, h1, shown};

/// The fields of each version of the object.
type Versions = &'static [&'static [(&'static str, &'static str)]];

/// An origin of the object whose versions a test turns, with the number of the version in front of each byte range.
fn turning(versions: Versions) -> (Origin, Arc<AtomicUsize>) {
    let (whole, at) = (object(), Arc::new(AtomicUsize::new(0)));
    let now = Arc::clone(&at);
    let origin = Origin::h1(move |request: &Request| {
        let number = now.load(Ordering::SeqCst).min(versions.len() - 1);
        answer(request, &whole, versions[number]).header("x-version", &number.to_string())
    });
    (origin, at)
}

#[test]
fn a_stale_part_is_validated() {
    let (origin, version) = turning(&[
        &[("cache-control", "max-age=0"), ("etag", "\"v1\"")],
        &[("cache-control", "max-age=60"), ("etag", "\"v2\"")],
    ]);
    let seawall = cached(&origin, "http1", "on");
    let deep = range("bytes=2000000-2000099");
    check(&h1(&seawall, &deep), 2_000_000, 2_000_099);
    for validated in both(&seawall, &deep) {
        check(&validated, 2_000_000, 2_000_099);
        assert!(status(&validated).contains("fwd=stale; fwd-status=304"), "{}", status(&validated));
    }
    let asked = origin.last();
    assert_eq!(asked.header("range"), Some("bytes=2000000-2000099"));
    assert_eq!(asked.header("if-none-match"), Some("\"v1\""));
    // A stale part serves nobody but those who ask for just it.
    let within = h1(&seawall, &range("bytes=2000010-2000019"));
    check(&within, 2_000_010, 2_000_019);
    assert!(status(&within).contains("fwd=partial"), "{}", status(&within));
    version.store(1, Ordering::SeqCst);
    let renewed = h1(&seawall, &deep);
    check(&renewed, 2_000_000, 2_000_099);
    assert_eq!((renewed.header("etag"), renewed.header("x-version")), (Some("\"v2\""), Some("1")));
    assert!(status(&renewed).contains("fwd=stale; stored"), "{}", status(&renewed));
    let before = origin.count();
    check(&h1(&seawall, &deep), 2_000_000, 2_000_099);
    check(&h1(&seawall, &range("bytes=2000010-2000019")), 2_000_010, 2_000_019);
    assert_eq!(origin.count(), before);
}

#[test]
fn a_stale_part_is_served_while_it_is_validated_and_when_the_origin_fails() {
    let (origin, _) =
        turning(&[&[("cache-control", "max-age=0, stale-while-revalidate=60"), ("etag", "\"v1\"")]]);
    let seawall = cached(&origin, "http1", "on");
    let deep = range("bytes=2000000-2000099");
    check(&h1(&seawall, &deep), 2_000_000, 2_000_099);
    let stale = h1(&seawall, &deep);
    check(&stale, 2_000_000, 2_000_099);
    assert!(status(&stale).contains("detail=stale-while-revalidate"), "{}", status(&stale));
    let refresh = origin.wait_requests(2).pop().expect("the refresh");
    assert_eq!(refresh.header("range"), Some("bytes=2000000-2000099"));
    assert_eq!(refresh.header("if-none-match"), Some("\"v1\""));

    let whole = object();
    let count = AtomicUsize::new(0);
    let origin = Origin::h1(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => answer(request, &whole, &[("cache-control", "max-age=0, stale-if-error=60")]),
        _ => Reply::new(503),
    });
    let seawall = cached(&origin, "http1", "on");
    check(&h1(&seawall, &deep), 2_000_000, 2_000_099);
    check(&h1(&seawall, &deep), 2_000_000, 2_000_099);
    assert_eq!(origin.count(), 2);
}

#[test]
fn parts_of_two_versions_are_never_stored_together() {
    let (origin, version) = turning(&[
        &[("cache-control", "max-age=60"), ("etag", "\"v1\"")],
        &[("cache-control", "max-age=60"), ("etag", "\"v2\"")],
    ]);
    let seawall = cached(&origin, "http1", "on");
    let (one, two) = (range("bytes=2000000-2000099"), range("bytes=2500000-2500099"));
    let versions =
        |seawall: &_| [&one, &two].map(|call: &Call| h1(seawall, call).header("etag").map(str::to_owned));
    let both_are = |tag: &str| [Some(tag.to_owned()), Some(tag.to_owned())];
    assert_eq!(versions(&seawall), both_are("\"v1\""));
    version.store(1, Ordering::SeqCst);
    assert_eq!(versions(&seawall), both_are("\"v1\""), "control: fresh");
    // Somebody asks for a part that is not there, and so the new version becomes known.
    assert_eq!(h1(&seawall, &range("bytes=2200000-2200099")).header("etag"), Some("\"v2\""));
    assert_eq!(versions(&seawall), both_are("\"v2\""));
    let before = origin.count();
    assert_eq!(versions(&seawall), both_are("\"v2\""));
    assert_eq!(origin.count(), before, "and stored");
}

#[test]
fn an_object_that_shrank() {
    let whole = object();
    let count = AtomicUsize::new(0);
    let origin = Origin::h1(move |request| {
        let whole = if count.fetch_add(1, Ordering::SeqCst) == 0 { &whole[..] } else { &whole[..1_000_000] };
        answer(request, whole, &[("cache-control", "max-age=0, stale-if-error=60")])
    });
    let seawall = cached(&origin, "http1", "on");
    let deep = range("bytes=2000000-2000099");
    check(&h1(&seawall, &deep), 2_000_000, 2_000_099);
    seawall.wait_metric("seawall_cache_objects", &[], 1.0);
    let gone = h1(&seawall, &deep);
    assert_eq!(shown(&gone), (416, "bytes */1000000", String::new()));
    assert!(!status(&gone).contains("stored"), "{}", status(&gone));
    seawall.wait_metric("seawall_cache_objects", &[], 0.0);
}

#[test]
fn a_range_that_does_not_exist_is_the_origins_answer_and_not_stored() {
    let (origin, _) = turning(&[&[("cache-control", "max-age=60")]]);
    let seawall = cached(&origin, "http1", "on");
    for _ in 0..2 {
        for response in both(&seawall, &range(&format!("bytes={LENGTH}-"))) {
            assert_eq!(shown(&response), (416, format!("bytes */{LENGTH}").as_str(), String::new()));
        }
    }
    assert_eq!(origin.count(), 4);
    check(&h1(&seawall, &range("bytes=2000000-2000099")), 2_000_000, 2_000_099);
    assert!(status(&h1(&seawall, &range("bytes=2000000-2000099"))).starts_with("seawall; hit"));
}
