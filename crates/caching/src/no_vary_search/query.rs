//! Queries as application/x-www-form-urlencoded reads them (WHATWG URL §5.1).

use super::SearchRule;
use crate::syntax::push_frame;

/// Parameters of a query that are looked into; a longer query is compared as it is spelled.
const MAX_PAIRS: usize = 1024;

/// What stands before a query that was read, and before one that was not.
const READ: u8 = 1;
const SPELLED: u8 = 0;

/// Path, then the parameters that count, framed.
pub(super) fn canonical(rule: &SearchRule, target: &[u8]) -> Vec<u8> {
    let mark = target.iter().position(|byte| *byte == b'?');
    let (path, query) = mark.map_or((target, &[][..]), |at| (&target[..at], &target[at + 1..]));
    let mut out = Vec::with_capacity(target.len() + 32);
    push_frame(&mut out, path);
    if rule.is_exact() || query.iter().filter(|byte| **byte == b'&').count() >= MAX_PAIRS {
        out.push(SPELLED);
        // `/a` and `/a?` differ as spelled.
        push_frame(&mut out, target.get(path.len()..).unwrap_or_default());
        return out;
    }
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            (decode(&pair[..equals]), decode(pair.get(equals + 1..).unwrap_or_default()))
        })
        .filter(|(name, _)| rule.counts(name))
        .collect();
    if rule.ignores_order {
        // Stable: parameters of one name keep their order.
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    out.push(READ);
    for (name, value) in pairs {
        push_frame(&mut out, &name);
        push_frame(&mut out, &value);
    }
    out
}

/// `+` is a blank, `%xx` a byte, and what is no UTF-8 after that becomes U+FFFD.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            (other, _) => out.push(*other),
        }
    }
    match String::from_utf8_lossy(&out) {
        std::borrow::Cow::Borrowed(_) => out,
        std::borrow::Cow::Owned(replaced) => replaced.into_bytes(),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
