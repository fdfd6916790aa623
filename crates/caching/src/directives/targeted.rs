//! Targeted cache control (RFC 9213): a field for this kind of cache that takes the place of Cache-Control.
//!
//! Such a field is a structured Dictionary (RFC 8941). One that does not parse, or is empty, is ignored as a
//! whole. A directive whose value has the wrong type is not consumed: a lifetime becomes invalid (so the
//! response is stale), a flag with `?0` is not there.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::{Argument, ResponseDirectives, Source};

/// The target list, first match first (RFC 9213 §2.2).
pub const TARGETS: [HeaderName; 2] =
    [HeaderName::from_static("seawall-cdn-cache-control"), HeaderName::from_static("cdn-cache-control")];

pub(super) fn first_valid(headers: &HeaderMap) -> Option<ResponseDirectives> {
    TARGETS.into_iter().find_map(|target| {
        let dictionary = dictionary(headers, &target)?;
        let mut directives = ResponseDirectives { source: Source::Targeted(target), ..Default::default() };
        for (name, entry) in &dictionary {
            if let Some(argument) = argument(entry) {
                directives.add(name.as_bytes(), &argument);
            }
        }
        Some(directives)
    })
}

fn dictionary(headers: &HeaderMap, target: &HeaderName) -> Option<Dictionary> {
    let mut lines = headers.get_all(target).iter();
    let first = lines.next()?;
    let mut value = Cow::Borrowed(first.as_bytes());
    for line in lines {
        let joined = value.to_mut();
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line.as_bytes());
    }
    Parser::parse_dictionary(&value).ok().filter(|dictionary| !dictionary.is_empty())
}

/// The value of a directive in the terms of Cache-Control; `None` means as good as not there.
fn argument(entry: &ListEntry) -> Option<Argument<'_>> {
    let ListEntry::Item(item) = entry else { return Some(Argument::Malformed) };
    match &item.bare_item {
        BareItem::Boolean(true) => Some(Argument::None),
        BareItem::Boolean(false) => None,
        BareItem::Integer(number) => Some(Argument::Text(Cow::Owned(number.to_string().into_bytes()))),
        // Field names come as a String; digits in one are no Integer.
        BareItem::String(text) if !text.starts_with(|c: char| c.is_ascii_digit()) => {
            Some(Argument::Text(Cow::Borrowed(text.as_bytes())))
        }
        _ => Some(Argument::Malformed),
    }
}
