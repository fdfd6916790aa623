//! What a request that may have changed something makes unusable (RFC 9111 §4.4).

use http::{HeaderMap, Method, StatusCode, header};

use crate::syntax::trim;

/// Methods registered as safe: they change nothing. All others, known or not, may.
const SAFE: [&str; 8] = ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"];

/// The longest Location that is looked into.
const MAX_REFERENCE: usize = 8192;

/// The URI of the request, as the key is made from it.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and, when it is not the default, port.
    pub authority: &'a str,
    /// Path and query as the client sent them.
    pub path_and_query: &'a [u8],
}

/// Whether a method is defined to change nothing (RFC 9110 §9.2.1).
#[must_use]
pub fn is_safe(method: &Method) -> bool {
    SAFE.contains(&method.as_str())
}

/// The targets (path and query, on the request's own scheme and authority) whose stored responses must be
/// invalidated once the origin has answered: the target itself, and what Location and Content-Location name,
/// when they stay on the same origin. Empty for safe methods and for errors.
///
/// Make the keys with the route's [`KeyPolicy`](crate::KeyPolicy), like those of requests.
#[must_use]
pub fn invalidated(
    method: &Method,
    status: StatusCode,
    origin: &Origin<'_>,
    response: &HeaderMap,
) -> Vec<Vec<u8>> {
    let succeeded = status.is_success() || status.is_redirection();
    if !succeeded || is_safe(method) || *method == Method::CONNECT {
        return Vec::new();
    }
    let mut targets = vec![origin.path_and_query.to_vec()];
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let target = response.get(name).and_then(|value| resolve(origin, trim(value.as_bytes())));
        if let Some(target) = target
            && !targets.contains(&target)
        {
            targets.push(target);
        }
    }
    targets
}

/// The target of a reference that stays on the same origin (RFC 3986 §5.2), without its fragment.
pub(crate) fn resolve(origin: &Origin<'_>, reference: &[u8]) -> Option<Vec<u8>> {
    if reference.len() > MAX_REFERENCE {
        return None;
    }
    let reference = reference.split(|byte| *byte == b'#').next()?;
    let after_scheme = match scheme_end(reference) {
        Some(end) if reference[..end].eq_ignore_ascii_case(origin.scheme.as_bytes()) => {
            let rest = &reference[end + 1..];
            // `http:path` has no authority; nobody agrees on what it means.
            rest.starts_with(b"//").then_some(rest)?
        }
        Some(_) => return None,
        None => reference,
    };
    if let Some(rest) = after_scheme.strip_prefix(b"//") {
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let authority = std::str::from_utf8(&rest[..end]).ok()?;
        return same_authority(origin, authority).then(|| normal(&rest[end..]));
    }
    let (base, _) = split_query(origin.path_and_query);
    match after_scheme {
        [] => Some(origin.path_and_query.to_vec()),
        [b'/', ..] => Some(normal(after_scheme)),
        [b'?', ..] => Some([base, after_scheme].concat()),
        _ => {
            let folder = base.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
            Some(normal(&[&base[..folder], after_scheme].concat()))
        }
    }
}

/// Where the scheme of an absolute reference ends: at a colon before any slash or question mark.
fn scheme_end(reference: &[u8]) -> Option<usize> {
    let end = reference.iter().position(|byte| matches!(byte, b':' | b'/' | b'?'))?;
    let is_scheme = reference[end] == b':'
        && reference.first().is_some_and(u8::is_ascii_alphabetic)
        && reference[..end].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    is_scheme.then_some(end)
}

/// Compared in the form that keys have: case folded, default port dropped.
fn same_authority(origin: &Origin<'_>, authority: &str) -> bool {
    let name = |authority| crate::key::frame(origin.scheme, authority, b"/");
    name(authority) == name(origin.authority)
}

fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    target.split_at(target.iter().position(|byte| *byte == b'?').unwrap_or(target.len()))
}

/// The path without its dot segments (RFC 3986 §5.2.4), and the query as it is.
fn normal(target: &[u8]) -> Vec<u8> {
    let (path, query) = split_query(target);
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                // `/a/..` and `/a/.` end in a slash.
                if last {
                    kept.push(b"");
                }
            }
            other => kept.push(other),
        }
    }
    let mut out = Vec::with_capacity(target.len() + 1);
    for segment in &kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    out.extend_from_slice(query);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_value, headers};
    use proptest::prelude::*;

    const ORIGIN: Origin<'_> =
        Origin { scheme: "https", authority: "example.com", path_and_query: b"/shop/cart?id=1" };

    fn targets(method: &str, status: u16, pairs: &[(&str, &str)]) -> Vec<String> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        invalidated(&method, StatusCode::from_u16(status).unwrap(), &ORIGIN, &headers(pairs))
            .into_iter()
            .map(|target| String::from_utf8(target).unwrap())
            .collect()
    }

    fn location(value: &str) -> Option<String> {
        targets("POST", 201, &[("location", value)]).get(1).cloned()
    }

    #[test]
    fn unsafe_and_unknown_methods_invalidate_their_target() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "PURGE", "FOO", "get"] {
            for status in [200, 201, 204, 302, 303] {
                assert_eq!(targets(method, status, &[]), ["/shop/cart?id=1"], "{method} {status}");
            }
        }
    }

    #[test]
    fn safe_methods_and_errors_invalidate_nothing() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "CONNECT"] {
            assert!(targets(method, 200, &[("location", "/a")]).is_empty(), "{method}");
        }
        for status in [100, 400, 404, 409, 500, 503] {
            assert!(targets("POST", status, &[("location", "/a")]).is_empty(), "{status}");
        }
    }

    #[test]
    fn both_locations_count_once_each() {
        let pairs = [("location", "/a"), ("content-location", "/b")];
        assert_eq!(targets("PUT", 200, &pairs), ["/shop/cart?id=1", "/a", "/b"]);
        let pairs = [("location", "/a"), ("content-location", "https://EXAMPLE.com:443/a")];
        assert_eq!(targets("PUT", 200, &pairs), ["/shop/cart?id=1", "/a"]);
        assert_eq!(targets("PUT", 200, &[("content-location", "cart?id=1")]).len(), 1);
    }

    #[test]
    fn references_are_resolved() {
        for (reference, target) in [
            ("/a?b=c#frag", "/a?b=c"),
            ("https://example.com/a", "/a"),
            ("HTTPS://Example.COM:443/a/../b", "/b"),
            ("https://example.com", "/"),
            ("https://example.com?x=1", "/?x=1"),
            ("//example.com/a", "/a"),
            ("order", "/shop/order"),
            ("./order/", "/shop/order/"),
            ("../order?x=/../y", "/order?x=/../y"),
            ("../../../order", "/order"),
            ("..", "/"),
            (".", "/shop/"),
            ("?id=2", "/shop/cart?id=2"),
            ("/a//b", "/a//b"),
            ("/a:b", "/a:b"),
            ("./a:b", "/shop/a:b"),
            (" /a ", "/a"),
        ] {
            assert_eq!(location(reference).as_deref(), Some(target), "{reference}");
        }
        assert_eq!(location(""), None, "the target itself is there already");
        assert_eq!(location("#frag"), None);
    }

    #[test]
    fn other_origins_are_left_alone() {
        for reference in [
            "http://example.com/a",
            "https://example.com:8443/a",
            "https://example.org/a",
            "//example.org/a",
            "https://example.com@example.org/a",
            "https://user@example.com/a",
            "https:/a",
            "https:a",
            "mailto:a@example.com",
            "javascript:alert(1)",
        ] {
            assert_eq!(location(reference), None, "{reference}");
        }
        assert_eq!(location(&format!("/{}", "a".repeat(MAX_REFERENCE))), None);
    }

    proptest! {
        #[test]
        fn any_location_gives_a_path(value in any_value(), base in "/[a-z./?]{0,12}") {
            let mut map = HeaderMap::new();
            map.insert(header::LOCATION, value);
            let origin = Origin { path_and_query: base.as_bytes(), ..ORIGIN };
            for target in invalidated(&Method::POST, StatusCode::OK, &origin, &map) {
                prop_assert_eq!(target.first(), Some(&b'/'));
            }
        }

        #[test]
        fn normal_paths_have_no_dot_segments(path in "(/[a.]{0,3}){0,6}") {
            let out = normal(path.as_bytes());
            prop_assert_eq!(normal(&out), out.clone());
            let dots = out.split(|byte| *byte == b'/').any(|segment| segment == b"." || segment == b"..");
            prop_assert!(!dots);
        }
    }
}
