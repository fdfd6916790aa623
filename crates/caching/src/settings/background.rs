//! Whether a response that nobody reads any more still goes into the store.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What becomes of a response on its way into the store when its clients have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackgroundFill {
    /// It goes on.
    #[default]
    On,
    /// It stops.
    Off,
    /// It goes on if this much of it is there, in percent; one whose length nobody knows stops.
    From(u8),
}

impl BackgroundFill {
    /// Whether a fill of which `there` bytes are there goes on; `length` is that of the whole where its head says so.
    #[must_use]
    pub fn goes_on(self, there: u64, length: Option<u64>) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::From(percent) => length
                .is_some_and(|length| u128::from(there) * 100 >= u128::from(length) * u128::from(percent)),
        }
    }
}

impl FromStr for BackgroundFill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let percent = || digits.filter(|digits| digits.len() <= 3)?.parse().ok();
        match text {
            "on" | "true" | "yes" => Ok(Self::On),
            "off" | "false" | "no" => Ok(Self::Off),
            _ => match percent() {
                Some(percent @ 1..=100) => Ok(Self::From(percent)),
                _ => Err(format!("`{text}` is neither `on`, `off` nor a share from `1%` to `100%`")),
            },
        }
    }
}

impl fmt::Display for BackgroundFill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("on"),
            Self::Off => f.write_str("off"),
            Self::From(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for BackgroundFill {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackgroundFill {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = BackgroundFill;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`on`, `off` or a share such as `50%`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<BackgroundFill, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<BackgroundFill, E> {
                Ok(if on { BackgroundFill::On } else { BackgroundFill::Off })
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for BackgroundFill {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BackgroundFill".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "boolean"], "pattern": "^(on|off|true|false|yes|no|[1-9][0-9]?%|100%)$",
            "description": "`on`, `off`, or the share of the whole that must be there, such as `50%`."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BackgroundFill::{self, From, Off, On};

    #[test]
    fn goes_on_from_its_share() {
        assert!(On.goes_on(0, None) && !Off.goes_on(10, Some(10)));
        for (there, length, goes_on) in [
            (0, Some(100), false),
            (49, Some(100), false),
            (50, Some(100), true),
            (0, Some(0), true),
            (u64::MAX, Some(u64::MAX), true),
            (u64::MAX, None, false),
        ] {
            assert_eq!(From(50).goes_on(there, length), goes_on, "{there} {length:?}");
        }
    }

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for fill in [On, Off, From(1), From(50), From(100)] {
            assert_eq!(fill.to_string().parse(), Ok(fill));
        }
        for wrong in ["", "50", "0%", "101%", "-1%", "+5%", "0050%", "50 %", "half"] {
            assert!(wrong.parse::<BackgroundFill>().is_err(), "{wrong}");
        }
        assert_eq!(serde_yaml::from_str::<BackgroundFill>("false").unwrap(), Off);
        assert_eq!(serde_yaml::from_str::<BackgroundFill>("'75%'").unwrap(), From(75));
    }
}
