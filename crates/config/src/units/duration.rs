use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time: `250ms`, `30s`, `5m`, `1h30m`, `7d`. A bare `0` is allowed, any other number needs a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

impl Span {
    /// `n` seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
    /// `n` milliseconds.
    #[must_use]
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }
    /// The time as the standard library has it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
/// A hundred years: larger values are slips, and arithmetic on them would have to care.
const MAX_MILLIS: u64 = 100 * 366 * 86_400_000;

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{text}` is not a length of time: {why}");
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self::default());
        }
        if rest.is_empty() {
            return Err(bad("write a number and a unit such as `30s`"));
        }
        let mut millis: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, next) = after.split_at(letters);
            if unit.is_empty() {
                return Err(bad(if number.is_empty() {
                    "it has no number in front, as in `30s`"
                } else {
                    "the unit is missing; write `30s`, `5m`, `1h`"
                }));
            }
            let factor = UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, factor)| *factor)
                .ok_or_else(|| bad("units are ms, s, m, h, d, w"))?;
            let part = match number.parse::<u64>() {
                Ok(whole) => whole.checked_mul(factor),
                Err(_) => {
                    let value: f64 =
                        number.parse().map_err(|_| bad("it has no number in front, as in `30s`"))?;
                    let value = value * factor as f64;
                    (value <= MAX_MILLIS as f64).then_some(value as u64)
                }
            };
            millis = part
                .and_then(|part| millis.checked_add(part))
                .filter(|sum| *sum <= MAX_MILLIS)
                .ok_or_else(|| bad("it is longer than a hundred years"))?;
            rest = next.trim_start();
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (name, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if millis >= factor {
                write!(f, "{}{name}", millis / factor)?;
                millis %= factor;
            }
        }
        Ok(())
    }
}

super::text_unit!(
    Span,
    "a length of time such as `30s`",
    r"^(0|([0-9.]+(ms|s|m|h|d|w) *)+)$",
    "A length of time with its unit: `250ms`, `30s`, `5m`, `1h30m`, `7d`."
);

#[cfg(test)]
mod tests {
    use super::Span;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("1.5s", 1500),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1m 30s", 90_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "30", "s", "-1s", "5 fortnights", "1e3s", "200000000000d", "1.2.3s", "m5"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(millis in 0u64..3_000_000_000_000) {
            let span = Span(Duration::from_millis(millis));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<Span>();
        }
    }
}
