use super::{HeaderOps, HeaderOpsError, HeaderTarget};
use pingora_http::{RequestHeader, ResponseHeader};
use seawall_config::{Diagnostics, Path};

fn ops(yaml: &str) -> HeaderOps {
    serde_yaml::from_str(yaml).unwrap()
}

fn values<'h>(headers: &'h http::HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

const YAML: &str =
    "{remove: [X-Gone, x-both], set: {X-Set: one, X-Both: new}, add: {X-Add: more, X-Both: newer}}";

#[test]
fn removes_then_sets_then_adds_on_requests() {
    let compiled = ops(YAML).compile(HeaderTarget::Request).unwrap();
    let mut request = RequestHeader::build("GET", b"/", None).unwrap();
    for (name, value) in [("X-Gone", "1"), ("X-Set", "a"), ("X-Set", "b"), ("X-Add", "a"), ("X-Both", "old")]
    {
        request.append_header(name, value).unwrap();
    }
    compiled.apply_request(&mut request).unwrap();
    assert_eq!(values(&request.headers, "x-gone"), [""; 0]);
    assert_eq!(values(&request.headers, "x-set"), ["one"]);
    assert_eq!(values(&request.headers, "x-add"), ["a", "more"]);
    assert_eq!(values(&request.headers, "x-both"), ["new", "newer"]);
    let mut wire = Vec::new();
    request.header_to_h1_wire(&mut wire);
    let wire = String::from_utf8(wire).unwrap();
    assert!(
        wire.contains("X-Add: a\r\nX-Add: more\r\n"),
        "HTTP/1 gets the names as they are written: {wire}"
    );
    assert!(!wire.to_ascii_lowercase().contains("x-gone"), "{wire}");
}

#[test]
fn does_the_same_on_responses() {
    let compiled = ops(YAML).compile(HeaderTarget::Response).unwrap();
    let mut response = ResponseHeader::build(200, None).unwrap();
    response.append_header("X-Gone", "1").unwrap();
    response.append_header("X-Set", "a").unwrap();
    compiled.apply_response(&mut response).unwrap();
    assert_eq!(values(&response.headers, "x-gone"), [""; 0]);
    assert_eq!(values(&response.headers, "x-set"), ["one"]);
    assert_eq!(values(&response.headers, "x-both"), ["new", "newer"]);
}

#[test]
fn nothing_to_do_changes_nothing() {
    let compiled = HeaderOps::default().compile(HeaderTarget::Request).unwrap();
    assert!(compiled.is_empty());
    let mut request = RequestHeader::build("GET", b"/", None).unwrap();
    request.append_header("a", "b").unwrap();
    compiled.apply_request(&mut request).unwrap();
    assert_eq!(request.headers.len(), 1);
}

#[test]
fn fields_of_the_connection_are_not_for_routes() {
    for name in [
        "Connection",
        "keep-alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "content-length",
        "HTTP2-Settings",
    ] {
        for yaml in [
            format!("{{set: {{{name}: x}}}}"),
            format!("{{add: {{{name}: x}}}}"),
            format!("{{remove: [{name}]}}"),
        ] {
            for target in [HeaderTarget::Request, HeaderTarget::Response] {
                assert_eq!(
                    ops(&yaml).compile(target).unwrap_err(),
                    HeaderOpsError::Forbidden(name.to_owned()),
                    "{yaml}"
                );
            }
        }
    }
}

#[test]
fn host_is_for_upstreams_only() {
    assert_eq!(ops("{set: {host: x}}").compile(HeaderTarget::Request).unwrap_err(), HeaderOpsError::Host);
    assert!(ops("{set: {host: x}}").compile(HeaderTarget::Response).is_ok());
}

#[test]
fn values_cannot_hold_a_second_field() {
    for value in ["a\\r\\nX: y", "a\\nb", "a\\0b", "\\u00e9"] {
        let yaml = format!("{{set: {{X-A: \"{value}\"}}}}");
        assert_eq!(
            ops(&yaml).compile(HeaderTarget::Response).unwrap_err(),
            HeaderOpsError::Value("X-A".into()),
            "{yaml}"
        );
    }
    for name in ["", "X A", "X:A", "X\u{e9}"] {
        let mut bad = HeaderOps::default();
        bad.remove.push(name.to_owned());
        assert_eq!(bad.compile(HeaderTarget::Response).unwrap_err(), HeaderOpsError::Name(name.to_owned()));
    }
}

#[test]
fn check_finds_all_with_their_places() {
    let mut out = Diagnostics::default();
    let bad = ops("{remove: [ok, 'a b'], set: {Host: x, X-A: \"\\n\"}, add: {x-b: '1', X-B: '2', TE: x}}");
    bad.check(HeaderTarget::Request, &Path::root().key("headers"), &mut out);
    let found: Vec<(String, bool)> = out.iter().map(|d| (d.path.to_string(), d.on_key)).collect();
    assert_eq!(
        found,
        [
            ("headers.remove[1]".to_owned(), false),
            ("headers.set.Host".to_owned(), true),
            ("headers.set.X-A".to_owned(), false),
            ("headers.add.TE".to_owned(), true),
            ("headers.add.x-b".to_owned(), true),
        ]
    );
    assert!(serde_yaml::from_str::<HeaderOps>("{sett: {}}").is_err());
}

#[test]
fn credentials_are_not_printed() {
    let given = ops(
        "{set: {authorization: a1, X-Auth-Key: a2, cache-control: plain}, add: {Set-Cookie: a3, x-api-key: a4, x-csrf-token: a5}}",
    );
    let text = serde_yaml::to_string(&given).unwrap();
    for secret in ["a1", "a2", "a3", "a4", "a5"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(text.contains("plain") && text.matches("***").count() == 5, "{text}");
}
