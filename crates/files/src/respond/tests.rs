use super::{Reply, Responder};
use crate::folder::Folder;
use hyper::body::Body as _;
use std::fs::{self, File};
use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

struct Site {
    dir: tempfile::TempDir,
    responder: Responder,
}

const TEXT: &str = "0123456789abcdefghij";
const MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

fn site() -> Site {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["docs", "bare", "x:y"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    for (name, text) in [
        ("a.txt", TEXT),
        ("empty", ""),
        ("docs/index.html", "<p>docs"),
        ("x:y/home.htm", "<p>xy"),
        (".env", "KEY=1"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(dir.path().join("a.txt")).unwrap().set_modified(old).unwrap();
    let responder = Responder {
        folder: Folder::new(dir.path().to_path_buf()).unwrap(),
        index: vec!["index.html".into(), "home.htm".into()],
        cache_control: Some("max-age=60".parse().unwrap()),
        dot_files: false,
        disk: crate::disk::Disk::new(1),
        aborted: std::sync::Arc::default(),
    };
    Site { dir, responder }
}

impl Site {
    /// Asks as if some time had passed since the files were written.
    fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        self.responder.answer(&head, SystemTime::now() + Duration::from_secs(60))
    }
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Reads a body to its end.
fn text(reply: Reply) -> String {
    let mut body = reply.into_body();
    let mut bytes = Vec::new();
    let promised = body.len();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    while let Some(frame) = runtime.block_on(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))) {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert!(body.is_end_stream());
    assert_eq!(bytes.len() as u64, promised);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_file_comes_with_all_that_describes_it() {
    let reply = site().ask("GET", "/a.txt?query=ignored", &[]);
    assert_eq!(reply.status(), 200);
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "20"),
        ("last-modified", MODIFIED),
        ("accept-ranges", "bytes"),
        ("cache-control", "max-age=60"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(header(&reply, name), value, "{name}");
    }
    assert!(header(&reply, "etag").starts_with("\"14-"), "{}", header(&reply, "etag"));
    assert_eq!(text(reply), TEXT);
}

#[test]
fn head_says_what_get_would() {
    let site = site();
    for path in ["/a.txt", "/docs/", "/docs", "/nothing", "/empty"] {
        let (get, head) = (site.ask("GET", path, &[]), site.ask("HEAD", path, &[]));
        assert_eq!((get.status(), get.headers()), (head.status(), head.headers()), "{path}");
        assert_eq!(text(head), "");
    }
    let ranged = site.ask("HEAD", "/a.txt", &[("range", "bytes=0-1")]);
    assert_eq!(
        (ranged.status().as_u16(), header(&ranged, "content-length")),
        (200, "20"),
        "Range is for GET alone"
    );
}

#[test]
fn errors_are_short_and_tell_nothing() {
    let site = site();
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/.env", 404),
        ("GET", "/bare/", 404),
        ("GET", "/bare", 404),
        ("GET", "/a.txt/", 404),
        ("GET", "/a.txt/b", 404),
        ("GET", "/docs/../a.txt", 400),
        ("GET", "/%2e%2e/a.txt", 400),
        ("GET", "/docs%2findex.html", 400),
        ("GET", "/a%00.txt", 400),
        ("POST", "/a.txt", 405),
        ("DELETE", "/nothing", 405),
        ("TRACE", "/a.txt", 405),
    ] {
        let reply = site.ask(method, path, &[]);
        assert_eq!(reply.status(), status, "{method} {path}");
        assert_eq!(header(&reply, "x-content-type-options"), "nosniff");
        assert_eq!(header(&reply, "cache-control"), "", "{path}: an error is not a file");
        assert_eq!(header(&reply, "allow"), if status == 405 { "GET, HEAD, OPTIONS" } else { "" });
        let body = text(reply);
        assert!(body.len() < 40 && !body.contains('/'), "{body}");
    }
    let long = site.ask("GET", &format!("/a.txt?{}", "q".repeat(17_000)), &[]);
    assert_eq!(long.status(), 414);
    let options = site.ask("OPTIONS", "/a.txt", &[]);
    assert_eq!((options.status().as_u16(), header(&options, "allow")), (204, "GET, HEAD, OPTIONS"));
}

#[test]
fn dot_files_may_be_allowed() {
    let mut site = site();
    site.responder.dot_files = true;
    assert_eq!(text(site.ask("GET", "/.env", &[])), "KEY=1");
}

#[test]
fn folders_get_their_slash_and_their_index() {
    let site = site();
    assert_eq!(text(site.ask("GET", "/docs/", &[])), "<p>docs");
    assert_eq!(header(&site.ask("GET", "/x:y/", &[]), "content-type"), "text/html; charset=utf-8");
    let reply = site.ask("GET", "/docs?a=b", &[]);
    assert_eq!((reply.status().as_u16(), header(&reply, "location")), (308, "./docs/?a=b"));
    let reply = site.ask("GET", "/x:y", &[]);
    assert_eq!((reply.status().as_u16(), header(&reply, "location")), (308, "./x%3Ay/"));
}

#[test]
fn conditions_are_judged_only_when_it_would_be_a_200() {
    let site = site();
    let tag = header(&site.ask("GET", "/a.txt", &[]), "etag").to_owned();
    let reply = site.ask("GET", "/a.txt", &[("if-none-match", &tag)]);
    assert_eq!(reply.status(), 304);
    assert_eq!((header(&reply, "etag"), header(&reply, "cache-control")), (tag.as_str(), "max-age=60"));
    assert_eq!((header(&reply, "content-length"), header(&reply, "content-type")), ("", ""));
    assert_eq!(text(reply), "");
    assert_eq!(site.ask("HEAD", "/a.txt", &[("if-modified-since", MODIFIED)]).status(), 304);
    assert_eq!(site.ask("GET", "/a.txt", &[("if-match", "\"other\"")]).status(), 412);
    assert_eq!(site.ask("GET", "/nothing", &[("if-none-match", "*")]).status(), 404);
    assert_eq!(site.ask("POST", "/a.txt", &[("if-match", "\"other\"")]).status(), 405);
    assert_eq!(site.ask("GET", "/a.txt", &[("if-none-match", &tag), ("range", "bytes=0-1")]).status(), 304);
}

#[test]
fn a_range_is_a_range() {
    let site = site();
    let reply = site.ask("GET", "/a.txt", &[("range", "bytes=10-12")]);
    assert_eq!(reply.status(), 206);
    assert_eq!(header(&reply, "content-range"), "bytes 10-12/20");
    assert_eq!(
        (header(&reply, "content-length"), header(&reply, "content-type")),
        ("3", "text/plain; charset=utf-8")
    );
    assert_eq!(text(reply), "abc");
    let reply = site.ask("GET", "/a.txt", &[("range", "bytes=20-")]);
    assert_eq!((reply.status().as_u16(), header(&reply, "content-range")), (416, "bytes */20"));
    assert_eq!(site.ask("GET", "/empty", &[("range", "bytes=0-0")]).status(), 416);
    assert_eq!(site.ask("GET", "/empty", &[("range", "bytes=-1")]).status(), 200);
    let twice = site.ask("GET", "/a.txt", &[("range", "bytes=0-1"), ("range", "bytes=0-1")]);
    assert_eq!(twice.status(), 200);
}

#[test]
fn if_range_falls_back_to_the_whole() {
    let site = site();
    let tag = header(&site.ask("GET", "/a.txt", &[]), "etag").to_owned();
    let ask = |value: &str| {
        site.ask("GET", "/a.txt", &[("range", "bytes=0-1"), ("if-range", value)]).status().as_u16()
    };
    assert_eq!((ask(&tag), ask(MODIFIED)), (206, 206));
    assert_eq!(
        (ask("\"other\""), ask(&format!("W/{tag}")), ask("Sun, 09 Sep 2001 01:46:41 GMT")),
        (200, 200, 200)
    );
    let beyond = site.ask("GET", "/a.txt", &[("range", "bytes=99-"), ("if-range", "\"other\"")]);
    assert_eq!(beyond.status(), 200, "an ignored range cannot be unsatisfiable");
}

#[test]
fn many_ranges_make_a_multipart() {
    let reply = site().ask("GET", "/a.txt", &[("range", "bytes=0-1,-2,5-6")]);
    assert_eq!(reply.status(), 206);
    assert_eq!(header(&reply, "content-range"), "", "it belongs into the parts");
    let boundary =
        header(&reply, "content-type").strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
    assert_eq!(header(&reply, "content-length"), reply.body().len().to_string());
    let part = |range: &str, bytes: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/20\r\n\r\n{bytes}"
        )
    };
    let expected =
        format!("{}{}{}\r\n--{boundary}--\r\n", part("0-1", "01"), part("18-19", "ij"), part("5-6", "56"));
    assert_eq!(text(reply), expected);
}

#[test]
fn a_root_that_has_gone_is_our_fault() {
    let site = site();
    fs::rename(site.dir.path(), site.dir.path().with_extension("gone")).unwrap();
    let reply = site.ask("GET", "/a.txt", &[]);
    fs::rename(site.dir.path().with_extension("gone"), site.dir.path()).unwrap();
    assert_eq!(reply.status(), 500);
    assert!(!text(reply).contains("tmp"));
}

#[test]
fn a_fresh_file_is_not_resumed() {
    let site = site();
    let (head, ()) = http::Request::get("/docs/index.html").body(()).unwrap().into_parts();
    let reply = site.responder.answer(&head, SystemTime::now());
    let tag = header(&reply, "etag").to_owned();
    assert!(tag.starts_with("W/"), "{tag}");
    let later = site.ask("GET", "/docs/index.html", &[("if-none-match", &tag)]);
    assert_eq!(later.status(), 200, "what was read while it might still change is not kept");
}
