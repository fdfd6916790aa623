use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::Captures;

/// The memory one compiled regex may take, in bytes. A path regex takes a few KiB; what is beyond this is a
/// slip such as `(\w{1,1000}){1,1000}`.
const SIZE_LIMIT: usize = 256 << 10;

/// Compiles a regex within the size limit. Matching takes linear time, whatever the path.
///
/// # Errors
/// When it is no regex or too large, with the regex crate's text, which marks the place.
pub(crate) fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT << 2).build().map_err(|error| {
        match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("it takes more than {limit} bytes when compiled; use smaller repetitions")
            }
            other => other.to_string(),
        }
    })
}

/// A regex searched for in a path.
#[derive(Debug, Clone)]
pub(crate) struct PathRegex {
    regex: Regex,
    names: Vec<Arc<str>>,
}

impl PathRegex {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let regex = compile(text)?;
        let names = regex
            .capture_names()
            .enumerate()
            .skip(1)
            .map(|(number, name)| name.map_or_else(|| number.to_string().into(), Into::into))
            .collect();
        Ok(Self { regex, names })
    }

    pub(crate) fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }

    /// What the groups matched; a group that took no part is empty.
    pub(crate) fn captures(&self, path: &str) -> Captures {
        if self.names.is_empty() {
            return Captures::default();
        }
        let Some(found) = self.regex.captures(path) else { return Captures::default() };
        let values = found.iter().skip(1).map(|group| group.map_or("", |group| group.as_str()));
        self.names.iter().zip(values).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::PathRegex;

    #[test]
    fn captures_by_name_and_number() {
        let regex = PathRegex::parse(r"^/(\d+)/(?<slug>[a-z]+)(\.html)?$").unwrap();
        let captures = regex.captures("/12/abc");
        assert_eq!(
            captures.iter().collect::<Vec<_>>(),
            [("1", "12"), ("slug", "abc"), ("3", "")],
            "a group that took no part is empty"
        );
    }

    #[test]
    fn refuses_what_is_no_regex_or_too_large() {
        assert!(PathRegex::parse("(").unwrap_err().contains("unclosed group"));
        // The regex crate's own limit lets this one pass.
        let large = r"^/\w{100}$";
        assert!(regex::Regex::new(large).is_ok());
        assert!(PathRegex::parse(large).unwrap_err().contains("smaller repetitions"));
    }
}
