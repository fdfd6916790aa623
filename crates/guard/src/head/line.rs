//! The request line, and the authority of a request.

use super::HeadFault;
use super::bytes::{digits, is_host_name, is_target, is_token};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

/// What a request line asks for.
#[derive(Debug)]
pub(super) struct RequestLine<'a> {
    pub(super) version: Version,
    /// The authority that the target itself names: absolute form and CONNECT.
    authority: Option<&'a [u8]>,
}

impl<'a> RequestLine<'a> {
    pub(super) fn parse(line: &'a [u8], max_target: usize) -> Result<Self, HeadFault> {
        let bad = HeadFault::bad("bad_request_line");
        let space = memchr::memchr(b' ', line).ok_or(bad)?;
        let (method, rest) = (&line[..space], &line[space + 1..]);
        let space = memchr::memchr(b' ', rest).ok_or(bad)?;
        let (target, version) = (&rest[..space], &rest[space + 1..]);
        if !is_token(method) {
            return Err(HeadFault::bad("bad_method"));
        }
        if target.len() > max_target {
            return Err(HeadFault::TARGET_TOO_LONG);
        }
        if !is_target(target) {
            return Err(HeadFault::bad("bad_target"));
        }
        Ok(Self { version: parse_version(version)?, authority: target_authority(method, target)? })
    }

    /// Checks the one `Host` field against the version and the target.
    pub(super) fn check_authority(&self, host: Option<&[u8]>) -> Result<(), HeadFault> {
        let Some(host) = host else {
            // RFC 9112 section 3.2: a request without Host is 400, except from before Host was invented.
            return match self.version {
                Version::Http11 => Err(HeadFault::bad("missing_host")),
                Version::Http10 => Ok(()),
            };
        };
        if !is_authority(host) {
            return Err(HeadFault::bad("bad_host"));
        }
        match self.authority {
            Some(authority) if !authority.eq_ignore_ascii_case(host) => {
                Err(HeadFault::bad("host_differs_from_target"))
            }
            _ => Ok(()),
        }
    }
}

fn parse_version(version: &[u8]) -> Result<Version, HeadFault> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HeadFault::UNKNOWN_VERSION)
        }
        _ => Err(HeadFault::bad("bad_version")),
    }
}

/// The four forms of RFC 9112 section 3.2, each only with the methods it is for.
fn target_authority<'a>(method: &[u8], target: &'a [u8]) -> Result<Option<&'a [u8]>, HeadFault> {
    let bad = Err(HeadFault::bad("bad_target"));
    if method == b"CONNECT" {
        // A CONNECT needs a port.
        return match split_port(target) {
            Some((_, Some(_))) => Ok(Some(target)),
            _ => bad,
        };
    }
    if target.starts_with(b"/") {
        return Ok(None);
    }
    if target == b"*" {
        return if method == b"OPTIONS" { Ok(None) } else { bad };
    }
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(scheme) = scheme else {
        return bad;
    };
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    if is_authority(&rest[..end]) { Ok(Some(&rest[..end])) } else { bad }
}

/// Whether `text` is a host name, an IPv4 address or an IPv6 address in brackets, with or without a port.
pub(super) fn is_authority(text: &[u8]) -> bool {
    split_port(text).is_some()
}

/// Splits host and port; `None` when either is malformed.
fn split_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (host, rest) = if let Some(inner) = text.strip_prefix(b"[") {
        let end = memchr::memchr(b']', inner)?;
        let address = std::str::from_utf8(&inner[..end]).ok()?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        (&text[..end + 2], &inner[end + 1..])
    } else {
        let end = memchr::memchr(b':', text).unwrap_or(text.len());
        if !is_host_name(&text[..end]) {
            return None;
        }
        (&text[..end], &text[end..])
    };
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = digits(rest.strip_prefix(b":")?)?;
    Some((host, Some(u16::try_from(port).ok()?)))
}
