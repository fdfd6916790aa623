//! Permissions of a unix socket.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Permission bits as octal digits: `"0660"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct FileMode(u32);

impl FileMode {
    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// `0600`.
    #[must_use]
    pub fn owner_only() -> Self {
        Self(0o600)
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl FromStr for FileMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u32::from_str_radix(text, 8) {
            Ok(bits) if octal && bits <= 0o777 => Ok(Self(bits)),
            _ => Err(format!("`{text}` is not a file mode; write octal digits in quotes such as `\"0660\"`")),
        }
    }
}

impl TryFrom<String> for FileMode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::FileMode;

    #[test]
    fn octal_digits_only() {
        assert_eq!("0660".parse::<FileMode>().unwrap().bits(), 0o660);
        assert_eq!("600".parse::<FileMode>().unwrap().to_string(), "0600");
        for text in ["", "66", "0o660", "888", "1777", "00660", "rw-rw----"] {
            assert!(text.parse::<FileMode>().is_err(), "{text}");
        }
    }
}
