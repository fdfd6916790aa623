//! The control API and its commands.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;

use seawall_testkit::{
    Call, Child, DEADLINE, Finished, Origin, Pki, RawClient, Reply, Seawall, TlsClient, binary, eventually,
    get, request,
};
use serde_json::Value;

const TOKEN: &str = "correct-horse-battery-staple";

fn yaml(admin: &str) -> String {
    format!(
        "
listeners: [{{ address: '127.0.0.1:%{{port}}' }}]
admin: {admin}
upstreams: {{ app: {{ servers: ['%{{origin}}'] }} }}
sites:
  - hosts: [example.com]
    routes:
      - {{ path: /old/, upstream: app, cache: {{ ttl: 1h }}, rewrite: {{ strip_prefix: /old, add_prefix: /new }} }}
      - {{ path: /, upstream: app, cache: {{ ttl: 1h }} }}
"
    )
}

fn start(admin: &str) -> (Seawall, Origin) {
    let origin = Origin::h1(|_| Reply::ok("body"));
    let seawall = Seawall::with(&yaml(admin)).set("origin", origin.addr()).start();
    (seawall, origin)
}

const UNIX: &str = "{ listen: 'unix:%{dir}/admin.sock' }";
const TCP: &str =
    "{ listen: '127.0.0.1:%{port2}', token: correct-horse-battery-staple, hosts: edge.example }";

fn ask(seawall: &Seawall, call: &Call) -> (u16, Value) {
    let mut client = RawClient::unix(seawall.folder().join("admin.sock"));
    let response = client.exchange(call).expect("an answer");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("access-control-allow-origin"), None);
    let value = serde_json::from_slice(&response.body).expect("JSON");
    (response.status, value)
}

fn json(method: &str, path: &str, body: &str) -> Call {
    Call::new(method, "localhost", path).header("Content-Type", "application/json").body(body)
}

#[test]
fn it_tells_how_things_stand() {
    let (seawall, _origin) = start(UNIX);
    let socket = seawall.folder().join("admin.sock");
    let mode = std::fs::metadata(&socket).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (status, said) = ask(&seawall, &Call::get("localhost", "/v1/status"));
    assert_eq!(status, 200);
    assert_eq!((&said["pid"], &said["generation"]), (&seawall.pid().into(), &1.into()));
    eventually(DEADLINE, "readiness", || ask(&seawall, &Call::get("localhost", "/readyz")).0 == 200);
    let (_, pools) = ask(&seawall, &Call::get("localhost", "/v1/pools"));
    assert_eq!(pools["pools"][0]["servers"][0]["healthy"], true, "{pools}");
    let (_, connections) = ask(&seawall, &Call::get("localhost", "/v1/connections"));
    assert!(connections["max"].as_u64().is_some_and(|max| max >= 64), "{connections}");
    let (_, cache) = ask(&seawall, &Call::get("localhost", "/v1/cache"));
    assert_eq!(cache["tiers"][0]["tier"], "memory", "{cache}");
    let (status, _) = ask(&seawall, &Call::get("localhost", "/v1/pools/none"));
    assert_eq!(status, 404);
    let (_, level) = ask(&seawall, &json("PUT", "/v1/log", r#"{"level":"debug"}"#));
    assert_eq!(level["level"], "debug");
    assert_eq!(ask(&seawall, &json("PUT", "/v1/log", r#"{"level":"loud"}"#)).0, 400);
    let described = {
        let mut client = RawClient::unix(&socket);
        client.exchange(&Call::get("localhost", "/openapi.yaml")).expect("the description")
    };
    assert!(described.text().contains("/v1/purge"));
    let counted =
        seawall.metrics().get("seawall_admin_requests_total", &[("request", "status"), ("status", "200")]);
    assert_eq!(counted, 1.0);
}

/// A text that is nowhere by chance.
fn marker(what: &str) -> String {
    let unique =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_nanos();
    format!("marker-{what}-{unique:x}")
}

#[test]
fn no_secret_shows_anywhere() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let (token, basic, key, cookie) = (marker("token"), marker("basic"), marker("key"), marker("cookie"));
    // As they are written in a file, and from the environment.
    let yaml = |token: &str| {
        format!(
            "
listeners: [{{ address: '127.0.0.1:%{{port}}' }}]
admin: {{ listen: 'unix:%{{dir}}/admin.sock', token: {token} }}
log: {{ level: debug }}
upstreams: {{ app: {{ servers: ['%{{origin}}'] }} }}
sites:
  - default: true
    routes:
      - path: /
        upstream: app
        request_headers: {{ set: {{ Authorization: 'Basic {basic}', x-plain: shown }}, add: {{ X-Api-Key: '{key}' }} }}
        response_headers: {{ set: {{ Set-Cookie: 's={cookie}' }} }}
"
        )
    };
    let builder = Seawall::with(&yaml("'${SEAWALL_ADMIN_TOKEN}'")).set("origin", origin.addr());
    let seawall = builder.env("SEAWALL_ADMIN_TOKEN", &token).start();
    let secrets = [&token, &basic, &key, &cookie];
    let mut all = Vec::new();
    let mut ask = |call: Call| {
        let mut client = RawClient::unix(seawall.folder().join("admin.sock"));
        let call = call.header("Authorization", &format!("Bearer {token}"));
        let answer = client.exchange(&call).expect("an answer");
        all.push((answer.status, answer.text()));
        answer.status
    };
    let response = get(seawall.addr(0), "x", "/", &[]);
    assert!(response.header("set-cookie").is_some_and(|value| value.contains(&cookie)), "they are in use");
    assert!(origin.last().header("authorization").is_some_and(|value| value.contains(&basic)));
    for path in
        ["/v1/plan", "/v1/status", "/v1/pools", "/v1/connections", "/v1/certificates", "/v1/cache", "/v1/log"]
    {
        assert_eq!(ask(Call::get("localhost", path)), 200, "{path}");
    }
    seawall.rewrite(&yaml(&token));
    assert_eq!(ask(Call::post("localhost", "/v1/reload", "")), 200);
    assert_eq!(ask(Call::get("localhost", "/v1/plan")), 200);
    // Another token waits for an upgrade and is named, not shown; a file that is refused, too.
    let other = marker("other");
    seawall.rewrite(&yaml(&other));
    assert_eq!(ask(Call::post("localhost", "/v1/reload", "")), 200);
    assert_eq!(ask(Call::get("localhost", "/v1/status")), 200);
    seawall.rewrite(&format!("{}nonsense: 1\n", yaml(&token)));
    assert_eq!(ask(Call::post("localhost", "/v1/reload", "")), 422);
    seawall.rewrite(&yaml(&token));
    let file = seawall.file().display().to_string();
    for arguments in
        [&["check", &file][..], &["check", "--dump", &file], &["explain", "-c", &file, "http://x/"]]
    {
        let said = seawall.control(arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        all.push((0, said.stdout + &said.stderr));
    }
    let shown = |text: &str| secrets.into_iter().chain([&other]).any(|secret| text.contains(secret.as_str()));
    for (status, text) in &all {
        assert!(!shown(text), "status {status}: {text}");
    }
    assert!(
        all[0].1.contains("\"x-plain\":\"shown\"") && all[0].1.contains("\"token\":\"***\""),
        "{}",
        all[0].1
    );
    let ended = seawall.stop();
    assert!(ended.stderr.contains("admin.token"), "the change was named: {}", ended.stderr);
    assert!(!shown(&ended.stderr) && !shown(&ended.stdout), "{ended:?}");
}

#[test]
fn a_check_says_when_the_descriptors_do_not_do() {
    let folder = seawall_testkit::folder();
    let file = folder.path().join("seawall.yaml");
    let yaml = "listeners: [{ address: ':8080' }]
limits: { max_connections: 3000 }
sites: [{ default: true, routes: [{ path: /, respond: 200 }] }]
";
    std::fs::write(&file, yaml).expect("a file");
    let check = |limit: u32, more: &[&str]| {
        let mut command = std::process::Command::new("prlimit");
        command.arg(format!("--nofile={limit}:{limit}")).arg(binary()).arg("check").args(more).arg(&file);
        Child::spawn(command).wait(DEADLINE)
    };
    assert_eq!(check(4000, &["-q", "--strict"]).code, Some(0));
    let warned = check(3000, &["-q"]);
    assert_eq!(warned.code, Some(0), "{warned:?}");
    for part in ["file descriptors may be needed", "3000 may be open", "seawall.yaml:2:", "1 warning"] {
        assert!(warned.stderr.contains(part), "{part}: {}", warned.stderr);
    }
    assert_eq!(check(3000, &["--strict"]).code, Some(1));
}

#[test]
fn a_purge_finds_what_a_get_would_find() {
    let (seawall, origin) = start(UNIX);
    let address = seawall.addr(0).to_owned();
    let fetch = |path: &str| {
        get(&address, "example.com", path, &[]).header("cache-status").unwrap_or_default().to_owned()
    };
    for (path, url) in [("/a?q=1", "http://example.com/a?q=1"), ("/old/x", "http://EXAMPLE.com/old/./x")] {
        assert!(fetch(path).contains("fwd=uri-miss"));
        assert!(fetch(path).contains("hit"));
        let soft = seawall.control(&["purge", "--soft", url]);
        assert!(soft.stdout.contains("will be asked for again"), "{soft:?}");
        assert!(fetch(path).contains("fwd=stale"), "{path}");
        let gone = seawall.control(&["purge", url]);
        assert!(gone.stdout.contains("is gone"), "{gone:?}");
        assert!(fetch(path).contains("fwd=uri-miss"), "{path}");
        assert!(
            seawall.control(&["purge", url, "http://example.com/never"]).stdout.contains("was not stored")
        );
    }
    assert!(origin.count() >= 6);
    for wrong in ["example.com/a", "ftp://example.com/", "http://other.example/"] {
        let refused = seawall.control(&["purge", wrong]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
    }
}

#[test]
fn a_purge_of_many_names_tells_each_in_its_place() {
    let (seawall, _origin) = start(UNIX);
    // More than are purged at once, with one that is stored in each part.
    let stored = [0, 63, 64, 150];
    let paths: Vec<String> = (0..151).map(|n| format!("/many/{n}")).collect();
    for at in stored {
        assert_eq!(get(seawall.addr(0), "example.com", &paths[at], &[]).status, 200);
    }
    let urls: Vec<String> = paths.iter().map(|path| format!("http://example.com{path}")).collect();
    let mut arguments = vec!["purge", "--json"];
    arguments.extend(urls.iter().map(String::as_str));
    let done = seawall.control(&arguments);
    let told: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    let told = told["purged"].as_array().expect("a list");
    assert_eq!(told.len(), urls.len());
    for (at, one) in told.iter().enumerate() {
        assert_eq!(
            (one["name"].as_str(), one["found"].as_bool()),
            (Some(&*urls[at]), Some(stored.contains(&at))),
            "{at}"
        );
    }
    // One that is not served here fails the purge.
    let wrong = [&arguments[..100], &["http://other.example/"], &arguments[100..]].concat();
    let failed = seawall.control(&wrong);
    assert_eq!(failed.code, Some(1), "{failed:?}");
}

#[test]
fn only_who_may_gets_in() {
    let (seawall, _origin) = start(TCP);
    let address = seawall.addr(1).to_owned();
    let status = |call: Call| request(&address, &call).expect("an answer").status;
    let path = "/v1/status";
    let with = |token: &str| Call::get("localhost", path).header("Authorization", &format!("Bearer {token}"));
    assert_eq!(status(with(TOKEN)), 200);
    assert_eq!(status(with("correct-horse-battery-stapl3")), 401);
    assert_eq!(status(Call::get("localhost", path)), 401);
    assert_eq!(status(Call::get("localhost", "/nothing")), 401, "what exists is nobody's business");
    for open in ["/livez", "/readyz"] {
        assert!([200, 503].contains(&status(Call::get("localhost", open))), "{open}");
    }
    let from = |host: &str| Call::get(host, path).header("Authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(status(from("edge.example:9092")), 200);
    assert_eq!(status(from("rebound.example")), 421);
    assert_eq!(status(with(TOKEN).header("Origin", "https://evil.example")), 403);
    assert_eq!(status(with(TOKEN).header("Sec-Fetch-Site", "cross-site")), 403);
    let post = |kind: &str| {
        Call::post("localhost", "/v1/purge", "{}")
            .header("Authorization", &format!("Bearer {TOKEN}"))
            .header("Content-Type", kind)
    };
    assert_eq!(status(post("text/plain")), 415, "a form or a page could send this");
    assert_eq!(status(post("application/json")), 400);
}

fn cli(seawall: &Seawall, token: Option<&str>) -> Finished {
    let mut command = std::process::Command::new(binary());
    command.args(["status", "--admin", seawall.addr(1)]).env_remove("SEAWALL_ADMIN_TOKEN");
    command.envs(token.map(|token| ("SEAWALL_ADMIN_TOKEN", token)));
    Child::spawn(command).wait(DEADLINE)
}

#[test]
fn the_command_brings_its_token() {
    let (seawall, _origin) = start(TCP);
    assert_eq!(cli(&seawall, Some(TOKEN)).code, Some(0));
    let refused = cli(&seawall, None);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("SEAWALL_ADMIN_TOKEN"), "{}", refused.stderr);
}

#[test]
fn a_client_certificate_may_take_the_place_of_a_token() {
    let (pki, others) = (Pki::new(), Pki::new());
    let server = pki.server(&["localhost"]);
    let admin = format!(
        "{{ listen: '127.0.0.1:%{{port2}}', tls: {{ certificates: [{{ cert: '{}', key: '{}' }}], client_ca: '{}' }} }}",
        server.cert.display(),
        server.key.display(),
        pki.ca().display()
    );
    let (seawall, _origin) = start(&admin);
    let ask = |client: TlsClient| {
        let mut connection = client.connect(seawall.addr(1)).map_err(|error| error.to_string())?;
        connection.exchange(&Call::get("localhost", "/v1/status")).map_err(|error| error.to_string())
    };
    let known = TlsClient::builder("localhost").ca(pki.ca()).identity(&pki.client("operator")).build();
    assert_eq!(ask(known).expect("an answer").status, 200);
    let stranger = TlsClient::builder("localhost").ca(pki.ca()).identity(&others.client("operator")).build();
    assert!(ask(stranger).is_err());
    assert!(ask(TlsClient::new("localhost", pki.ca())).is_err());
}

#[test]
fn it_takes_little_and_not_for_long() {
    let (seawall, _origin) = start("{ listen: 'unix:%{dir}/admin.sock', max_connections: 4 }");
    let large = "x".repeat(64 * 1024);
    assert_eq!(ask(&seawall, &json("POST", "/v1/purge", &large)).0, 413);
    let socket = seawall.folder().join("admin.sock");
    let mut wide = RawClient::unix(&socket);
    let call = Call::get("localhost", "/v1/status").header("X-Wide", &large);
    assert!(wide.exchange(&call).map_or(true, |answer| answer.status == 431));
    let _held: Vec<RawClient> = (0..4).map(|_| RawClient::unix(&socket)).collect();
    eventually(DEADLINE, "the fifth to be refused", || {
        RawClient::unix(&socket).exchange(&Call::get("x", "/livez")).is_err()
    });
    // Those that say nothing are gone after their time, and there is room again.
    eventually(DEADLINE, "room", || RawClient::unix(&socket).exchange(&Call::get("x", "/livez")).is_ok());
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 200);
}
