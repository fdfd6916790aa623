//! Requests that come back to where they have been (RFC 8586).

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// The field that lists the CDNs a request has passed.
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Our own entry in the field.
#[derive(Debug)]
pub(crate) struct CdnLoop {
    name: String,
    value: HeaderValue,
}

impl CdnLoop {
    /// `name` is a checked token; one that were none would be an empty entry, which names nobody.
    pub(crate) fn new(name: &str) -> Self {
        let value = HeaderValue::from_str(name).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { name: name.to_owned(), value }
    }

    pub(crate) fn name(&self) -> &HeaderValue {
        &self.value
    }

    /// Whether our name stands in the list, whatever parameters it has. Names are compared without case, as
    /// the hosts that they may be.
    pub(crate) fn has_passed(&self, headers: &HeaderMap) -> bool {
        headers.get_all(&CDN_LOOP).iter().any(|line| {
            split_unquoted(line.as_bytes(), b',').any(|entry| {
                let id = split_unquoted(entry, b';').next().unwrap_or_default();
                id.trim_ascii().eq_ignore_ascii_case(self.name.as_bytes())
            })
        })
    }
}

/// The parts of a value between separators that stand outside of quoted strings.
fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => escaped = true,
            _ => {}
        }
        !quoted && *byte == separator
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN_LOOP, line.parse().unwrap());
        }
        CdnLoop::new("edge-1").has_passed(&headers)
    }

    #[test]
    fn the_own_name_is_found_wherever_it_stands() {
        assert!(passed(&["edge-1"]));
        assert!(passed(&["other, EDGE-1;v=2"]));
        assert!(passed(&["other.example", "third ; a=\"b\" , edge-1"]));
    }

    #[test]
    fn others_and_quoted_text_are_not_it() {
        assert!(!passed(&[]));
        assert!(!passed(&["edge-10, my-edge-1"]));
        assert!(!passed(&["other;note=\"x, edge-1\""]));
        assert!(!passed(&["other;note=\"x\\\", edge-1\""]));
        assert!(!passed(&["other;edge-1"]));
    }
}
