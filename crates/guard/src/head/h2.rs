//! HTTP/2 request heads. The `h2` crate has parsed the frames and Pingora has compared the authorities; what is
//! left is what would turn into something else when it is written as HTTP/1 for an origin.

use http::header::{CONTENT_LENGTH, HOST, HeaderName, TE};
use http::{HeaderMap, Method};
use pingora_http::RequestHeader;

use super::bytes::{digits, is_field_value, is_target, is_token};
use super::line::is_authority;
use super::{HeadFault, HeadLimits};

/// Fields that belong to one HTTP/1 connection (RFC 9113 section 8.2.2).
const CONNECTION_FIELDS: [HeaderName; 5] = [
    http::header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];

/// Checks an HTTP/2 request head. RFC 9113 sections 8.2 (fields) and 8.3.1 (pseudo-fields).
///
/// # Errors
/// The first fault, with the status to answer; the other streams of the connection are not touched by it.
pub fn check_h2(request: &RequestHeader, limits: &HeadLimits) -> Result<(), HeadFault> {
    check_target(request, limits)?;
    check_fields(&request.headers, limits, request.raw_path().len())?;
    check_authority(request)
}

fn check_target(request: &RequestHeader, limits: &HeadLimits) -> Result<(), HeadFault> {
    if !is_token(request.method.as_str().as_bytes()) {
        return Err(HeadFault::bad("bad_method"));
    }
    let path = request.raw_path();
    if path.len() > limits.max_target {
        return Err(HeadFault::TARGET_TOO_LONG);
    }
    if request.method == Method::CONNECT {
        return Ok(());
    }
    let known_form = path.starts_with(b"/") || (path == b"*" && request.method == Method::OPTIONS);
    if known_form && is_target(path) { Ok(()) } else { Err(HeadFault::bad("bad_target")) }
}

fn check_fields(headers: &HeaderMap, limits: &HeadLimits, path: usize) -> Result<(), HeadFault> {
    if headers.len() > limits.max_fields {
        return Err(HeadFault::TOO_MANY_FIELDS);
    }
    if CONNECTION_FIELDS.iter().any(|name| headers.contains_key(name)) {
        return Err(HeadFault::bad("connection_field_in_h2"));
    }
    if headers.get_all(TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        return Err(HeadFault::bad("te_in_h2"));
    }
    let mut size = path;
    for (name, value) in headers {
        // The size as HTTP/1 would write it: `name: value\r\n`.
        size = size.saturating_add(name.as_str().len()).saturating_add(value.len()).saturating_add(4);
        if size > limits.max_head {
            return Err(HeadFault::HEAD_TOO_LARGE);
        }
        if !is_field_value(value.as_bytes()) {
            return Err(HeadFault::bad("bad_field_value"));
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (Some(_), Some(_)) => Err(HeadFault::bad("duplicate_content_length")),
        (Some(length), None) if digits(length.as_bytes()).is_none() => {
            Err(HeadFault::bad("bad_content_length"))
        }
        _ => Ok(()),
    }
}

fn check_authority(request: &RequestHeader) -> Result<(), HeadFault> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next().map(http::HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(HeadFault::bad("duplicate_host"));
    }
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let Some(named) = authority.or(host) else {
        return Err(HeadFault::bad("missing_host"));
    };
    if !is_authority(named) {
        return Err(HeadFault::bad("bad_host"));
    }
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(named)) {
        return Err(HeadFault::bad("host_differs_from_target"));
    }
    Ok(())
}
