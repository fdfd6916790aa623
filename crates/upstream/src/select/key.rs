use std::net::IpAddr;

use http::header::{COOKIE, HeaderMap, HeaderName};

use crate::settings::{HashBy, HashSettings};

/// What the choice of a server may depend on.
#[derive(Debug, Clone, Copy)]
pub struct SelectRequest<'a> {
    /// Path and query, as they are sent to the server.
    pub uri: &'a str,
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// The address of the client.
    pub client: IpAddr,
}

/// Where the key of a consistent hash comes from.
pub(crate) enum HashSource {
    Uri,
    Header(HeaderName),
    Cookie(String),
    ClientAddress,
}

/// The key of one request.
pub(crate) enum Key<'a> {
    Part(&'a [u8]),
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Key<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Part(bytes) => bytes,
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}

impl From<IpAddr> for Key<'_> {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => Self::V6(v6.octets()),
        }
    }
}

impl HashSource {
    /// `None` when the settings have a header or cookie without a name that can be one.
    pub(crate) fn new(settings: &HashSettings) -> Option<Self> {
        Some(match settings.by {
            HashBy::Uri => Self::Uri,
            HashBy::ClientAddress => Self::ClientAddress,
            HashBy::Header => Self::Header(settings.name.as_deref()?.parse().ok()?),
            HashBy::Cookie => Self::Cookie(settings.name.clone()?),
        })
    }

    /// The key of a request; its client's address where it has no such header or cookie.
    pub(crate) fn key<'a>(&self, request: &SelectRequest<'a>) -> Key<'a> {
        let part = match self {
            Self::Uri => Some(request.uri.as_bytes()),
            Self::Header(name) => request.headers.get(name).map(|value| value.as_bytes()),
            Self::Cookie(name) => cookie(request.headers, name.as_bytes()),
            Self::ClientAddress => None,
        };
        part.filter(|bytes| !bytes.is_empty()).map_or_else(|| request.client.into(), Key::Part)
    }
}

/// The value of a cookie (RFC 6265 section 4.2.1); of two of one name the first, as servers take it.
fn cookie<'a>(headers: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|&b| b == b';')).find_map(|pair| {
        let equals = pair.iter().position(|&b| b == b'=')?;
        (pair[..equals].trim_ascii() == name).then(|| pair[equals + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::{HashSource, SelectRequest};
    use http::HeaderMap;

    fn key(source: &HashSource, headers: &[(&'static str, &str)]) -> Vec<u8> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let request =
            SelectRequest { uri: "/a?b=c", headers: &map, client: "::ffff:192.0.2.7".parse().unwrap() };
        source.key(&request).bytes().to_vec()
    }

    #[test]
    fn takes_the_part_that_is_asked_for() {
        assert_eq!(key(&HashSource::Uri, &[]), b"/a?b=c");
        assert_eq!(key(&HashSource::ClientAddress, &[]), [192, 0, 2, 7]);
        let header = HashSource::Header("x-user".parse().unwrap());
        assert_eq!(key(&header, &[("x-user", "ann")]), b"ann");
        let cookie = HashSource::Cookie("sid".into());
        assert_eq!(key(&cookie, &[("cookie", "xsid=1; sid=2;sid=3")]), b"2");
        assert_eq!(key(&cookie, &[("cookie", "a=1"), ("cookie", " sid = 4 ")]), b"4");
    }

    #[test]
    fn falls_back_to_the_client() {
        let header = HashSource::Header("x-user".parse().unwrap());
        assert_eq!(key(&header, &[]), [192, 0, 2, 7]);
        assert_eq!(key(&header, &[("x-user", "")]), [192, 0, 2, 7]);
        let cookie = HashSource::Cookie("sid".into());
        assert_eq!(key(&cookie, &[("cookie", "sid; other=1")]), [192, 0, 2, 7]);
    }
}
