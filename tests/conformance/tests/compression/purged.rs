//! One purge for all encodings.

use super::*;

#[test]
fn one_purge_removes_every_variant() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    let fill = || {
        for (expected, accept) in WANTED {
            assert_eq!(encoding(&h1(&seawall, &accepting("/", accept))), expected);
        }
    };
    fill();
    fill();
    assert_eq!(origin.count(), 4, "all of them are stored");
    assert_eq!(h1(&seawall, &Call::new("PURGE", "example.com", "/")).status, 200);
    assert_eq!(h1(&seawall, &Call::new("PURGE", "example.com", "/")).status, 404);
    fill();
    fill();
    assert_eq!((origin.count(), compressions(&seawall)), (8, 6.0), "none of them was");
    let done = seawall.control(&["purge", "http://example.com/"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    fill();
    assert_eq!((origin.count(), compressions(&seawall)), (12, 9.0));
}

#[test]
fn a_change_removes_every_variant() {
    let origin = Origin::h1(page);
    let seawall = node(&origin, "cache: on, compress: on");
    let fill = || WANTED.iter().for_each(|(_, accept)| _ = h1(&seawall, &accepting("/", accept)));
    fill();
    assert_eq!(h1(&seawall, &Call::post("example.com", "/", "x")).status, 200);
    fill();
    assert_eq!(origin.count(), 9);
}

/// A soft purge makes every variant stale; the one that is asked for is renewed in the background, in its encoding.
#[test]
fn a_soft_purge_renews_each_variant_by_itself() {
    let origin = Origin::h1(|request: &Request| match request.header("if-none-match") {
        Some("\"v1\"") => Reply::new(304).header("etag", "\"v1\"").header("cache-control", "max-age=600"),
        _ => page(request),
    });
    let seawall = node(&origin, "cache: { stale_while_revalidate: 1h }, compress: on");
    for (_, accept) in WANTED {
        let _ = h1(&seawall, &accepting("/", accept));
    }
    let done = seawall.control(&["purge", "--soft", "http://example.com/"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for (fetches, (expected, accept)) in WANTED.iter().enumerate() {
        let stale = h1(&seawall, &accepting("/", accept));
        assert_eq!((encoding(&stale), content(&stale)), (*expected, text(20_000)));
        let asked = origin.wait_requests(5 + fetches);
        let refresh = asked.last().or_die("a request");
        assert_eq!(refresh.header("if-none-match"), Some("\"v1\""));
        assert_eq!(refresh.header("accept-encoding"), Some(*accept));
    }
    assert_eq!(compressions(&seawall), 3.0, "none was coded again");
}
