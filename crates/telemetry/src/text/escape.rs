//! Untrusted bytes into a line that they cannot break.
//!
//! JSON: control characters, quotes and backslashes are escaped as RFC 8259 §7 wants; so are the characters
//! that end a line or turn the writing direction in a terminal or an editor. What is no UTF-8 becomes U+FFFD.
//! Combined: as Apache's `ap_escape_logitem` does, everything that is no printable ASCII is `\xHH`.

/// Appends `bytes`, at most `most` of them, as the inside of a JSON string.
pub(crate) fn push_json(out: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let (bytes, cut) = cap(bytes, most);
    // Almost every value is plain to its end; what is plain is ASCII, so the rest begins with a character.
    let (plain, rest) = bytes.split_at(plain_len(bytes));
    out.extend_from_slice(plain);
    for chunk in rest.utf8_chunks() {
        push_json_str(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
    if cut {
        out.extend_from_slice("…".as_bytes());
    }
}

fn push_json_str(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, tail) = rest.split_at(plain_len(rest.as_bytes()));
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        if let Some(c) = chars.next() {
            push_json_char(out, c);
        }
        rest = chars.as_str();
    }
}

/// How many bytes at the front stand for themselves in JSON.
fn plain_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !PLAIN_JSON[usize::from(*b)]).unwrap_or(bytes.len())
}

fn push_json_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // All of them lie below U+10000, so that one escape is enough.
        c if c.is_control() || is_deceiving(c) => {
            out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                out.push(HEX[(c as usize >> shift) & 15]);
            }
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Ends a line (U+2028, U+2029) or reorders what a person sees (bidirectional controls).
fn is_deceiving(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Appends `bytes`, at most `most` of them, as Apache writes an untrusted value.
pub(crate) fn push_apache(out: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let (bytes, cut) = cap(bytes, most);
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x20..=0x7e => out.push(byte),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
        }
    }
    if cut {
        out.extend_from_slice(b"...");
    }
}

/// The first `most` bytes, without the torn half of a character, and whether something was cut.
fn cap(bytes: &[u8], most: usize) -> (&[u8], bool) {
    if bytes.len() <= most {
        return (bytes, false);
    }
    let mut end = most;
    // A character has at most three bytes after its first.
    while end > most.saturating_sub(3) && bytes[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    (&bytes[..end], true)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The bytes that stand for themselves in JSON: printable ASCII but for the quote and the backslash.
const PLAIN_JSON: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::{push_apache, push_json};
    use proptest::prelude::*;

    fn json(bytes: &[u8], most: usize) -> String {
        let mut out = vec![b'"'];
        push_json(&mut out, bytes, most);
        out.push(b'"');
        String::from_utf8(out).unwrap()
    }

    fn apache(bytes: &[u8], most: usize) -> String {
        let mut out = Vec::new();
        push_apache(&mut out, bytes, most);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_cases() {
        for (bytes, text) in [
            (&b"plain /a?b=c"[..], r#""plain /a?b=c""#),
            (b"a\"b\\c\r\n\t\0", r#""a\"b\\c\r\n\t\u0000""#),
            (b"\x7f\xc2\x85", r#""\u007f\u0085""#),
            ("h\u{202e}x\u{2028}é😀".as_bytes(), r#""h\u202ex\u2028é😀""#),
            (b"a\xff\xfeb", "\"a\u{FFFD}\u{FFFD}b\""),
        ] {
            assert_eq!(json(bytes, 100), text);
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(json("aé".as_bytes(), 3), "\"aé\"");
        assert_eq!(json("aéb".as_bytes(), 2), "\"a…\"");
        assert_eq!(json("a😀b".as_bytes(), 4), "\"a…\"");
        assert_eq!(json(b"abc", 0), "\"…\"");
        assert_eq!(apache(b"abcdef", 3), "abc...");
    }

    #[test]
    fn apache_cases() {
        assert_eq!(apache(b"a \"b\" \\ \n\r\t\x00\x1b\xff", 100), r#"a \"b\" \\ \n\r\t\x00\x1b\xff"#);
    }

    /// What Apache's escapes stand for.
    fn unescape(text: &str) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, tail @ ..] = rest {
            rest = tail;
            if *first != b'\\' {
                out.push(*first);
                continue;
            }
            let (byte, used) = match rest[0] {
                b'n' => (b'\n', 1),
                b'r' => (b'\r', 1),
                b't' => (b'\t', 1),
                b'x' => (u8::from_str_radix(std::str::from_utf8(&rest[1..3]).unwrap(), 16).unwrap(), 3),
                other => (other, 1),
            };
            out.push(byte);
            rest = &rest[used..];
        }
        out
    }

    proptest! {
        #[test]
        fn json_parses_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let line = json(&bytes, usize::MAX);
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            let back: String = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(back, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn json_of_any_text_is_exact(text in "\\PC*|.*") {
            prop_assert_eq!(serde_json::from_str::<String>(&json(text.as_bytes(), usize::MAX)).unwrap(), text);
        }

        #[test]
        fn a_cut_is_a_prefix(text in ".{0,40}", most in 0usize..50) {
            let back: String = serde_json::from_str(&json(text.as_bytes(), most)).unwrap();
            if text.len() <= most {
                prop_assert_eq!(back, text);
            } else {
                let kept = back.strip_suffix('…').unwrap();
                prop_assert!(text.starts_with(kept) && kept.len() <= most && kept.len() + 4 > most);
            }
        }

        #[test]
        fn apache_is_printable_and_reversible(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = apache(&bytes, usize::MAX);
            prop_assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text:?}");
            prop_assert_eq!(unescape(&text), bytes);
        }
    }
}
