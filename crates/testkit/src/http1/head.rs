//! A message head: the start line and the fields.

use crate::headers::{Headers, text};

/// The head of a message, parsed, with the bytes it was parsed from.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The start line without its line end.
    pub(crate) start: String,
    /// The fields in order.
    pub(crate) headers: Headers,
}

impl Head {
    /// Where the head at the start of `bytes` ends, its empty line included.
    ///
    /// A lone line feed ends lines too here, so that a head written with them is read to its end and then
    /// refused by [`Head::parse`], instead of being waited for in vain.
    pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
        let mut line = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' {
                let content = bytes.get(line..at)?;
                if at > 1 && (content.is_empty() || content == b"\r") {
                    return Some(at + 1);
                }
                line = at + 1;
            }
        }
        None
    }

    /// Parses one whole head, the empty line included.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut lines = lines(bytes)?;
        if lines.pop() != Some("".into()) || lines.is_empty() {
            return Err("the head does not end with an empty line".into());
        }
        let start = lines.remove(0);
        let fields: Result<Vec<_>, _> = lines.iter().map(|line| field(line)).collect();
        Ok(Self { start, headers: fields?.into_iter().collect() })
    }

    /// Version, status and reason of a status line.
    pub(crate) fn status_line(&self) -> Result<(String, u16, String), String> {
        let wrong = || format!("not a status line: {:?}", self.start);
        let mut parts = self.start.splitn(3, ' ');
        let (version, code) = (parts.next().unwrap_or_default(), parts.next().ok_or_else(wrong)?);
        let digits = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let status = code.parse().ok().filter(|status| digits && (100..600).contains(status));
        if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
            return Err(wrong());
        }
        Ok((version.into(), status.ok_or_else(wrong)?, parts.next().unwrap_or_default().into()))
    }

    /// Method, target and version of a request line.
    pub(crate) fn request_line(&self) -> Result<(String, String, String), String> {
        let parts: Vec<_> = self.start.split(' ').collect();
        match parts.as_slice() {
            [method, target, version @ ("HTTP/1.0" | "HTTP/1.1")]
                if !method.is_empty() && !target.is_empty() =>
            {
                Ok(((*method).into(), (*target).into(), (*version).into()))
            }
            _ => Err(format!("not a request line: {:?}", self.start)),
        }
    }
}

/// The lines of a block, each of which must end in CR LF and hold no other control than a tab.
fn lines(bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let shown = || String::from_utf8_lossy(line).into_owned();
        let content = line.strip_suffix(b"\r\n").ok_or_else(|| format!("no CR LF after {:?}", shown()))?;
        if content.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err(format!("a control character in {:?}", shown()));
        }
        out.push(text(content));
    }
    Ok(out)
}

/// One `name: value` line (RFC 9112 §5): a token, no space before the colon, no folding.
pub(crate) fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in the field {line:?}"))?;
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("the name of the field {line:?} is not a token"));
    }
    Ok((name.into(), value.trim_matches([' ', '\t']).into()))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
