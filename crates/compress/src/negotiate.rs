//! Which coding a client gets (RFC 9110 §12.5.3).

use http::{HeaderMap, header};

use seawall_caching::syntax::{thousandths, trim};

use crate::coding::Coding;
use crate::fields::elements;

/// The coding of `offered`, which is in the server's order, that the client likes best; `None` when it is to get the
/// content as it is.
///
/// The highest weight wins, among equals the first offered. Content as it is comes last, unless the client weighs it
/// above all codings. A client that says nothing gets it too: it may have any coding, but few that say nothing have.
/// A member that cannot be read is passed over; where one name has two weights the lower counts.
#[must_use]
pub fn choose(request: &HeaderMap, offered: &[Coding]) -> Option<Coding> {
    let mut weights = [None; Coding::ALL.len()];
    let (mut any, mut identity) = (None, None);
    for member in elements(request, &header::ACCEPT_ENCODING) {
        let Some((name, weight)) = weighted(member) else { continue };
        let place = if name == b"*" {
            &mut any
        } else if name.eq_ignore_ascii_case(b"identity") {
            &mut identity
        } else if let Some(coding) = Coding::ALL.iter().position(|coding| coding.is_named(name)) {
            &mut weights[coding]
        } else {
            continue;
        };
        *place = Some(place.map_or(weight, |known: u16| known.min(weight)));
    }
    let weight = |coding: Coding| weights[coding as usize].or(any).unwrap_or(0);
    let mut best: Option<Coding> = None;
    for coding in offered.iter().copied().filter(|coding| weight(*coding) > 0) {
        if best.is_none_or(|best| weight(coding) > weight(best)) {
            best = Some(coding);
        }
    }
    let plain = identity.or(any).unwrap_or(0);
    best.filter(|best| weight(*best) >= plain)
}

/// A name and its weight in thousandths (RFC 9110 §12.4.2).
fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|byte| *byte == b';').map(trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut weight = 1000;
    for parameter in parts {
        let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
        weight = thousandths(value?)?;
    }
    Some((name, weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn chosen_of(lines: &[&str], offered: &[Coding]) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        choose(&headers, offered)
    }

    fn chosen(line: &str) -> &'static str {
        chosen_of(&[line], &Coding::ALL).map_or("identity", Coding::token)
    }

    #[test]
    fn the_highest_weight_wins_then_the_servers_order() {
        for (accept, expected) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, deflate, br", "br"),
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("gzip;q=0.9, br;q=0.8", "gzip"),
            ("gzip ; q=0.8 , br;Q=0.8", "br"),
            ("gzip;q=0.001", "gzip"),
            ("*", "zstd"),
            ("*;q=0.5, gzip", "gzip"),
            ("zstd;q=0, *", "br"),
            ("deflate", "identity"),
            ("", "identity"),
            (" , ,", "identity"),
        ] {
            assert_eq!(chosen(accept), expected, "{accept}");
        }
        assert_eq!(chosen_of(&["br, gzip, zstd"], &[Coding::Gzip, Coding::Brotli]), Some(Coding::Gzip));
        assert_eq!(chosen_of(&["br"], &[Coding::Gzip]), None);
        assert_eq!(chosen_of(&["br"], &[]), None);
    }

    #[test]
    fn content_as_it_is_when_the_client_prefers_or_demands_it() {
        for accept in [
            "identity",
            "identity;q=1, *;q=0",
            "identity, gzip;q=0.5",
            "gzip;q=0",
            "gzip;q=0, br;q=0.0, zstd;q=0.000",
            "*;q=0",
            "identity;q=0",
        ] {
            assert_eq!(chosen(accept), "identity", "{accept}");
        }
        assert_eq!(chosen("identity, gzip"), "gzip", "equal weights: the smaller one");
        assert_eq!(chosen("identity;q=0, gzip;q=0.1"), "gzip");
        assert_eq!(chosen_of(&[], &Coding::ALL), None, "silence");
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        for (accept, expected) in [
            ("gzip;q=2", "identity"),
            ("gzip;q=1.001", "identity"),
            ("gzip;q=0.1234", "identity"),
            ("gzip;q=", "identity"),
            ("gzip;level=9", "identity"),
            ("gzip;q=x, br", "br"),
            ("gzip;q=0, gzip", "identity"),
            ("gzip, gzip;q=0", "identity"),
            (";q=1, br", "br"),
            ("\u{fc}, gzip", "gzip"),
        ] {
            assert_eq!(chosen(accept), expected, "{accept}");
        }
        let lines = chosen_of(&["deflate", "gzip;q=0.5", "br;q=0.5"], &Coding::ALL);
        assert_eq!(lines, Some(Coding::Brotli), "several lines are one list");
    }

    proptest! {
        /// What is chosen is never refused by the client.
        #[test]
        fn nothing_refused_is_chosen(
            members in prop::collection::vec(("(gzip|br|zstd|identity|deflate|\\*)", 0u16..=1000), 0..6),
        ) {
            let line: Vec<String> = members.iter()
                .map(|(name, q)| format!("{name};q={}.{:03}", q / 1000, q % 1000)).collect();
            if let Some(coding) = chosen_of(&[&line.join(", ")], &Coding::ALL) {
                let said = |wanted: &str| members.iter().filter(|(name, _)| name == wanted).map(|(_, q)| *q).min();
                prop_assert!(said(coding.token()).or(said("*")).unwrap_or(0) > 0);
            }
        }

        #[test]
        fn never_panics(value in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert(header::ACCEPT_ENCODING, value);
                let _ = choose(&headers, &Coding::ALL);
            }
        }
    }
}
