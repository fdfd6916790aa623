//! `${NAME}` and `${NAME:-default}` in values.
//!
//! Substitution happens in one scalar at a time, after YAML was parsed: a variable's content can never add a
//! key or change the structure. `$${` writes a literal `${`; a `$` before anything else stays as it is, so
//! regular expressions need no escaping.

/// Why a value could not be substituted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubstituteError {
    #[error("environment variable `{0}` is not set")]
    Unset(String),
    #[error("`${{` without a closing `}}`")]
    Unclosed,
    #[error("`{0}` is not a variable name")]
    Name(String),
}

/// Replaces every variable of `text`. `None` means that there was nothing to replace.
pub(crate) fn substitute(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, SubstituteError> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let body = &rest[start + 2..];
        let end = body.find('}').ok_or(SubstituteError::Unclosed)?;
        let (name, default) = match body[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&body[..end], None),
        };
        let valid = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !valid {
            return Err(SubstituteError::Name(name.to_owned()));
        }
        match (lookup(name), default) {
            (Some(value), _) if !value.is_empty() || default.is_none() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            _ => return Err(SubstituteError::Unset(name.to_owned())),
        }
        rest = &body[end + 1..];
    }
    out.push_str(rest);
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::{SubstituteError, substitute};

    fn lookup(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8080".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn replaces_defaults_and_escapes() {
        let sub = |text| substitute(text, &lookup);
        assert_eq!(sub("plain"), Ok(None));
        assert_eq!(sub(r"^/x\.png$"), Ok(None));
        assert_eq!(sub("127.0.0.1:${PORT}"), Ok(Some("127.0.0.1:8080".into())));
        assert_eq!(sub("${NONE:-a}${EMPTY:-b}"), Ok(Some("ab".into())));
        assert_eq!(sub("[${EMPTY}]"), Ok(Some("[]".into())));
        assert_eq!(sub("$${PORT}"), Ok(Some("${PORT}".into())));
    }

    #[test]
    fn refuses_what_it_cannot_replace() {
        let sub = |text| substitute(text, &lookup);
        assert_eq!(sub("${NONE}"), Err(SubstituteError::Unset("NONE".into())));
        assert_eq!(sub("${PORT"), Err(SubstituteError::Unclosed));
        assert_eq!(sub("${a b}"), Err(SubstituteError::Name("a b".into())));
        assert_eq!(sub("${}"), Err(SubstituteError::Name(String::new())));
    }
}
