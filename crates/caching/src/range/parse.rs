//! The grammar of Range (RFC 9110 §14.1.1), for the unit `bytes`.

use std::ops::Range;

use crate::syntax::trim;

/// One range-spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Spec {
    /// `5-` or `5-9`: first and last byte, both meant.
    From(u64, u64),
    /// `-5`: that many bytes at the end.
    Last(u64),
}

impl Spec {
    /// The bytes it names of a whole of that length; `None` when there are none.
    pub(super) fn on(self, complete: usize) -> Option<Range<usize>> {
        let fit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let range = match self {
            Self::From(first, last) => fit(first)..fit(last).saturating_add(1).min(complete),
            Self::Last(count) => complete.saturating_sub(fit(count))..complete,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// The range-specs of a field, or `None` when it is to be ignored: another unit, malformed anywhere, or more than
/// `max` of them.
pub(super) fn specs(field: &[u8], max: usize) -> Option<Vec<Spec>> {
    let (unit, rest) = field.split_at_checked(5)?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let set = rest.strip_prefix(b"=")?;
    let mut specs = Vec::new();
    // Empty members of a list mean nothing (§5.6.1). The RFC's own example has a blank behind the `=`.
    for member in set.split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty()) {
        if specs.len() == max {
            return None;
        }
        specs.push(spec(member)?);
    }
    (!specs.is_empty()).then_some(specs)
}

/// The range-spec of a field that has exactly one.
pub(crate) fn only_spec(field: &[u8]) -> Option<Spec> {
    specs(field, 1)?.first().copied()
}

fn spec(text: &[u8]) -> Option<Spec> {
    let dash = text.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (&text[..dash], &text[dash + 1..]);
    match (first, last) {
        ([], []) => None,
        ([], count) => Some(Spec::Last(number(count)?)),
        (first, []) => Some(Spec::From(number(first)?, u64::MAX)),
        (first, last) => {
            let (from, to) = (number(first)?, number(last)?);
            // Numbers too large to hold are equal here; which is larger makes no difference to any whole.
            (from <= to).then_some(Spec::From(from, to))
        }
    }
}

/// Digits of any number; one that does not fit is as good as the largest (§14.1.2).
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}
