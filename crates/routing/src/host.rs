//! One spelling for each host.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The longest host name, in bytes (RFC 1035 §2.3.4, without the root's dot).
pub const MAX_HOST_BYTES: usize = 253;
/// The longest label, in bytes (RFC 1035 §2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Why a `Host`, `:authority` or configured host is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No host at all.
    #[error("the host is empty")]
    Empty,
    /// `user@host`: never in a request's authority (RFC 9110 §4.2.4).
    #[error("the host carries user information before `@`")]
    UserInfo,
    /// A byte that no host name has.
    #[error("the host has the byte 0x{0:02x}, which no host name may have")]
    IllegalByte(u8),
    /// Two dots in a row, or a dot in front.
    #[error("the host has an empty label (two dots in a row, or a dot in front)")]
    EmptyLabel,
    /// Longer than the DNS allows.
    #[error("the host is longer than 253 bytes or has a label longer than 63")]
    TooLong,
    /// The part after the colon is no port.
    #[error("the host's port is not a number up to 65535")]
    Port,
    /// `::1` without brackets, `[` without `]`, or no address between them.
    #[error("the host's IPv6 address is not written as `[address]`")]
    Ipv6,
}

/// Brings the host of a request to the one spelling that routing and the cache key use: no port, no IPv6
/// brackets, lower case, no trailing dot. Nothing is allocated when it already has that spelling.
///
/// `authority` is the value of `Host` or `:authority` (RFC 9110 §7.2): `host [":" port]`.
///
/// # Errors
/// When it is empty, carries user information, has a byte that no host name has, or is too long. Such a
/// request deserves a 400.
pub fn normalize_host(authority: &str) -> Result<Cow<'_, str>, HostError> {
    if authority.contains('@') {
        return Err(HostError::UserInfo);
    }
    if let Some(rest) = authority.strip_prefix('[') {
        return normalize_ipv6(rest);
    }
    let (host, port) = match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => return Err(HostError::Ipv6),
        Some((host, port)) => (host, port),
        None => (authority, ""),
    };
    check_port(port)?;
    normalize_name(host)
}

/// `rest` is what follows the opening bracket.
fn normalize_ipv6(rest: &str) -> Result<Cow<'_, str>, HostError> {
    let (inside, after) = rest.split_once(']').ok_or(HostError::Ipv6)?;
    match after.strip_prefix(':') {
        Some(port) => check_port(port)?,
        None if after.is_empty() => {}
        None => return Err(HostError::Ipv6),
    }
    // A zone (`fe80::1%eth0`) does not parse: it means nothing on another machine (RFC 6874 §4).
    let address: Ipv6Addr = inside.parse().map_err(|_| HostError::Ipv6)?;
    let text = address.to_string();
    Ok(if text == inside { Cow::Borrowed(inside) } else { Cow::Owned(text) })
}

/// An empty port is allowed (RFC 3986 §3.2.3).
fn check_port(port: &str) -> Result<(), HostError> {
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    if port.is_empty() || (digits && port.parse::<u16>().is_ok()) { Ok(()) } else { Err(HostError::Port) }
}

/// A name or an IPv4 address, without a port.
pub(crate) fn normalize_name(name: &str) -> Result<Cow<'_, str>, HostError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > MAX_HOST_BYTES {
        return Err(HostError::TooLong);
    }
    let (mut label, mut upper) = (0_usize, false);
    for byte in name.bytes() {
        match byte {
            b'.' if label == 0 => return Err(HostError::EmptyLabel),
            b'.' => {
                label = 0;
                continue;
            }
            b'A'..=b'Z' => upper = true,
            // Underscores are no host names by RFC 952, but stand in real zones and real requests.
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            other => return Err(HostError::IllegalByte(other)),
        }
        label += 1;
        if label > MAX_LABEL_BYTES {
            return Err(HostError::TooLong);
        }
    }
    if label == 0 {
        return Err(HostError::EmptyLabel);
    }
    Ok(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

#[cfg(test)]
mod tests {
    use super::{HostError, normalize_host};
    use proptest::prelude::*;
    use std::borrow::Cow;

    #[test]
    fn brings_to_one_spelling() {
        for (written, normal) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com", "example.com"),
            ("example.com.", "example.com"),
            ("example.com:8080", "example.com"),
            ("example.com.:443", "example.com"),
            ("example.com:", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("my_host", "my_host"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[::1]:8443", "::1"),
            ("[2001:DB8:0:0::1]", "2001:db8::1"),
        ] {
            assert_eq!(normalize_host(written).as_deref(), Ok(normal), "{written}");
        }
    }

    #[test]
    fn allocates_only_for_a_change() {
        assert!(matches!(normalize_host("example.com:80"), Ok(Cow::Borrowed(_))));
        assert!(matches!(normalize_host("[::1]:80"), Ok(Cow::Borrowed(_))));
        assert!(matches!(normalize_host("Example.com"), Ok(Cow::Owned(_))));
    }

    #[test]
    fn refuses_what_is_no_host() {
        let long_label = "a".repeat(64);
        let long = ["a".repeat(60).as_str(); 5].join(".");
        for (written, error) in [
            ("", HostError::Empty),
            (".", HostError::Empty),
            (":80", HostError::Empty),
            ("user@example.com", HostError::UserInfo),
            ("a@[::1]", HostError::UserInfo),
            ("exa mple.com", HostError::IllegalByte(b' ')),
            ("example.com/x", HostError::IllegalByte(b'/')),
            ("example.com\r\nX: y", HostError::Port),
            ("a\0b", HostError::IllegalByte(0)),
            ("*.example.com", HostError::IllegalByte(b'*')),
            ("b\u{fc}cher.example", HostError::IllegalByte(0xc3)),
            ("a%2e.example", HostError::IllegalByte(b'%')),
            ("a,b", HostError::IllegalByte(b',')),
            ("a..b", HostError::EmptyLabel),
            (".a", HostError::EmptyLabel),
            ("a..", HostError::EmptyLabel),
            ("example.com:http", HostError::Port),
            ("example.com:+80", HostError::Port),
            ("example.com:65536", HostError::Port),
            ("::1", HostError::Ipv6),
            ("[::1", HostError::Ipv6),
            ("[::1]x", HostError::Ipv6),
            ("[127.0.0.1]", HostError::Ipv6),
            ("[fe80::1%25eth0]", HostError::Ipv6),
            (long_label.as_str(), HostError::TooLong),
            (long.as_str(), HostError::TooLong),
        ] {
            let got = normalize_host(written);
            if written.contains('\r') {
                assert!(got.is_err());
            } else {
                assert_eq!(got, Err(error), "{written}");
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_yields_only_host_bytes(text in "\\PC*") {
            if let Ok(host) = normalize_host(&text) {
                prop_assert!(host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.:".contains(&b)));
            }
        }
        #[test]
        fn a_normal_name_stays(text in "[A-Za-z0-9_-]{1,20}(\\.[A-Za-z0-9_-]{1,20}){0,4}\\.?(:[0-9]{0,4})?") {
            let once = normalize_host(&text).unwrap().into_owned();
            prop_assert_eq!(normalize_host(&once).unwrap(), once.as_str());
        }
    }
}
