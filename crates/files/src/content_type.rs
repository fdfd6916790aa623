//! What kind of content a file name promises.

use std::path::Path;

use http::HeaderValue;

const UNKNOWN: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The `Content-Type` for a file name. Texts are said to be UTF-8, which is what files are today; without it,
/// browsers guess an older encoding. XML says its encoding itself, and a charset here would overrule it.
pub(crate) fn content_type(name: &Path) -> HeaderValue {
    let kind = match mime_guess::from_path(name).first_raw() {
        None => return UNKNOWN,
        // RFC 9239 made this the only name of JavaScript; the table has the old one for some extensions.
        Some("application/javascript") => "text/javascript",
        Some(kind) => kind,
    };
    if kind.starts_with("text/") && kind != "text/xml" {
        return HeaderValue::from_str(&format!("{kind}; charset=utf-8")).unwrap_or(UNKNOWN);
    }
    HeaderValue::from_static(kind)
}

#[cfg(test)]
mod tests {
    use super::content_type;
    use std::path::Path;

    #[test]
    fn knows_the_web() {
        for (name, kind) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.CSS", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.xml", "text/xml"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.webp", "image/webp"),
            ("a.woff2", "font/woff2"),
            ("a.wasm", "application/wasm"),
            ("a.tar.gz", "application/gzip"),
            ("README", "application/octet-stream"),
            ("a.unheardof", "application/octet-stream"),
            (".html", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(name)), kind, "{name}");
        }
    }
}
