//! Cache-Control and its relatives, read once into plain values (RFC 9111 §5.2).
//!
//! The reading is conservative throughout: a repeated number counts with its smallest value, a number that is
//! none makes the response stale (§4.2.1), a directive that restricts counts however it is dressed, one that
//! permits counts only in its proper form.

#[cfg(test)]
mod forms_tests;
#[cfg(test)]
mod grammar_tests;
mod request;
mod response;
mod surrogate;
mod targeted;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use crate::syntax::{self, delta_seconds, is_token, is_token_byte, list, trim};

pub use request::{MaxStale, RequestDirectives};
pub use response::{ResponseDirectives, Source};
pub use surrogate::{CAPABILITY, SURROGATE_CAPABILITY, SURROGATE_CONTROL};
pub use targeted::TARGETS;

/// Names in a qualified `private` or `no-cache`; with more the directive counts for the whole response.
const MAX_FIELD_NAMES: usize = 32;

/// Fields without which a stored response cannot be understood: a directive that withholds one of them
/// counts for the whole response.
pub(crate) const INDISPENSABLE: [HeaderName; 8] = [
    http::header::CACHE_CONTROL,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_LENGTH,
    http::header::CONTENT_RANGE,
    http::header::CONTENT_TYPE,
    http::header::DATE,
    http::header::EXPIRES,
    http::header::VARY,
];

/// The argument of a directive that takes seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delta {
    /// The directive is not there.
    #[default]
    Absent,
    /// It is there with an argument that is no number: treat the response as stale (RFC 9111 §4.2.1).
    Invalid,
    /// That many seconds, at most [`MAX_DELTA`](crate::MAX_DELTA).
    Seconds(u32),
}

impl Delta {
    /// The seconds, when the directive is there and valid.
    #[must_use]
    pub fn seconds(self) -> Option<u32> {
        match self {
            Self::Seconds(seconds) => Some(seconds),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// Whether the directive is there, valid or not.
    #[must_use]
    pub fn is_present(self) -> bool {
        self != Self::Absent
    }

    /// Takes one more occurrence in: the smallest wins, and one invalid spoils all.
    fn add(&mut self, seconds: Option<u32>) {
        *self = match (*self, seconds) {
            (Self::Invalid, _) | (_, None) => Self::Invalid,
            (Self::Absent, Some(seconds)) => Self::Seconds(seconds),
            (Self::Seconds(old), Some(new)) => Self::Seconds(old.min(new)),
        };
    }
}

/// The reach of `private` and `no-cache`, which may name fields (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reach {
    /// The directive is not there.
    #[default]
    Nothing,
    /// It restricts these fields only.
    Fields(Vec<HeaderName>),
    /// It restricts the whole response.
    All,
}

impl Reach {
    /// Whether the whole response is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// The fields that are meant, when it is not the whole response.
    #[must_use]
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Nothing | Self::All => &[],
        }
    }

    /// Takes one more occurrence in. Whatever cannot be read as field names means everything.
    fn add(&mut self, argument: &Argument<'_>) {
        let named = match argument {
            Argument::Text(text) => field_names(text),
            Argument::None | Argument::Malformed => None,
        };
        let Some(mut named) = named else {
            *self = Self::All;
            return;
        };
        match self {
            Self::All => {}
            Self::Nothing => *self = Self::Fields(named),
            Self::Fields(names) => names.append(&mut named),
        }
        if self.fields().len() > MAX_FIELD_NAMES {
            *self = Self::All;
        }
    }
}

fn field_names(text: &[u8]) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for name in list(text).take(MAX_FIELD_NAMES + 1) {
        let name = HeaderName::from_bytes(name).ok()?;
        if INDISPENSABLE.contains(&name) {
            return None;
        }
        names.push(name);
    }
    (!names.is_empty()).then_some(names)
}

/// What follows the `=` of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Argument<'a> {
    None,
    /// A token, or the content of a quoted string.
    Text(Cow<'a, [u8]>),
    /// Neither of the two.
    Malformed,
}

impl Argument<'_> {
    fn seconds(&self) -> Option<u32> {
        match self {
            Self::Text(text) => delta_seconds(text),
            Self::None | Self::Malformed => None,
        }
    }

    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Calls `visit` with every directive of every line of `field`; returns whether a quote stayed open.
///
/// Directives end at a comma. A name with something behind it that no token holds (`no-store; max-age=1`)
/// is visited by its token part with a malformed argument.
fn each_directive(
    headers: &HeaderMap,
    field: &HeaderName,
    mut visit: impl FnMut(&[u8], &Argument<'_>),
) -> bool {
    let mut open = false;
    for line in headers.get_all(field) {
        let mut elements = syntax::list(line.as_bytes());
        for element in elements.by_ref() {
            let (name, argument) = split(element);
            if !name.is_empty() {
                visit(name, &argument);
            }
        }
        open |= elements.unterminated();
    }
    open
}

fn split(element: &[u8]) -> (&[u8], Argument<'_>) {
    let end = element.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(element.len());
    let (name, rest) = element.split_at(end);
    let argument = match rest {
        [] => Argument::None,
        [b'=', value @ ..] if value.starts_with(b"\"") => {
            syntax::unquote(value).map_or(Argument::Malformed, |text| match text {
                // Whitespace inside the quotes changes nothing for a list of names, and spoils no number twice.
                Cow::Borrowed(text) => Argument::Text(Cow::Borrowed(trim(text))),
                owned => Argument::Text(owned),
            })
        }
        [b'=', value @ ..] if is_token(value) => Argument::Text(Cow::Borrowed(value)),
        _ => Argument::Malformed,
    };
    (name, argument)
}
