//! What the origin answers: always the same to the same request.

use seawall_testkit::{Reply, Request, body};

/// Text that compresses.
fn text(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|i| format!("<p>Paragraph {i}</p>\n").into_bytes()).take(bytes).collect()
}

const FOREVER: &str = "max-age=1000000000";

/// The answer named by the last part of the path.
pub(crate) fn answer(request: &Request) -> Reply {
    let name = request.path().rsplit('/').next().unwrap_or_default();
    let kept = |reply: Reply| reply.header("Cache-Control", "max-age=600");
    let wanted = |field: &str| request.header(field).unwrap_or("none").to_owned();
    match name {
        "length" => kept(Reply::ok("some text")),
        "chunked" => kept(Reply::new(200).body("some ").body("text").chunked()),
        "closed" => kept(Reply::ok("until the end").until_close()),
        "http10" => kept(Reply::ok("old").http10()),
        "404" => kept(Reply::new(404).body("not here")),
        "404chunked" => kept(Reply::new(404).body("not ").body("here").chunked()),
        "301" => kept(Reply::new(301).header("Location", "/length").body("moved")),
        "301bare" => kept(Reply::new(301).header("Location", "/length")),
        "204" => kept(Reply::new(204)),
        "203" => kept(Reply::new(203).body("changed on the way")),
        "410" => kept(Reply::new(410).body("gone")),
        "500" => kept(Reply::new(500).body("broken")),
        "reason" => kept(Reply::ok("text").reason("Very Well")),
        "empty" => kept(Reply::new(200)),
        "emptychunked" => kept(Reply::new(200).chunked()),
        "etag" => kept(validated(request, "ETag", "\"v1\"", "if-none-match")),
        "weak" => kept(Reply::ok("weak").header("ETag", "W/\"v1\"")),
        "dated" => {
            kept(validated(request, "Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT", "if-modified-since"))
        }
        "date" => {
            let date = "Tue, 24 Nov 2020 10:00:00 GMT";
            Reply::ok("dated").header("Date", date).header("Cache-Control", FOREVER).header("X-After", "date")
        }
        "expires" => Reply::ok("x")
            .header("Expires", "Thu, 01 Jan 2099 00:00:00 GMT")
            .header("Cache-Control", "public"),
        "aged" => kept(Reply::ok("aged").header("X-Before", "1").header("Age", "100").header("X-After", "2")),
        "language" => kept(Reply::ok(wanted("accept-language")).header("Vary", "Accept-Language")),
        "encoding" => kept(Reply::ok(wanted("accept-encoding")).header("Vary", "Accept-Encoding")),
        "several" => kept(
            Reply::ok(wanted("x-one") + &wanted("x-two")).header("Vary", "X-One").header("Vary", "x-two"),
        ),
        "star" => kept(Reply::ok("star").header("Vary", "*")),
        "cookie" => kept(Reply::ok("cookie").header("Set-Cookie", "a=1").header("Set-Cookie", "b=2")),
        "publiccookie" => {
            Reply::ok("x").header("Set-Cookie", "a=1").header("Cache-Control", "public, max-age=600")
        }
        "nocookie" => Reply::ok("x")
            .header("Set-Cookie", "a=1")
            .header("Cache-Control", "max-age=600, no-cache=\"set-cookie\""),
        "tags" => kept(Reply::ok("tags").headers(&[
            ("Surrogate-Key", "red warm"),
            ("Cache-Tag", "red, warm"),
            ("xkey", "blue"),
            ("Cache-Groups", "\"one\", \"two\""),
        ])),
        "surrogate" => {
            Reply::ok("x").header("Surrogate-Control", "max-age=600").header("Cache-Control", "no-cache")
        }
        "cdn" => {
            Reply::ok("x").header("CDN-Cache-Control", "max-age=600").header("Cache-Control", "max-age=1")
        }
        "search" => kept(Reply::ok(request.target.clone()).header("No-Vary-Search", "params=(\"utm\")")),
        "large" => kept(Reply::ok(body(1, 1 << 20)).header("ETag", "\"large\"")),
        "pieces" => {
            let reply = (0..16).fold(Reply::new(200), |reply, piece| reply.body(body(piece, 70_001)));
            kept(reply.chunked())
        }
        "page" => {
            kept(Reply::ok(text(20_000)).header("Content-Type", "text/html").header("ETag", "\"page\""))
        }
        "fields" => kept(Reply::ok("fields").headers(&[
            ("X-Many", "1"),
            ("X-Secret", "hidden"),
            ("x-many", "2"),
            ("X-Served-By", "origin"),
            ("CONTENT-TYPE", "text/plain"),
            ("X-Many", "3"),
            ("Via", "1.1 before"),
            ("Cache-Status", "inner; hit"),
            ("Server", "old"),
            ("Link", "</a.css>; rel=preload"),
        ])),
        "hop" => kept(Reply::ok("hop").headers(&[
            ("Connection", "X-Private"),
            ("X-Private", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"),
        ])),
        "trailer" => kept(Reply::ok("body").trailer("X-Sum", "1")),
        "private" => Reply::ok("private").header("Cache-Control", "private, max-age=600"),
        "nostore" => Reply::ok("secret").header("Cache-Control", "no-store"),
        "revalidated" => {
            validated(request, "ETag", "\"r\"", "if-none-match").header("Cache-Control", "max-age=0")
        }
        "stale" => validated(request, "ETag", "\"s\"", "if-none-match")
            .header("Cache-Control", "max-age=60, stale-while-revalidate=3600")
            .header("Age", "61"),
        "must" => Reply::ok("x").header("Cache-Control", "max-age=600, must-revalidate, public"),
        "immutable" => Reply::ok("x").header("Cache-Control", "max-age=600, immutable"),
        "auth" => Reply::ok(wanted("authorization")).header("Cache-Control", "s-maxage=600"),
        "hints" => kept(Reply::ok("x").interim(103, &[("Link", "</a.css>; rel=preload")])),
        other => {
            kept(Reply::ok(format!("{} {other} {}", request.method, String::from_utf8_lossy(&request.body))))
        }
    }
}

/// A response with this validator, or the 304 that confirms it.
fn validated(request: &Request, name: &str, value: &str, condition: &str) -> Reply {
    let reply = if request.header(condition) == Some(value) {
        Reply::new(304)
    } else {
        Reply::ok(format!("validated by {name}"))
    };
    reply.header(name, value)
}
