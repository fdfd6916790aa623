//! Tags that an origin gives its responses, so that they can be purged together.
//!
//! Every vendor has a field of its own: `Surrogate-Key: a b`, `xkey: a b`, `Cache-Tag: a, b`, and `Cache-Groups: "a", "b"`
//! (RFC 9875). Tags are compared byte by byte.

use std::borrow::Cow;
use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName};

/// The fields that are read when nobody says otherwise.
pub const TAG_FIELDS: [&str; 4] = ["surrogate-key", "cache-tag", "xkey", "cache-groups"];

/// How a field lists its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With spaces between them.
    Words,
    /// With commas between them.
    Commas,
    /// A list of strings (RFC 9651 §3.1).
    Strings,
    /// Nobody knows: spaces and commas.
    Either,
}

/// Which fields have tags, and which of them clients see.
#[derive(Debug, Clone, Default)]
pub struct TagFields {
    fields: Vec<(HeaderName, Form)>,
    hidden: Vec<HeaderName>,
    most: usize,
}

/// A response has more tags than are allowed. It cannot be stored: a purge would miss it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTags;

impl TagFields {
    /// Reads `fields`, and takes those out of what clients are sent that are not in `forwarded`. A response may have up
    /// to `most` tags.
    pub fn new<'n>(
        fields: impl IntoIterator<Item = &'n HeaderName>,
        forwarded: &[HeaderName],
        most: usize,
    ) -> Self {
        let fields: Vec<_> = fields.into_iter().map(|name| (name.clone(), Form::of(name))).collect();
        let hidden = fields.iter().map(|(name, _)| name).filter(|name| !forwarded.contains(name)).cloned();
        Self { hidden: hidden.collect(), fields, most }
    }

    /// The tags of a response, each once.
    ///
    /// # Errors
    /// When there are too many.
    pub fn tags<'h>(&self, headers: &'h HeaderMap) -> Result<BTreeSet<Cow<'h, str>>, TooManyTags> {
        let mut tags = BTreeSet::new();
        for (name, form) in &self.fields {
            for value in headers.get_all(name) {
                // Octets that are no text are no tag that anybody could name.
                let Ok(text) = std::str::from_utf8(value.as_bytes()) else { continue };
                for tag in form.split(text) {
                    tags.insert(tag);
                    if tags.len() > self.most {
                        return Err(TooManyTags);
                    }
                }
            }
        }
        Ok(tags)
    }

    /// The fields that are not sent on to clients.
    #[must_use]
    pub fn hidden(&self) -> &[HeaderName] {
        &self.hidden
    }
}

impl Form {
    fn of(name: &HeaderName) -> Self {
        match name.as_str() {
            "surrogate-key" | "xkey" => Self::Words,
            "cache-tag" | "edge-cache-tag" => Self::Commas,
            "cache-groups" => Self::Strings,
            _ => Self::Either,
        }
    }

    fn split(self, text: &str) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        let plain = |tag: &str| !tag.is_empty();
        match self {
            Self::Words => Box::new(text.split_ascii_whitespace().map(Cow::Borrowed)),
            Self::Commas => {
                Box::new(text.split(',').map(str::trim).filter(move |t| plain(t)).map(Cow::Borrowed))
            }
            Self::Either => {
                let between = |letter: char| letter == ',' || letter.is_ascii_whitespace();
                Box::new(text.split(between).filter(move |t| plain(t)).map(Cow::Borrowed))
            }
            Self::Strings => Box::new(strings(text).into_iter().flatten()),
        }
    }
}

/// The strings of a list; parameters are ignored. `None` when it is no such list: RFC 9875 §2 has a field that does
/// not parse be ignored.
fn strings(text: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut found = Vec::new();
    let mut rest = text.trim_matches([' ', '\t']);
    while !rest.is_empty() {
        let (string, behind) = string(rest)?;
        found.push(string);
        let next = parameters(behind)?;
        rest = next.trim_start_matches([' ', '\t']);
        if let Some(more) = rest.strip_prefix(',') {
            rest = more.trim_start_matches([' ', '\t']);
            if rest.is_empty() {
                return None;
            }
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(found)
}

/// The string in front, and what is behind it.
fn string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                let raw = &inner[..at];
                let string = if raw.len() == out.len() { Cow::Borrowed(raw) } else { Cow::Owned(out) };
                return Some((string, &inner[at + 1..]));
            }
            '\\' => match letters.next()?.1 {
                escaped @ ('"' | '\\') => out.push(escaped),
                _ => return None,
            },
            ' '..='~' => out.push(letter),
            _ => return None,
        }
    }
    None
}

/// What is behind the parameters of an item.
fn parameters(mut text: &str) -> Option<&str> {
    while let Some(rest) = text.strip_prefix(';') {
        let rest = rest.trim_start_matches(' ');
        let end = rest.find([';', ',', ' ', '\t', '=']).unwrap_or(rest.len());
        text = &rest[end..];
        if let Some(value) = text.strip_prefix('=') {
            text = if value.starts_with('"') {
                string(value)?.1
            } else {
                &value[value.find([';', ',', ' ', '\t']).unwrap_or(value.len())..]
            };
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn fields(most: usize) -> TagFields {
        let names: Vec<HeaderName> =
            TAG_FIELDS.iter().chain(&["x-labels"]).map(|name| name.parse().unwrap()).collect();
        TagFields::new(&names, &["cache-groups".parse().unwrap()], most)
    }

    fn tags(lines: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        fields(100).tags(&headers).unwrap().into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn each_field_has_its_form() {
        for (field, value, expected) in [
            ("surrogate-key", "a  b,c a", vec!["a", "b,c"]),
            ("xkey", "p-1\tp-2", vec!["p-1", "p-2"]),
            ("cache-tag", " a, b c ,,A,", vec!["A", "a", "b c"]),
            ("cache-groups", r#""a", "b c";x=1;y , "d\"\\""#, vec!["a", "b c", r#"d"\"#]),
            ("cache-groups", r#""a";x="1,;\"";z"#, vec!["a"]),
            ("x-labels", "a, b c", vec!["a", "b", "c"]),
            ("other", "a", vec![]),
            ("surrogate-key", "", vec![]),
        ] {
            assert_eq!(tags(&[(field, value)]), expected, "{field}: {value}");
        }
        assert_eq!(tags(&[("xkey", "a"), ("xkey", "b"), ("cache-tag", "a")]), ["a", "b"]);
    }

    #[test]
    fn a_list_of_groups_that_is_none_is_ignored() {
        for value in ["a", "\"a", "\"a\" \"b\"", "\"a\",", "\"\\x\"", "\"\u{e4}\"", ","] {
            assert!(tags(&[("cache-groups", value)]).is_empty(), "{value}");
        }
    }

    #[test]
    fn too_many_are_told_and_the_rest_is_hidden() {
        let mut headers = HeaderMap::new();
        headers.append("xkey", "a b c".parse().unwrap());
        headers.append("cache-tag", "a, d".parse().unwrap());
        assert_eq!(fields(3).tags(&headers), Err(TooManyTags));
        assert_eq!(fields(4).tags(&headers).map(|tags| tags.len()), Ok(4));
        let fields = fields(4);
        let hidden: Vec<&str> = fields.hidden().iter().map(HeaderName::as_str).collect();
        assert_eq!(hidden, ["surrogate-key", "cache-tag", "xkey", "x-labels"]);
    }

    proptest! {
        #[test]
        fn any_octets_are_taken_without_harm(value in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                for name in TAG_FIELDS {
                    let mut headers = HeaderMap::new();
                    headers.append(name, value.clone());
                    let tags = fields(1000).tags(&headers).unwrap();
                    prop_assert!(tags.iter().map(|tag| tag.len()).sum::<usize>() <= value.len());
                }
            }
        }
    }
}
