//! Fields that are never kept with a stored response (RFC 9111 §3.1).

use http::{HeaderMap, HeaderName, header};

use crate::directives::INDISPENSABLE;
use crate::syntax::list;

/// Fields about one connection or one proxy, not about the response.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The fields of `headers` that must not be stored: those of one hop, and those that Connection names.
///
/// A field without which the response cannot be understood stays, even if Connection names it.
pub(crate) fn unstorable(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut found: Vec<HeaderName> =
        HOP_BY_HOP.into_iter().filter(|name| headers.contains_key(name)).collect();
    let nominated = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| list(line.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok());
    for name in nominated {
        if headers.contains_key(&name) && !INDISPENSABLE.contains(&name) && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    #[test]
    fn fields_of_one_hop_go() {
        let map = headers(&[
            ("connection", "close, X-Hop, cache-control, absent"),
            ("x-hop", "1"),
            ("x-end", "1"),
            ("cache-control", "max-age=1"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
        ]);
        let mut found: Vec<String> = unstorable(&map).iter().map(ToString::to_string).collect();
        found.sort();
        assert_eq!(found, ["connection", "keep-alive", "proxy-authenticate", "transfer-encoding", "x-hop"]);
        assert!(unstorable(&HeaderMap::new()).is_empty());
    }
}
