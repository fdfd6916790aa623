//! Whether an origin has agreed to a WebSocket (RFC 6455 §4.2.2).
//!
//! A 101 turns a client's connection into a tunnel that nobody inspects. An origin (or a proxy in front of it)
//! that did not understand the request may answer 101 all the same; what the client sends next would then reach
//! something that still reads HTTP. Only the digest of the client's own key shows that the other end speaks
//! WebSocket.

use boring::{base64, sha};
use http::header::{HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Version};
use pingora_http::{RequestHeader, ResponseHeader};

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a 101 is the right answer to this request: both speak HTTP/1.1 and WebSocket, and the answer proves
/// it.
pub(crate) fn is_agreed(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let asked = request.version == Version::HTTP_11 && names_websocket(&request.headers);
    let granted = response.version == Version::HTTP_11 && names_websocket(&response.headers);
    if !asked || !granted {
        return false;
    }
    let key = only(&request.headers, &SEC_WEBSOCKET_KEY);
    let proof = only(&response.headers, &SEC_WEBSOCKET_ACCEPT);
    key.zip(proof).is_some_and(|(key, proof)| proof.as_bytes() == accept(key.as_bytes()).as_bytes())
}

fn names_websocket(headers: &HeaderMap) -> bool {
    only(headers, &UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The value of a field that is there once: of two nobody knows which the other end read.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// What a server answers to this key.
fn accept(key: &[u8]) -> String {
    let mut digest = sha::Sha1::new();
    digest.update(key);
    digest.update(GUID);
    base64::encode_block(&digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn request(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn answer(fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(101, None).unwrap();
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    fn asked() -> RequestHeader {
        request(&[("upgrade", "websocket"), ("sec-websocket-key", KEY)])
    }

    fn granted() -> ResponseHeader {
        answer(&[("upgrade", "WebSocket"), ("sec-websocket-accept", ACCEPT)])
    }

    #[test]
    fn the_right_proof_is_taken() {
        assert_eq!(accept(KEY.as_bytes()), ACCEPT);
        assert!(is_agreed(&asked(), &granted()));
    }

    #[test]
    fn anything_else_is_no_proof() {
        for fields in [
            &[("upgrade", "websocket")][..],
            &[("sec-websocket-accept", ACCEPT)],
            &[("upgrade", "websocket"), ("sec-websocket-accept", KEY)],
            &[("upgrade", "websocket"), ("sec-websocket-accept", "S3PPLMBITXAQ9KYGZZHZRBK+XOO=")],
            &[("upgrade", "websocket"), ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=x")],
            &[("upgrade", "websocket"), ("sec-websocket-accept", "")],
            &[("upgrade", "websocket"), ("sec-websocket-accept", ACCEPT), ("sec-websocket-accept", ACCEPT)],
            &[("upgrade", "h2c"), ("sec-websocket-accept", ACCEPT)],
            &[("upgrade", "websocket"), ("upgrade", "h2c"), ("sec-websocket-accept", ACCEPT)],
        ] {
            assert!(!is_agreed(&asked(), &answer(fields)), "{fields:?}");
        }
    }

    #[test]
    fn a_request_for_something_else_is_never_agreed_to() {
        for fields in [
            &[("sec-websocket-key", KEY)][..],
            &[("upgrade", "websocket")],
            &[("upgrade", "h2c"), ("sec-websocket-key", KEY)],
            &[("upgrade", "websocket"), ("sec-websocket-key", KEY), ("sec-websocket-key", KEY)],
        ] {
            assert!(!is_agreed(&request(fields), &granted()), "{fields:?}");
        }
    }

    #[test]
    fn only_http11_upgrades() {
        let mut old = asked();
        old.set_version(Version::HTTP_10);
        assert!(!is_agreed(&old, &granted()));
        let mut two = granted();
        two.set_version(Version::HTTP_2);
        assert!(!is_agreed(&asked(), &two));
    }
}
