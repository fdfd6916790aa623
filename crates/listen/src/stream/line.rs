//! A first look at the request line, as it comes over the wire.
//!
//! When a request line holds bytes that its parser refuses, Pingora percent-encodes them and parses again
//! (`v1/server.rs`, `escape_illegal_request_line`), and the raw head it shows afterwards is the rewritten one. A
//! space, a NUL or a line break inside the target would thus look lawful to all later checks.

use seawall_guard::LineFault;

/// Looks at the bytes of a head up to the end of its first line.
#[derive(Debug, Default)]
pub(super) struct LineScan {
    place: Place,
    spaces: u8,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Empty lines may come before a request (RFC 9112 section 2.2).
    #[default]
    Before,
    Line,
    AfterCr,
    Done,
}

impl LineScan {
    /// Takes the next bytes of the head.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<LineFault> {
        if self.place == Place::Done {
            return None;
        }
        for byte in bytes {
            match self.step(*byte) {
                Ok(Place::Done) => {
                    self.place = Place::Done;
                    return None;
                }
                Ok(next) => self.place = next,
                Err(fault) => {
                    self.place = Place::Done;
                    return Some(fault);
                }
            }
        }
        None
    }

    fn step(&mut self, byte: u8) -> Result<Place, LineFault> {
        match (self.place, byte) {
            (Place::Before, b'\r' | b'\n') => Ok(Place::Before),
            (Place::AfterCr, b'\n') | (Place::Done, _) => Ok(Place::Done),
            (_, b'\n') => Err(LineFault::BareLineFeed),
            (Place::Line, b'\r') => Ok(Place::AfterCr),
            (Place::Before | Place::Line, b' ') => {
                self.spaces = self.spaces.saturating_add(1);
                if self.spaces > 2 { Err(LineFault::IllegalByte) } else { Ok(Place::Line) }
            }
            (Place::Before | Place::Line, 0x21..=0x7e) => Ok(Place::Line),
            _ => Err(LineFault::IllegalByte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LineScan;
    use seawall_guard::LineFault;

    fn scan(bytes: &[u8]) -> Option<LineFault> {
        let whole = LineScan::default().feed(bytes);
        let mut scan = LineScan::default();
        let dripped = bytes.chunks(1).find_map(|byte| scan.feed(byte));
        assert_eq!(whole, dripped, "it does not matter how the bytes come");
        whole
    }

    #[test]
    fn lawful_lines_pass_and_the_rest_is_not_looked_at() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"\r\nGET /\"{}| HTTP/1.0\r\n\x00\xff\n",
            b"GET /half",
            b"",
        ] {
            assert_eq!(scan(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_pingora_would_encode_is_seen() {
        for bytes in [
            &b"GET /a b HTTP/1.1\r\n"[..],
            b"GET /a\x00 HTTP/1.1\r\n",
            b"GET /a\tb HTTP/1.1\r\n",
            b"GET /a\rb HTTP/1.1\r\n",
            b"GET /\x7f HTTP/1.1\r\n",
            b"GET /\xc3\xa9 HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\r\n",
        ] {
            assert_eq!(scan(bytes), Some(LineFault::IllegalByte), "{}", bytes.escape_ascii());
        }
        assert_eq!(scan(b"GET / HTTP/1.1\nHost: a\r\n\r\n"), Some(LineFault::BareLineFeed));
    }
}
