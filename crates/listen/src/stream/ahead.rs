//! Requests that come before the answer to the one before (RFC 9112 §9.3.2).
//!
//! Pingora knows one request at a time: what it has read behind the end of one it throws away, and bytes that come while
//! it makes an answer end the connection with that answer. So it gets no byte behind the end of a head before it is
//! known what follows there; the rest is kept here until the request is over.
//!
//! Behind a request with a body everything is handed over: where that ends is Pingora's to know. It closes the
//! connection when a request was in what it read too much, after the answer; its client may send it anew.

use bytes::BytesMut;
use memchr::memmem;

const END: &[u8] = b"\r\n\r\n";
/// Kept at most for one connection. What is beyond stays with the system, and the client finds out when that is full.
pub(super) const LIMIT: usize = 16 * 1024;

/// What has been read and not yet been handed over.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    held: BytesMut,
    /// How many bytes of [`END`] were the last ones of the head so far.
    matched: usize,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many bytes may still be read ahead.
    pub(super) fn room(&self) -> usize {
        LIMIT.saturating_sub(self.held.len())
    }

    /// Keeps `bytes` for later.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Begins a head.
    pub(super) fn begin(&mut self) {
        self.matched = 0;
    }

    /// How many of these bytes, which continue a head, belong to it.
    pub(super) fn of_head(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        // An end that began in what came before.
        while self.matched > 0 {
            let Some(byte) = bytes.get(at) else { return at };
            at += 1;
            if *byte == END[self.matched] {
                self.matched += 1;
                if self.matched == END.len() {
                    self.matched = 0;
                    return at;
                }
            } else {
                // The only proper beginning of the end that can be its own end is the first byte.
                self.matched = usize::from(*byte == END[0]);
            }
        }
        if let Some(found) = memmem::find(&bytes[at..], END) {
            return at + found + END.len();
        }
        self.matched = (1..END.len()).rev().find(|count| bytes[at..].ends_with(&END[..*count])).unwrap_or(0);
        bytes.len()
    }

    /// Takes up to `most` of the bytes that were kept, of a head only as far as it goes.
    pub(super) fn take(&mut self, most: usize, head: bool) -> BytesMut {
        let count = most.min(self.held.len());
        let count = if head {
            let held = std::mem::take(&mut self.held);
            let count = self.of_head(&held[..count]);
            self.held = held;
            count
        } else {
            count
        };
        let taken = self.held.split_to(count);
        if self.held.is_empty() {
            // No more memory between requests than before.
            self.held = BytesMut::new();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where the first head ends, read in pieces of these lengths.
    fn in_pieces(text: &[u8], lengths: &[usize]) -> Option<usize> {
        let mut ahead = Ahead::default();
        let mut at = 0;
        let mut lengths = lengths.iter().copied().cycle();
        while at < text.len() {
            let end = (at + lengths.next()?.max(1)).min(text.len());
            let taken = ahead.of_head(&text[at..end]);
            at += taken;
            if at < end || (ahead.matched == 0 && text[..at].ends_with(END)) {
                return Some(at);
            }
        }
        None
    }

    proptest! {
        #[test]
        fn a_head_ends_where_it_ends(text in "[\r\nab]{0,24}", lengths in prop::collection::vec(1usize..6, 1..6)) {
            let found = text.find("\r\n\r\n").map(|at| at + END.len());
            prop_assert_eq!(in_pieces(text.as_bytes(), &lengths), found, "{:?}", text);
        }
    }

    #[test]
    fn what_is_kept_comes_back_head_by_head() {
        let mut ahead = Ahead::default();
        ahead.keep(b"GET /a\r\n\r\nGET /b\r\n\r\nGET /c");
        assert_eq!(ahead.take(100, true), &b"GET /a\r\n\r\n"[..]);
        assert_eq!(ahead.take(100, true), &b"GET /b\r\n\r\n"[..]);
        assert_eq!(ahead.take(3, true), &b"GET"[..]);
        ahead.keep(b"\r\n");
        assert_eq!(ahead.take(100, true), &b" /c\r\n"[..]);
        assert!(ahead.is_empty());
        ahead.keep(b"\r\nbody");
        assert_eq!(ahead.take(100, true), &b"\r\n"[..]);
        assert_eq!(ahead.take(100, false), &b"body"[..]);
        assert_eq!(ahead.room(), LIMIT);
    }
}
