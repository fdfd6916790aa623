//! A stored response in the language that a request likes best (RFC 9110 §12.5.4).

use http::{HeaderMap, HeaderName, header};

use super::normalize;
use crate::syntax::{is_token, trim};

/// Whether a stored response that varies by Accept-Language only is what this request wants, although its
/// Accept-Language is another than the one it was stored for: it states one Content-Language, and that is the one
/// range that the request weighs highest.
///
/// Whatever else the origin has to offer, it has nothing that this request would like better.
#[must_use]
pub fn is_in_preferred_language(request: &HeaderMap, vary: &[HeaderName], stored: &HeaderMap) -> bool {
    let [field] = vary else { return false };
    if *field != header::ACCEPT_LANGUAGE {
        return false;
    }
    let mut lines = stored.get_all(header::CONTENT_LANGUAGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let language = trim(line.as_bytes());
    is_token(language)
        && normalize::only_favourite(request).is_some_and(|name| name.eq_ignore_ascii_case(language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    fn preferred(accept: &str, content: &[(&str, &str)], vary: &[HeaderName]) -> bool {
        is_in_preferred_language(&headers(&[("accept-language", accept)]), vary, &headers(content))
    }

    const LANGUAGE: [HeaderName; 1] = [header::ACCEPT_LANGUAGE];
    const GERMAN: &[(&str, &str)] = &[("content-language", "de")];

    #[test]
    fn the_one_favourite() {
        for accept in ["de", "fr;q=0.5, de;q=1.0", "DE, *;q=0.1", "en;q=0.9,de"] {
            assert!(preferred(accept, GERMAN, &LANGUAGE), "{accept}");
        }
    }

    #[test]
    fn anything_less_is_another_variant() {
        for accept in ["de, en", "en, de;q=0.9", "*", "de-AT", "de;q=0", "", "de;q=x"] {
            assert!(!preferred(accept, GERMAN, &LANGUAGE), "{accept}");
        }
        for content in [
            &[][..],
            &[("content-language", "de, en")],
            &[("content-language", "de"), ("content-language", "en")],
        ] {
            assert!(!preferred("de", content, &LANGUAGE), "{content:?}");
        }
        assert!(!preferred("de", GERMAN, &[header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE]));
        assert!(!preferred("de", GERMAN, &[header::ACCEPT_ENCODING]));
    }
}
