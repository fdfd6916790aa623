//! `{host}`, `{path}`, `{query}`, `{uri}` and `{name}` in the targets of redirects and rewrites.

use std::fmt::Write as _;

use crate::Captures;
use crate::pattern::is_name;

/// Why a template is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without `}` or the other way round.
    #[error("a brace is not closed or not opened; write `%7B` and `%7D` for braces in the address itself")]
    Braces,
    /// `{}` or a name with strange characters.
    #[error(
        "`{{{0}}}` is not a placeholder; use `{{host}}`, `{{path}}`, `{{query}}`, `{{uri}}` or the name of a capture"
    )]
    Name(String),
    /// A character that may not stand unencoded in an address.
    #[error("{0:?} may not stand in an address; percent-encode it")]
    Character(char),
    /// A part of the request that cannot stand here.
    #[error("`{{{0}}}` cannot stand here; only captures can")]
    CaptureOnly(&'static str),
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(String),
    Host,
    Path,
    Query,
    Uri,
    Capture(String),
}

/// What the placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub captures: &'a Captures,
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, after) = match rest.split_once('{') {
                Some((literal, after)) => (literal, Some(after)),
                None => (rest, None),
            };
            check_literal(literal)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let Some(after) = after else { break };
            let (name, next) = after.split_once('}').ok_or(TemplateError::Braces)?;
            pieces.push(placeholder(name)?);
            rest = next;
        }
        Ok(Self(pieces))
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The names of the captures it wants.
    pub(crate) fn captures(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Capture(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Fills the placeholders in. The result is visible ASCII: whatever else the values hold is
    /// percent-encoded, so no value can end a header field or leave its place in an address.
    pub(crate) fn render(&self, values: &Values<'_>) -> String {
        let mut out = String::with_capacity(64);
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Host => push_host(&mut out, values.host),
                Piece::Path => push_path(&mut out, values.path),
                Piece::Query => push_query(&mut out, values.query.unwrap_or_default()),
                Piece::Uri => {
                    push_path(&mut out, values.path);
                    if let Some(query) = values.query {
                        out.push('?');
                        push_query(&mut out, query);
                    }
                }
                Piece::Capture(name) => {
                    push(&mut out, values.captures.get(name).unwrap_or_default(), b"?#\\")
                }
            }
        }
        out
    }
}

fn placeholder(name: &str) -> Result<Piece, TemplateError> {
    Ok(match name {
        "host" => Piece::Host,
        "path" => Piece::Path,
        "query" => Piece::Query,
        "uri" => Piece::Uri,
        _ if is_name(name) || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())) => {
            Piece::Capture(name.to_owned())
        }
        _ => return Err(TemplateError::Name(name.to_owned())),
    })
}

fn check_literal(text: &str) -> Result<(), TemplateError> {
    for c in text.chars() {
        match c {
            '}' => return Err(TemplateError::Braces),
            '!'..='~' if !matches!(c, '\\' | '"' | '<' | '>' | '^' | '`' | '|') => {}
            _ => return Err(TemplateError::Character(c)),
        }
    }
    Ok(())
}

/// A normalised host; brackets around IPv6.
fn push_host(out: &mut String, host: &str) {
    let ipv6 = host.contains(':');
    if ipv6 {
        out.push('[');
    }
    push(out, host, b"/?#@\\[]");
    if ipv6 {
        out.push(']');
    }
}

/// With a slash in front whatever the caller has: after a host anything else would change the host.
fn push_path(out: &mut String, path: &str) {
    if !path.starts_with('/') {
        out.push('/');
    }
    push(out, path, b"?#\\");
}

fn push_query(out: &mut String, query: &str) {
    push(out, query, b"#\\");
}

/// Appends `text`; what is not visible ASCII, or is one of `encode`, percent-encoded. `%` stays: the text is
/// encoded already.
fn push(out: &mut String, text: &str, encode: &[u8]) {
    for byte in text.bytes() {
        if matches!(byte, b'!'..=b'~') && !b"\"<>^`{|}".contains(&byte) && !encode.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Template, TemplateError, Values};
    use crate::Captures;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn render(template: &str, host: &str, path: &str, query: Option<&str>, id: &str) -> String {
        let name: Arc<str> = "id".into();
        let captures: Captures = [(&name, id)].into_iter().collect();
        Template::parse(template).unwrap().render(&Values { host, path, query, captures: &captures })
    }

    #[test]
    fn fills_the_placeholders() {
        for (template, expected) in [
            ("/new", "/new"),
            ("https://{host}{uri}", "https://example.com/a/b?x=1"),
            ("/q?{query}", "/q?x=1"),
            ("{path}/more", "/a/b/more"),
            ("/u/{id}/x", "/u/7/x"),
            ("/u/{other}/x", "/u//x"),
        ] {
            assert_eq!(render(template, "example.com", "/a/b", Some("x=1"), "7"), expected, "{template}");
        }
        assert_eq!(render("https://{host}{uri}", "::1", "/", None, ""), "https://[::1]/");
    }

    #[test]
    fn values_cannot_leave_their_place() {
        assert_eq!(render("/x/{id}", "h", "/", None, "a\r\nSet-Cookie: b"), "/x/a%0D%0ASet-Cookie:%20b");
        assert_eq!(render("/x/{id}", "h", "/", None, "a?b#c\\d"), "/x/a%3Fb%23c%5Cd");
        assert_eq!(
            render("https://{host}/", "a@evil/b?c#d\\", "/", None, ""),
            "https://a%40evil%2Fb%3Fc%23d%5C/"
        );
        assert_eq!(render("https://{host}{path}", "h", ".evil", None, ""), "https://h/.evil");
    }

    #[test]
    fn refuses_slips() {
        for (template, error) in [
            ("/{a", TemplateError::Braces),
            ("/a}", TemplateError::Braces),
            ("/{}", TemplateError::Name(String::new())),
            ("/{a b}", TemplateError::Name("a b".into())),
            ("/a b", TemplateError::Character(' ')),
            ("/a\r\nb", TemplateError::Character('\r')),
            ("/\u{e9}", TemplateError::Character('\u{e9}')),
            ("/a\\b", TemplateError::Character('\\')),
        ] {
            assert_eq!(Template::parse(template), Err(error), "{template:?}");
        }
    }

    proptest! {
        #[test]
        fn renders_visible_ascii(host in any::<String>(), path in any::<String>(), query in any::<Option<String>>(), id in any::<String>()) {
            let text = render("https://{host}{uri}{path}{query}{id}", &host, &path, query.as_deref(), &id);
            prop_assert!(text.bytes().all(|b| matches!(b, b'!'..=b'~')), "{}", text);
        }
    }
}
