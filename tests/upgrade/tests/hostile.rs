//! The control API and those who should have none of it.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use seawall_testkit::{Call, DEADLINE, RawClient, Seawall, eventually};

const TOKEN: &str = "correct-horse-battery-staple";
const YAML: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: '127.0.0.1:%{port2}', token: correct-horse-battery-staple, max_connections: 8 }
sites: [{ default: true, routes: [{ path: /, respond: { body: client } }] }]
";

fn status(seawall: &Seawall) -> u16 {
    let call = Call::get("localhost", "/v1/status").header("Authorization", &format!("Bearer {TOKEN}"));
    let client = RawClient::try_tcp(seawall.addr(1));
    client.ok().and_then(|mut client| client.exchange(&call).ok()).map_or(0, |answer| answer.status)
}

/// The status of the answer to these bytes; `None` when the connection is closed without one.
fn answer(seawall: &Seawall, bytes: &[u8]) -> Option<u16> {
    let mut client = RawClient::tcp(seawall.addr(1));
    // It may be closed while this is written.
    let _ = client.try_send(bytes);
    let method = if bytes.starts_with(b"HEAD") { "HEAD" } else { "GET" };
    let answer = client.read_response(method).ok()?;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert!(!answer.text().contains("generation"), "{}", answer.text());
    Some(answer.status)
}

#[test]
fn nothing_gets_in_without_the_token_by_any_trick() {
    let seawall = Seawall::with(YAML).start();
    eventually(DEADLINE, "the API", || status(&seawall) == 200);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let long = "a".repeat(100_000);
    let with = |line: &str, more: &str| format!("{line}\r\nHost: localhost\r\n{more}\r\n");
    let refused: [(String, &[u16]); 26] = [
        // No token, or something like it.
        (with("GET /v1/status HTTP/1.1", ""), &[401]),
        (with("GET /v1/status HTTP/1.0", ""), &[401]),
        (with("HEAD /v1/status HTTP/1.1", ""), &[401]),
        (with("GET /v1/status HTTP/1.1", "Authorization: Bearer\r\n"), &[401]),
        (with("GET /v1/status HTTP/1.1", &format!("Authorization: Basic {TOKEN}\r\n")), &[401]),
        (with("GET /v1/status HTTP/1.1", &format!("Authorization: Bearer {TOKEN}x\r\n")), &[401]),
        (with("GET /v1/status HTTP/1.1", &format!("X-Authorization: Bearer {TOKEN}\r\n")), &[401]),
        (with(&format!("GET /v1/status?token={TOKEN} HTTP/1.1"), ""), &[401]),
        // Paths that lead to one that is open, or around the table.
        (with("GET /livez/../v1/status HTTP/1.1", ""), &[401]),
        (with("GET /livez/%2e%2e/v1/status HTTP/1.1", ""), &[401]),
        (with("GET //v1/status HTTP/1.1", ""), &[400, 401]),
        (with("GET /v1/status/ HTTP/1.1", &token), &[404]),
        (with("GET /V1/STATUS HTTP/1.1", &token), &[404]),
        (with("GET /v1/pools/..%2f..%2fetc HTTP/1.1", &token), &[404]),
        (with("GET /v1/pools/%ff%fe HTTP/1.1", &token), &[404]),
        (with("DELETE /v1/status HTTP/1.1", &token), &[405]),
        (with("CONNECT localhost:80 HTTP/1.1", &token), &[400, 403, 404, 421]),
        // Names that a page could be served under, with the token that a lured operator may have given.
        (format!("GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n{token}\r\n"), &[421]),
        (format!("GET http://evil.example/v1/status HTTP/1.1\r\nHost: localhost\r\n{token}\r\n"), &[421]),
        (
            format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n{token}\r\n"),
            &[400, 421],
        ),
        (format!("GET /v1/status HTTP/1.1\r\n{token}\r\n"), &[400, 421]),
        // What browsers send.
        (with("GET /v1/status HTTP/1.1", &format!("{token}Origin: null\r\n")), &[403]),
        (with("GET /v1/status HTTP/1.1", &format!("{token}Sec-Fetch-Site: same-site\r\n")), &[403]),
        (
            with(
                "OPTIONS /v1/stop HTTP/1.1",
                "Origin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n",
            ),
            &[403],
        ),
        (
            with(
                "POST /v1/stop HTTP/1.1",
                &format!("{token}Content-Type: text/plain\r\nContent-Length: 2\r\n"),
            ) + "{}",
            &[415],
        ),
        (with("POST /v1/stop HTTP/1.1", &format!("{token}Content-Length: 100000\r\n")) + &long, &[413]),
    ];
    for (bytes, allowed) in &refused {
        let said = answer(&seawall, bytes.as_bytes());
        let shown = &bytes[..bytes.len().min(200)];
        assert!(said.is_some_and(|status| allowed.contains(&status)), "{said:?} to {shown}");
        assert_eq!(status(&seawall), 200, "after {shown}");
    }
}

#[test]
fn what_is_no_http_ends_the_connection_and_nothing_else() {
    let seawall = Seawall::with(YAML).start();
    eventually(DEADLINE, "the API", || status(&seawall) == 200);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let wide = format!("X-Wide: {}\r\n", "a".repeat(64 * 1024));
    let many = (0..500).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"GET /v1/status\r\n\r\n".to_vec(),
        b"GET /v1/status HTTP/9.9\r\nHost: localhost\r\n\r\n".to_vec(),
        format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{token}{wide}\r\n").into_bytes(),
        format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{token}{many}\r\n").into_bytes(),
        format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{token} folded: 1\r\n\r\n").into_bytes(),
        format!("POST /v1/stop HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345").into_bytes(),
        format!("POST /v1/stop HTTP/1.1\r\nHost: localhost\r\n{token}Transfer-Encoding: chunked\r\n\r\nzz\r\n").into_bytes(),
    ] {
        let said = answer(&seawall, &bytes);
        assert!(said.is_none_or(|status| status >= 400), "{said:?} to {}", String::from_utf8_lossy(&bytes[..bytes.len().min(90)]));
        assert_eq!(status(&seawall), 200);
    }
}

#[test]
fn those_who_take_their_time_hold_it_up_for_seconds_and_clients_not_at_all() {
    let seawall = Seawall::with(YAML).start();
    eventually(DEADLINE, "the API", || status(&seawall) == 200);
    // Half a head on every connection there is, and half a body on one.
    let mut slow: Vec<RawClient> = (0..7).map(|_| RawClient::tcp(seawall.addr(1))).collect();
    for client in &mut slow {
        client.send("GET /v1/status HTTP/1.1\r\nHost: local");
    }
    let mut body = RawClient::tcp(seawall.addr(1));
    body.send(format!(
        "POST /v1/stop HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 10\r\n\r\n12"
    ));
    eventually(DEADLINE, "all places to be taken", || status(&seawall) == 0);
    let client = seawall_testkit::get(seawall.addr(0), "x", "/", &[]);
    assert_eq!(client.text(), "client");
    eventually(DEADLINE, "room again", || status(&seawall) == 200);
    // Closed, or told to be too slow.
    assert!(body.read_response("POST").map_or(true, |answer| answer.status >= 400));
}
