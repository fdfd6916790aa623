//! The systemd unit's commands are commands that there are.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::Command;

use seawall_testkit::{Child, DEADLINE, Finished, Seawall, binary, get};

const UNIT: &str = include_str!("../../../deploy/seawall.service");
const BINARY: &str = "/usr/local/bin/seawall";
const FILE: &str = "/etc/seawall/seawall.yaml";

/// What the unit says for `key`, with this test's binary and file.
fn words(key: &str, file: &str) -> Vec<String> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).expect("the key");
    let words: Vec<String> =
        line.split(' ').map(|word| if word == FILE { file.to_owned() } else { word.to_owned() }).collect();
    assert_eq!(words[0], BINARY, "{line}");
    words[1..].to_vec()
}

fn run(arguments: &[String]) -> Finished {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("SEAWALL_ADMIN").env_remove("SEAWALL_CONFIG");
    Child::spawn(command).wait(DEADLINE * 4)
}

#[test]
fn it_checks_starts_and_reloads() {
    let yaml = |body: &str| {
        format!(
            "
listeners: [{{ address: '127.0.0.1:%{{port}}' }}]
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
sites: [{{ default: true, routes: [{{ path: /, respond: {{ body: {body} }} }}] }}]
"
        )
    };
    let seawall = Seawall::with(&yaml("one")).start();
    let file = seawall.file().display().to_string();
    assert_eq!(words("ExecStart", &file), ["run".to_owned(), file.clone()], "as every test starts it");
    assert_eq!(run(&words("ExecStartPre", &file)).code, Some(0));
    let reload = words("ExecReload", &file);
    seawall.rewrite(&yaml("two"));
    let done = run(&reload);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(get(seawall.addr(0), "x", "/", &[]).text(), "two");
    seawall.rewrite("sites: {");
    assert_eq!(run(&reload).code, Some(1));
    assert_eq!(run(&words("ExecStartPre", &file)).code, Some(1));
    // What the process is told, and what it tells.
    for line in ["Type=notify", "NotifyAccess=main", "KillSignal=SIGTERM"] {
        assert!(UNIT.lines().any(|found| found == line), "{line}");
    }
}
