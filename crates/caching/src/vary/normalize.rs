//! Request fields in a form in which equal meaning is equal bytes (RFC 9111 §4.1).

use http::{HeaderMap, HeaderName, header};

use crate::syntax::{is_token, list, thousandths, trim};

/// Members of a field that are looked into; longer ones are compared as they are.
const MAX_MEMBERS: usize = 32;

/// The normalised value of a field, or `None` when the request does not have it.
pub(super) fn value(request: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    if !request.contains_key(name) {
        return None;
    }
    let meaning = match *name {
        header::ACCEPT_ENCODING => weighted(request, name).map(|members| codings(&members)),
        header::ACCEPT_LANGUAGE => weighted(request, name).map(|members| languages(&members)),
        _ => None,
    };
    // The first byte keeps a normalised value apart from a plain one that happens to look like it.
    let (form, body) = match meaning {
        Some(body) => (b'n', body),
        None => (b'p', joined(request, name)),
    };
    let mut out = Vec::with_capacity(body.len() + 1);
    out.push(form);
    out.extend_from_slice(&body);
    Some(out)
}

/// All lines as one list, without whitespace around commas (RFC 9110 §5.3, §5.6.1).
fn joined(request: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let mut out = Vec::new();
    for member in request.get_all(name).iter().flat_map(|line| list(line.as_bytes())) {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(member);
    }
    out
}

/// The range of Accept-Language with the highest weight, in lower case, when there is exactly one, `*` aside.
pub(super) fn only_favourite(request: &HeaderMap) -> Option<Vec<u8>> {
    let members = weighted(request, &header::ACCEPT_LANGUAGE)?;
    let highest = members.iter().map(|(_, weight)| *weight).max().filter(|weight| *weight > 0)?;
    let mut favourites = members.into_iter().filter(|(_, weight)| *weight == highest);
    let (name, _) = favourites.next()?;
    (favourites.next().is_none() && name != b"*").then_some(name)
}

/// A lower-cased member and its weight in thousandths (RFC 9110 §12.4.2).
pub(crate) type Weighted = (Vec<u8>, u16);

/// The members of a field with weights; `None` when it cannot be read for certain.
pub(crate) fn weighted(request: &HeaderMap, name: &HeaderName) -> Option<Vec<Weighted>> {
    let mut members: Vec<Weighted> = Vec::new();
    for member in request.get_all(name).iter().flat_map(|line| list(line.as_bytes())) {
        let mut parts = member.split(|byte| *byte == b';').map(trim);
        let name = parts.next().filter(|name| is_token(name))?.to_ascii_lowercase();
        let weight = match parts.next() {
            None => 1000,
            Some(parameter) => weight(parameter)?,
        };
        // A second parameter has no meaning here; a second weight for one name has two.
        if parts.next().is_some()
            || members.iter().any(|(known, _)| *known == name)
            || members.len() == MAX_MEMBERS
        {
            return None;
        }
        members.push((name, weight));
    }
    Some(members)
}

/// `q=0.5` in thousandths.
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    thousandths(value)
}

/// The codings that a client accepts, sorted; weights above zero make no difference, since any accepted coding
/// is a right answer (RFC 9110 §12.5.3).
///
/// `identity` is accepted unless refused, so only its refusal is kept. Other refusals matter beside `*` only.
/// Codings nobody here knows are kept: the origin may know them, and a client that does not must not get them.
fn codings(members: &[Weighted]) -> Vec<u8> {
    let accepts_any = members.iter().any(|(name, weight)| name == b"*" && *weight > 0);
    let refuses_any = members.iter().any(|(name, weight)| name == b"*" && *weight == 0);
    let names_identity = members.iter().any(|(name, _)| name == b"identity");
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for (name, weight) in members {
        // RFC 9110 §8.4.1.3: x-gzip is gzip, and likewise x-compress.
        let name = match name.as_slice() {
            b"x-gzip" => b"gzip".as_slice(),
            b"x-compress" => b"compress",
            other => other,
        };
        match (*weight > 0, name) {
            (true, b"identity") | (false, b"*") => {}
            (true, name) => kept.push(name.to_vec()),
            (false, name) if accepts_any || name == b"identity" => kept.push([b"!", name].concat()),
            (false, _) => {}
        }
    }
    if refuses_any && !names_identity {
        kept.push(b"!identity".to_vec());
    }
    kept.sort_unstable();
    kept.dedup();
    kept.join(&b","[..])
}

/// The ranges by falling weight, then by name: the order of equal weights means nothing (RFC 9110 §12.5.4).
fn languages(members: &[Weighted]) -> Vec<u8> {
    let mut ranked: Vec<&Weighted> = members.iter().collect();
    ranked.sort_unstable_by(|(a, qa), (b, qb)| qb.cmp(qa).then_with(|| a.cmp(b)));
    let mut out = Vec::new();
    for (name, weight) in ranked {
        out.extend_from_slice(name);
        out.push(b';');
        out.extend_from_slice(&weight.to_be_bytes());
    }
    out
}
