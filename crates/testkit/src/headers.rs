//! Header fields in the order and with the repetition in which they were sent.

/// A list of header fields. Names keep their case and are compared without it. A byte outside ASCII is kept
/// as the character with the same number (ISO 8859-1), so nothing is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The values of all fields of this name, in order.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let mine = self.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        mine.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields as HTTP/1 lines, without the empty line that ends a head.
    #[must_use]
    pub fn to_lines(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in self.iter() {
            out.extend(latin1(name));
            out.extend_from_slice(b": ");
            out.extend(latin1(value));
            out.extend_from_slice(b"\r\n");
        }
        out
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl From<&http::HeaderMap> for Headers {
    fn from(map: &http::HeaderMap) -> Self {
        map.iter().map(|(name, value)| (name.as_str(), text(value.as_bytes()))).collect()
    }
}

/// Bytes as characters with the same numbers.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The inverse of [`text`]; characters beyond 255 are written as UTF-8, which is what a test means by them.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => out.push(byte),
            Err(_) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}
