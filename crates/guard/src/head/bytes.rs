//! Classes of bytes, and lines.

use super::HeadFault;

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const VALUE: u8 = 4;
const HOST: u8 = 8;

/// The classes each byte belongs to.
const CLASSES: [u8; 256] = {
    let mut classes = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        // RFC 9110 section 5.6.2.
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TOKEN;
        }
        // Visible ASCII. RFC 3986 allows fewer, but browsers send `|`, `{` and `"` as they are. `#` is refused:
        // a fragment is never sent, and what takes it for one reads another path.
        if b.is_ascii_graphic() && b != b'#' {
            class |= TARGET;
        }
        // RFC 9110 section 5.5: visible ASCII, space, tab and obs-text.
        if b == b'\t' || b == b' ' || b.is_ascii_graphic() || b >= 0x80 {
            class |= VALUE;
        }
        // RFC 3986 section 3.2.2, without `@` (userinfo) and without percent-encoding, which no host needs.
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            class |= HOST;
        }
        classes[byte] = class;
        byte += 1;
    }
    classes
};

fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|b| CLASSES[*b as usize] & class != 0)
}

pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

pub(super) fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TARGET)
}

pub(super) fn is_field_value(bytes: &[u8]) -> bool {
    all(bytes, VALUE)
}

pub(super) fn is_host_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, HOST)
}

/// Splits off the first line, which must end with CRLF.
pub(super) fn split_line(bytes: &[u8]) -> Result<(&[u8], &[u8]), HeadFault> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return Err(HeadFault::bad("incomplete_head"));
    };
    match bytes[..end].strip_suffix(b"\r") {
        // A CR inside the line is found as an illegal byte of the token, target or value it stands in.
        Some(line) => Ok((line, &bytes[end + 1..])),
        None => Err(HeadFault::bad("bare_lf")),
    }
}

pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|b| !is_blank(b)) else {
        return &[];
    };
    let end = bytes.iter().rposition(|b| !is_blank(b)).unwrap_or(start);
    &bytes[start..=end]
}

/// A number of digits only: no sign, no space, no overflow.
pub(super) fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |sum, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
