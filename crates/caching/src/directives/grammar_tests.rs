//! Cache-Control against a reader that was written from the grammar alone (RFC 9111 §5.2, RFC 9110 §5.6): it goes byte
//! by byte, knows nothing of the code it checks, and says nothing about what the grammar does not allow.

use super::*;
use proptest::prelude::*;

/// A directive: lower-case name, and its argument when it has one.
type Directive = (String, Option<Vec<u8>>);

/// `#cache-directive`, or `None` when the value is not one.
fn reference(value: &[u8]) -> Option<Vec<Directive>> {
    let mut at = 0;
    let mut found = Vec::new();
    let blank = |at: usize| matches!(value.get(at), Some(b' ' | b'\t'));
    loop {
        while blank(at) {
            at += 1;
        }
        if at == value.len() {
            return Some(found);
        }
        if value[at] != b',' {
            let (directive, end) = directive(value, at)?;
            found.push(directive);
            at = end;
            while blank(at) {
                at += 1;
            }
        }
        match value.get(at) {
            None => return Some(found),
            Some(b',') => at += 1,
            Some(_) => return None,
        }
    }
}

/// `token [ "=" ( token / quoted-string ) ]` from `at` on, and where it ends.
fn directive(value: &[u8], at: usize) -> Option<(Directive, usize)> {
    let end = token(value, at)?;
    let name = String::from_utf8(value[at..end].to_ascii_lowercase()).ok()?;
    if value.get(end) != Some(&b'=') {
        return Some(((name, None), end));
    }
    let at = end + 1;
    if value.get(at) != Some(&b'"') {
        let end = token(value, at)?;
        return Some(((name, Some(value[at..end].to_vec())), end));
    }
    let mut text = Vec::new();
    let mut at = at + 1;
    loop {
        match value.get(at)? {
            b'"' => return Some(((name, Some(text)), at + 1)),
            b'\\' => {
                text.push(*value.get(at + 1)?);
                at += 2;
            }
            other => {
                text.push(*other);
                at += 1;
            }
        }
    }
}

fn token(value: &[u8], at: usize) -> Option<usize> {
    let is = |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = value[at..].iter().take_while(is).count();
    (length > 0).then_some(at + length)
}

/// What the directives say about one that takes seconds.
fn seconds(directives: &[Directive], name: &str) -> Delta {
    let mut least: Option<u128> = None;
    for (_, argument) in directives.iter().filter(|(known, _)| known == name) {
        let text = argument.as_ref().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("");
        let text = text.trim_matches([' ', '\t']);
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Delta::Invalid;
        }
        // More digits than a u128 holds are beyond 2^31 in any case.
        let number = text.parse::<u128>().unwrap_or(u128::MAX);
        least = Some(least.map_or(number, |known| known.min(number)));
    }
    least.map_or(Delta::Absent, |number| Delta::Seconds(number.min(1 << 31) as u32))
}

fn agree(value: &[u8]) -> Result<(), TestCaseError> {
    let mut map = HeaderMap::new();
    map.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_bytes(value).unwrap());
    let read = ResponseDirectives::cache_control(&map);
    let Some(written) = reference(value) else { return Ok(()) };
    prop_assert!(!read.malformed);
    let has = |name: &str| written.iter().any(|(known, _)| known == name);
    let bare = |name: &str| written.iter().any(|(known, argument)| known == name && argument.is_none());
    prop_assert_eq!(read.max_age, seconds(&written, "max-age"));
    prop_assert_eq!(read.s_maxage, seconds(&written, "s-maxage"));
    prop_assert_eq!(read.stale_if_error, seconds(&written, "stale-if-error"));
    prop_assert_eq!(read.no_store, has("no-store"));
    prop_assert_eq!(read.must_revalidate, has("must-revalidate"));
    prop_assert_eq!(read.public, bare("public"));
    prop_assert_eq!(read.no_cache != Reach::Nothing, has("no-cache"));
    if bare("private") {
        prop_assert!(read.private.is_all());
    }
    prop_assert_eq!(read.private != Reach::Nothing, has("private"));
    let requests = RequestDirectives::parse(&map);
    prop_assert_eq!(requests.max_age, seconds(&written, "max-age"));
    prop_assert_eq!(requests.no_cache, has("no-cache"));
    Ok(())
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "max-age",
        "S-MaxAge",
        "stale-if-error",
        "no-store",
        "No-Cache",
        "private",
        "public",
        "must-revalidate",
        "ext",
        "max-ages",
        "MAX-AGE",
    ])
}

fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        3 => "=[0-9]{1,12}",
        1 => "=[0-9]{30,45}",
        2 => "=\"[0-9]{0,4}\"",
        1 => "=\"([a-z0-9, =]|\\\\[\"\\\\a])*\"",
        1 => "=[a-z-]{1,6}",
        1 => "=|=\"| =1|;q",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn lists_of_directives(list in prop::collection::vec((names(), arguments(), "[ \t]{0,2}", "[ \t]{0,2},{1,2}[ \t]?"), 0..6)) {
        let value: String = list.iter().map(|(name, argument, before, after)| format!("{before}{name}{argument}{after}")).collect();
        agree(value.as_bytes())?;
        agree(value.trim_end_matches([',', ' ', '\t']).as_bytes())?;
    }

    #[test]
    fn any_text(value in "[a-z=\",\\\\ ]{0,40}|(max-age|no-store|[=,\" 0-9]|\\\\){0,12}") {
        agree(value.as_bytes())?;
    }
}

/// The reference itself is no stub.
#[test]
fn the_reference_reads_the_grammar() {
    let name = |text: &str, argument: Option<&[u8]>| (text.to_owned(), argument.map(<[u8]>::to_vec));
    let read = reference(b" ,A=\"x, \\\"y\",\tb=c,, no-store ,").unwrap();
    assert_eq!(read, [name("a", Some(b"x, \"y")), name("b", Some(b"c")), name("no-store", None)]);
    for bad in [&b"a b"[..], b"a=", b"=a", b"a=\"x", b"a=\"x\"y", b"a;b", b"a =b", b"\"a\""] {
        assert_eq!(reference(bad), None, "{bad:?}");
    }
    assert_eq!(seconds(&[name("max-age", Some(b"007"))], "max-age"), Delta::Seconds(7));
}
