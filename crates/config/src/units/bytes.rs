use std::fmt;
use std::str::FromStr;

/// A number of bytes: `512`, `64KiB`, `512MiB`, `20GiB`, `1.5GiB`, `10MB`.
///
/// `KiB`, `MiB`, `GiB`, `TiB` count in 1024s; `kB`, `MB`, `GB`, `TB` in 1000s. Case does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// `n` × 1024.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }
    /// `n` × 1024².
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
    /// The number of bytes as an index; the largest index where it does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{text}` is not a size: {why}");
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
        let (number, unit) = (&trimmed[..split], trimmed[split..].trim().to_ascii_lowercase());
        let factor = if unit.is_empty() {
            1
        } else {
            UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(|| {
                bad("write a number and a unit such as `512MiB` (KiB, MiB, GiB, TiB, kB, MB, GB, TB)")
            })?
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(|| bad("it is too large"));
        }
        let value: f64 = number.parse().map_err(|_| bad("it has no number in front, as in `512MiB`"))?;
        let bytes = value * factor as f64;
        if factor == 1 {
            return Err(bad("a fraction of a byte; add a unit such as `MiB`"));
        }
        // 2^53: beyond it a fraction could not be told apart.
        if bytes > 9_007_199_254_740_992.0 {
            return Err(bad("it is too large"));
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{name}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

super::text_unit!(
    ByteSize,
    "a size such as `512MiB`",
    r"^[0-9.]+ *([kKmMgGtT]?[iI]?[bB])?$",
    "A size in bytes, with a unit: `64KiB`, `512MiB`, `20GiB` (1024s) or `kB`, `MB`, `GB` (1000s)."
);

#[cfg(test)]
mod tests {
    use super::ByteSize;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("64KiB", 65536),
            ("1.5GiB", 1_610_612_736),
            ("10 MB", 10_000_000),
            ("1gib", 1 << 30),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5", "10 parsecs", "1e9", "99999999999999TiB", "1..5MiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(bytes in any::<u64>()) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
