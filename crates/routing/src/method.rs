use std::fmt;
use std::str::FromStr;

use http::Method;

/// A request method as the configuration names it: `GET`, `POST`, `PROPFIND`.
///
/// Methods are case-sensitive (RFC 9110 §9.1), so `get` is refused instead of never matching.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MethodName(Method);

impl MethodName {
    /// The method itself.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0
    }
}

impl From<Method> for MethodName {
    fn from(method: Method) -> Self {
        Self(method)
    }
}

impl FromStr for MethodName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let method = Method::from_bytes(text.as_bytes())
            .map_err(|_| format!("`{text}` is not a request method; write `GET`, `POST`, …"))?;
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            let upper = text.to_ascii_uppercase();
            return Err(format!("`{text}` would never match: methods are case-sensitive; write `{upper}`"));
        }
        if method == Method::CONNECT {
            return Err("`CONNECT` has no path, so no route can take it; leave it out".to_owned());
        }
        Ok(Self(method))
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

crate::text_unit::text_unit!(
    MethodName,
    "a request method such as `GET`",
    r"^[A-Z0-9!#$%&'*+.^_`|~-]+$",
    "A request method, in capitals: `GET`, `POST`, `PROPFIND`."
);

#[cfg(test)]
mod tests {
    use super::MethodName;

    #[test]
    fn reads_standard_and_own_methods() {
        for text in ["GET", "HEAD", "POST", "OPTIONS", "PROPFIND", "M-SEARCH"] {
            assert_eq!(text.parse::<MethodName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_would_never_match() {
        for (text, hint) in
            [("get", "`GET`"), ("Get", "`GET`"), ("", "not a"), ("G T", "not a"), ("CONNECT", "no path")]
        {
            assert!(text.parse::<MethodName>().unwrap_err().contains(hint), "{text}");
        }
    }

    #[test]
    fn is_a_text_in_yaml() {
        let methods: Vec<MethodName> = serde_yaml::from_str("[GET, POST]").unwrap();
        assert_eq!(serde_yaml::to_string(&methods).unwrap(), "- GET\n- POST\n");
        assert!(serde_yaml::from_str::<Vec<MethodName>>("[get]").is_err());
    }
}
