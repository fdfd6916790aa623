use super::{EncodedSlashes, PathError, PathSettings, normalize_path};
use proptest::prelude::*;
use std::borrow::Cow;

#[test]
fn brings_to_one_spelling() {
    for (written, normal) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/%61%2D%2e%5F%7e", "/a-._~"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%5cb", "/a%5Cb"),
        ("/%25", "/%25"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a/..", "/"),
        ("/.", "/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/.well-known/acme", "/.well-known/acme"),
        ("/a/...", "/a/..."),
        ("/a/..b", "/a/..b"),
        ("//a//b//", "//a//b//"),
        ("/a//../b", "/a/b"),
        ("/a//..", "/a/"),
        ("/;v=1/a;b", "/;v=1/a;b"),
        ("/%E9", "/%E9"),
        ("/a|b^\"{}", "/a|b^\"{}"),
    ] {
        assert_eq!(normalize_path(written).as_deref(), Ok(normal), "{written}");
    }
}

#[test]
fn refuses_what_two_readers_read_differently() {
    for (written, error) in [
        ("", PathError::NotAbsolute),
        ("a", PathError::NotAbsolute),
        ("*", PathError::NotAbsolute),
        ("%2Fa", PathError::NotAbsolute),
        ("/..", PathError::AboveRoot),
        ("/a/../..", PathError::AboveRoot),
        ("/%2e%2e/etc/passwd", PathError::AboveRoot),
        ("/a%00", PathError::Nul),
        ("/a%0", PathError::InvalidEscape),
        ("/a%", PathError::InvalidEscape),
        ("/a%zz", PathError::InvalidEscape),
        ("/a%+1", PathError::InvalidEscape),
        ("/a\\b", PathError::Backslash),
        ("/a b", PathError::IllegalByte(b' ')),
        ("/a\tb", PathError::IllegalByte(b'\t')),
        ("/a\r\nb", PathError::IllegalByte(b'\r')),
        ("/a\u{7f}", PathError::IllegalByte(0x7f)),
        ("/a?b", PathError::IllegalByte(b'?')),
        ("/a#b", PathError::IllegalByte(b'#')),
        ("/caf\u{e9}", PathError::IllegalByte(0xc3)),
        ("/%c0%ae%c0%ae/", PathError::Overlong),
        ("/%C0%AF", PathError::Overlong),
        ("/%e0%80%af", PathError::Overlong),
        ("/%f0%80%80%af", PathError::Overlong),
        ("/%f8%80%80%80%af", PathError::Overlong),
        ("/a/..%2fb", PathError::HiddenDots),
        ("/a/..%5Cb", PathError::HiddenDots),
        ("/a/x%2F%2e%2e%2Fb", PathError::HiddenDots),
        ("/a/x%5c..", PathError::HiddenDots),
        ("/a/..;/b", PathError::HiddenDots),
        ("/a/..;x=1/b", PathError::HiddenDots),
        ("/a/%2e%2e%3b/b", PathError::HiddenDots),
        ("/a/.;/b", PathError::HiddenDots),
    ] {
        assert_eq!(normalize_path(written), Err(error), "{written}");
    }
}

#[test]
fn allocates_only_for_a_change() {
    for normal in ["/", "/a/b.c", "/caf%C3%A9", "/a%2Fb", "/.well-known/x", "//"] {
        assert!(matches!(normalize_path(normal), Ok(Cow::Borrowed(_))), "{normal}");
    }
    assert!(matches!(normalize_path("/%61"), Ok(Cow::Owned(_))));
}

#[test]
fn merges_slashes_when_told() {
    let merging = PathSettings { merge_slashes: true, ..PathSettings::default() };
    for (written, normal) in
        [("//a///b//", "/a/b/"), ("//", "/"), ("/a//../b", "/b"), ("/a/b", "/a/b"), ("//./a", "/a")]
    {
        assert_eq!(merging.normalize(written).as_deref(), Ok(normal), "{written}");
    }
}

#[test]
fn refuses_encoded_slashes_when_told() {
    let strict = PathSettings { encoded_slashes: EncodedSlashes::Reject, ..PathSettings::default() };
    for path in ["/a%2fb", "/a%2Fb", "/a%5Cb"] {
        assert_eq!(strict.normalize(path), Err(PathError::EncodedSlash), "{path}");
        assert!(normalize_path(path).is_ok(), "{path}");
    }
    assert!(strict.normalize("/a/b").is_ok());
}

#[test]
fn settings_refuse_unknown_keys() {
    let read: PathSettings = serde_yaml::from_str("{merge_slashes: true, encoded_slashes: reject}").unwrap();
    assert_eq!(read, PathSettings { merge_slashes: true, encoded_slashes: EncodedSlashes::Reject });
    assert!(serde_yaml::from_str::<PathSettings>("{merge_slash: true}").is_err());
}

/// Paths made of the pieces that matter.
fn tricky_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("%2E"),
        Just("%2f"),
        Just("%5C"),
        Just("%25"),
        Just("%61"),
        Just("%c3%a9"),
        Just(";"),
        Just("%3b"),
        Just("a"),
        Just("B"),
        Just("%"),
        Just("2e"),
        Just("\\"),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn merging() -> impl Strategy<Value = PathSettings> {
    any::<bool>().prop_map(|merge_slashes| PathSettings { merge_slashes, ..PathSettings::default() })
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC*") {
        let _ = normalize_path(&text);
    }

    #[test]
    fn is_idempotent_never_grows_and_leaves_no_dots(path in tricky_path(), settings in merging()) {
        if let Ok(normal) = settings.normalize(&path) {
            prop_assert!(normal.len() <= path.len());
            prop_assert!(normal.starts_with('/'));
            prop_assert_eq!(settings.normalize(&normal).unwrap(), normal.as_ref());
            let decoded = normal.replace("%2F", "/").replace("%5C", "/").replace("%2E", ".");
            prop_assert!(!decoded.split('/').any(|s| matches!(s.split(';').next(), Some("." | ".."))), "{}", decoded);
            if settings.merge_slashes {
                prop_assert!(!normal.contains("//"));
            }
        }
    }

    #[test]
    fn spelling_does_not_matter(path in "(/[a-zA-Z0-9_.~-]{0,5}){1,5}", encode in prop::collection::vec(any::<bool>(), 40)) {
        let spelled: String = path
            .chars()
            .zip(encode.iter().cycle())
            .map(|(c, encode)| if *encode && c != '/' { format!("%{:02x}", c as u32) } else { c.to_string() })
            .collect();
        prop_assert_eq!(normalize_path(&spelled), normalize_path(&path));
    }
}
