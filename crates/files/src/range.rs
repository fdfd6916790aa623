//! Byte ranges (RFC 9110 §14).

/// How many ranges one request may ask for. More, and the whole file is sent: each part costs us a read and a head,
/// and costs the asker six bytes.
const MOST_RANGES: usize = 5;
/// How many of them may overlap another (§14.2 names "more than two overlapping ranges" as a sign of attack).
const MOST_OVERLAPPING: usize = 2;

/// A run of bytes in a file, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The first byte.
    pub(crate) start: u64,
    /// One past the last byte.
    pub(crate) end: u64,
}

impl Slice {
    /// The number of bytes.
    pub(crate) fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// `Content-Range` for this slice of a file of `size` bytes.
    pub(crate) fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.end.saturating_sub(1))
    }

    fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// What a `Range` field asks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The field is absent, malformed, of another unit, or abusive: a plain 200.
    Whole,
    /// 206 with these parts: at least one, in the order asked for, none touching another.
    Parts(Vec<Slice>),
    /// 416.
    Unsatisfiable,
}

/// Reads a `Range` value for a file of `size` bytes.
pub(crate) fn select(value: &[u8], size: u64) -> Selection {
    let Some(asked) = parse(value) else { return Selection::Whole };
    if size == 0 && asked.iter().any(|spec| matches!(spec, Spec::Last(count) if *count > 0)) {
        // Satisfiable by §14.1.2, yet an empty part has no Content-Range.
        return Selection::Whole;
    }
    let slices: Vec<Slice> = asked.iter().filter_map(|spec| spec.on(size)).collect();
    if slices.is_empty() {
        return Selection::Unsatisfiable;
    }
    let overlapping = slices
        .iter()
        .enumerate()
        .filter(|(i, one)| slices.iter().enumerate().any(|(j, other)| *i != j && one.overlaps(*other)))
        .count();
    if overlapping > MOST_OVERLAPPING {
        return Selection::Whole;
    }
    Selection::Parts(coalesce(slices))
}

/// Joins slices that overlap or adjoin, each group at the place of its first (§15.3.7.2).
fn coalesce(slices: Vec<Slice>) -> Vec<Slice> {
    let mut joined: Vec<Slice> = Vec::with_capacity(slices.len());
    for mut slice in slices {
        let mut place = joined.len();
        // A grown slice may reach others that it did not touch before: start over.
        while let Some(found) = joined.iter().position(|other| slice.touches(*other)) {
            let other = joined.remove(found);
            slice = Slice { start: slice.start.min(other.start), end: slice.end.max(other.end) };
            place = place.saturating_sub(1).min(found);
        }
        joined.insert(place, slice);
    }
    joined
}

#[derive(Debug, Clone, Copy)]
enum Spec {
    /// `5-`, `5-9`: first and last byte, inclusive.
    From(u64, u64),
    /// `-5`: the last bytes.
    Last(u64),
}

impl Spec {
    fn on(self, size: u64) -> Option<Slice> {
        match self {
            Self::From(first, last) if first < size => {
                Some(Slice { start: first, end: last.saturating_add(1).min(size) })
            }
            Self::Last(count) if count > 0 && size > 0 => {
                Some(Slice { start: size.saturating_sub(count), end: size })
            }
            _ => None,
        }
    }
}

/// `None` when the field is to be ignored.
fn parse(value: &[u8]) -> Option<Vec<Spec>> {
    let equals = value.iter().position(|&byte| byte == b'=')?;
    let (unit, set) = value.split_at(equals);
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for member in set[1..].split(|&byte| byte == b',') {
        let member = member.trim_ascii();
        if member.is_empty() {
            continue;
        }
        if specs.len() == MOST_RANGES {
            return None;
        }
        specs.push(spec(member)?);
    }
    (!specs.is_empty()).then_some(specs)
}

fn spec(text: &[u8]) -> Option<Spec> {
    let dash = text.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&text[..dash], &text[dash + 1..]);
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Spec::Last(number(last)?)),
        (false, true) => Some(Spec::From(number(first)?, u64::MAX)),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From(first, last))
        }
    }
}

/// A number of any length; beyond 64 bits it is as good as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests;
