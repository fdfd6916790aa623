//! What is asked of a running process: `status`, `pools`, `purge`, `reload`, `stop`.

use std::fmt::Write as _;
use std::time::Duration;

use http::Method;
use seawall_admin::{Client, ClientError, Target};
use serde_json::{Value, json};

use super::{Failure, print};
use crate::cli::{PoolsArgs, PurgeArgs, ReloadArgs, RemoteArgs, StopArgs};
use crate::load::Loaded;

/// Where the control API is when nothing says otherwise.
const DEFAULT_SOCKET: &str = "/run/seawall/admin.sock";
/// Another process takes over and answers at the same place in a moment: it is asked again so often.
const AGAIN: u32 = 40;
const SOON: Duration = Duration::from_millis(50);
const TOKEN: &str = "SEAWALL_ADMIN_TOKEN";

/// `seawall status`.
pub(crate) fn status(args: &RemoteArgs) -> Result<(), Failure> {
    let value = call(args, Method::GET, "/v1/status", None)?;
    show(args, &value, |value| {
        let mut text = String::new();
        let word = |key: &str| plain(&value[key]);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "state        {}", word("state"));
        let _ = writeln!(text, "version      {}, process {}", word("version"), word("pid"));
        if value.pointer("/program/replaced") == Some(&true.into()) {
            let path = plain(&value["program"]["path"]);
            let _ =
                writeln!(text, "program      {path} has been replaced: `seawall upgrade` puts it in place");
        }
        let _ = writeln!(text, "running for  {}", span(value["uptime_seconds"].as_u64().unwrap_or(0)));
        let _ = writeln!(text, "file         {}, configuration {}", word("file"), word("generation"));
        if let Some(error) = value.pointer("/last_load/error").and_then(Value::as_str) {
            let _ = writeln!(text, "last reload  refused: {error}");
        }
        let _ = writeln!(text, "listeners    {}", list(&value["listeners"]));
        let _ = writeln!(
            text,
            "now          {} connections, {} requests",
            word("connections"),
            word("requests_in_flight")
        );
        note_waiting(&mut text, value);
        text
    })
}

/// `seawall pools`.
pub(crate) fn pools(args: &PoolsArgs) -> Result<(), Failure> {
    let value = match (&args.pool, order(args)?) {
        (Some(pool), Some(order)) => {
            call(&args.remote, Method::POST, &format!("/v1/pools/{}/servers", encoded(pool)), Some(&order))?
        }
        (Some(pool), None) => call(&args.remote, Method::GET, &format!("/v1/pools/{}", encoded(pool)), None)?,
        (None, _) => call(&args.remote, Method::GET, "/v1/pools", None)?,
    };
    show(&args.remote, &value, |value| {
        let mut text = String::new();
        match value["pools"].as_array() {
            Some(pools) if pools.is_empty() => text.push_str("there are no pools of servers\n"),
            Some(pools) => pools.iter().for_each(|pool| pool_lines(pool, &mut text)),
            None => pool_lines(value, &mut text),
        }
        text
    })
}

/// The order that the options spell.
fn order(args: &PoolsArgs) -> Result<Option<Value>, Failure> {
    if let Some(server) = &args.drain {
        return Ok(Some(json!({ "server": server, "drain": true })));
    }
    if let Some(server) = &args.enable {
        return Ok(Some(json!({ "server": server, "drain": false })));
    }
    if let Some(server) = &args.reset {
        return Ok(Some(json!({ "server": server, "drain": null, "weight": null })));
    }
    let Some(text) = &args.weight else { return Ok(None) };
    match text.rsplit_once('=').map(|(server, weight)| (server, weight.parse::<u32>())) {
        Some((server, Ok(weight))) => Ok(Some(json!({ "server": server, "weight": weight }))),
        _ => Err(Failure::sentence(format!("`{text}` is not SERVER=WEIGHT, as in 10.0.0.1:80=3"))),
    }
}

fn pool_lines(pool: &Value, text: &mut String) {
    let _ = writeln!(text, "{}", plain(&pool["name"]));
    for server in pool["servers"].as_array().into_iter().flatten() {
        let flag = |key: &str| server[key].as_bool().unwrap_or(false);
        let state = match (flag("healthy"), flag("drained")) {
            (_, true) => "drained",
            (true, false) => "up",
            (false, false) => "down",
        };
        let (name, address) = (plain(&server["name"]), plain(&server["address"]));
        let place = if name == address { name } else { format!("{name} ({address})") };
        let mut notes = Vec::new();
        if flag("backup") {
            notes.push("backup".to_owned());
        }
        if server["ordered"].as_object().is_some_and(|ordered| !ordered.is_empty()) {
            notes.push("ordered at run time".to_owned());
        }
        if let Some(error) = server["check_error"].as_str() {
            notes.push(error.to_owned());
        }
        let _ = writeln!(
            text,
            "  {place:<32} {state:<8} weight {:<4} in flight {:<6} {}",
            plain(&server["weight"]),
            plain(&server["in_flight"]),
            notes.join(", ")
        );
    }
}

/// `seawall purge`.
pub(crate) fn purge(args: &PurgeArgs) -> Result<(), Failure> {
    let soft = (args.soft || args.hard).then_some(args.soft);
    let body = json!({
        "urls": args.urls,
        "keys": args.keys,
        "tags": args.tags,
        "prefixes": args.prefixes,
        "hosts": args.hosts,
        "everything": args.everything,
        "soft": soft,
        "zone": args.zone,
    });
    let value = call(&args.remote, Method::POST, "/v1/purge", Some(&body))?;
    show(&args.remote, &value, |value| {
        let mut text = String::new();
        for one in value["purged"].as_array().into_iter().flatten() {
            let what = match (&one["found"], one["soft"] == true) {
                (Value::Bool(false), _) => "was not stored",
                (Value::Bool(true), false) => "is gone",
                (_, false) => "gone",
                (Value::Bool(true), true) => "will be asked for again",
                (_, true) => "stale, asked for again when it is wanted",
            };
            let name = one["name"].as_str();
            let _ = match (one["by"].as_str(), name) {
                (Some("url"), Some(name)) => writeln!(text, "{name} {what}"),
                (Some(by), Some(name)) => writeln!(text, "{by} {name}: {what}"),
                (by, _) => writeln!(text, "{}: {what}", by.unwrap_or("everything")),
            };
        }
        text
    })
}

/// `seawall reload`.
pub(crate) fn reload(args: &ReloadArgs) -> Result<(), Failure> {
    let (args, or_upgrade) = (&args.remote, args.upgrade_if_needed);
    // A new binary reads the file itself: the one before may not know all that is in it.
    if or_upgrade
        && call(args, Method::GET, "/v1/status", None)?.pointer("/program/replaced") == Some(&true.into())
    {
        return upgrade(args);
    }
    let value = reload_only(args)?;
    if or_upgrade && value["upgrade_helps"] == true { upgrade(args) } else { Ok(()) }
}

fn reload_only(args: &RemoteArgs) -> Result<Value, Failure> {
    let value = match ask(args, Method::POST, "/v1/reload", None) {
        Ok(value) => value,
        Err(ClientError::Refused { message, body, .. }) if !args.json => {
            let report = body.pointer("/error/details/text").and_then(Value::as_str).unwrap_or_default();
            return Err(Failure::text(format!("{report}seawall: {message}\n")));
        }
        Err(error) => return Err(failure(args, error)),
    };
    show(args, &value, |value| {
        let mut text = String::new();
        text.push_str(value["text"].as_str().unwrap_or_default());
        let _ = writeln!(
            text,
            "configuration {} is in effect ({} ms)",
            plain(&value["generation"]),
            plain(&value["took_ms"])
        );
        for name in value["unresolved"].as_array().into_iter().flatten() {
            let _ = writeln!(text, "does not resolve yet: {}", plain(name));
        }
        note_waiting(&mut text, value);
        text
    })?;
    Ok(value)
}

/// `seawall upgrade`.
pub(crate) fn upgrade(args: &RemoteArgs) -> Result<(), Failure> {
    let value = call(args, Method::POST, "/v1/upgrade", None)?;
    show(args, &value, |value| {
        format!("process {} has taken over ({} ms)\n", plain(&value["pid"]), plain(&value["took_ms"]))
    })
}

/// `seawall stop`.
pub(crate) fn stop(args: &StopArgs) -> Result<(), Failure> {
    let value = call(&args.remote, Method::POST, "/v1/stop", Some(&json!({ "now": args.now })))?;
    show(&args.remote, &value, |_| {
        if args.now { "it stops at once\n".into() } else { "it stops when its requests are done\n".into() }
    })
}

fn note_waiting(text: &mut String, value: &Value) {
    let waiting = value["waiting"].as_array().into_iter().flatten();
    let lines: Vec<String> = waiting.map(|one| format!("  {}\n", plain(one))).collect();
    if !lines.is_empty() {
        text.push_str("these settings of the file wait for `seawall upgrade` or a restart:\n");
        text.extend(lines);
    }
}

fn show(args: &RemoteArgs, value: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
    if args.json { print(&format!("{value}\n")) } else { print(&human(value)) }
}

fn call(args: &RemoteArgs, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    ask(args, method, path, body).map_err(|error| failure(args, error))
}

/// With `--json` a refusal is JSON, too.
fn failure(args: &RemoteArgs, error: ClientError) -> Failure {
    match error {
        ClientError::Refused { body, .. } if args.json => Failure::text(format!("{body}\n")),
        error => Failure::sentence(error),
    }
}

fn ask(args: &RemoteArgs, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
    let target = target(args);
    let broken = |why: std::io::Error| ClientError::Broken { target: target.clone(), why: why.to_string() };
    let client = Client::new(target.clone(), token(args).map_err(broken)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    runtime.block_on(async {
        for _ in 0..AGAIN {
            match client.call(method.clone(), path, body).await {
                Err(ClientError::Refused { status: 409, body, .. })
                    if body.pointer("/error/code") == Some(&"succeeded".into()) =>
                {
                    tokio::time::sleep(SOON).await;
                }
                outcome => return outcome,
            }
        }
        client.call(method, path, body).await
    })
}

fn target(args: &RemoteArgs) -> Target {
    if let Some(target) = &args.admin {
        return target.clone();
    }
    // A file with errors still says where the process listens that was started before they came in.
    let settings =
        args.config.exists().then(|| Loaded::read(&args.config)).and_then(|loaded| loaded.settings);
    let listen = settings.and_then(|settings| settings.admin?.listen);
    listen.as_ref().map_or_else(|| Target::Unix(DEFAULT_SOCKET.into()), Target::from)
}

fn token(args: &RemoteArgs) -> std::io::Result<Option<String>> {
    match &args.token_file {
        Some(file) => std::fs::read_to_string(file).map(|text| Some(text.trim().to_owned())),
        None => Ok(std::env::var(TOKEN).ok().filter(|token| !token.is_empty())),
    }
}

/// A name as one segment of a path.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().join(", ")
}

fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
