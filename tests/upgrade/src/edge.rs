//! What stands between clients and the origin, and can be exchanged for its successor.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Pid;
use seawall_testkit::{Call, DEADLINE, Origin, Pki, Reply, Seawall, binary, digest, eventually};
use serde_json::Value;

/// The example of RFC 6455, section 1.3: a key and the proof that answers it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const PROOF: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// What slow bodies are made of.
pub(crate) const PIECES: usize = 20;
pub(crate) const DOWNLOAD: &str = "a piece of an answer that takes its time\n";
const PAUSE: Duration = Duration::from_millis(75);

/// A body that shows when a byte of it is missing.
#[must_use]
pub fn content() -> String {
    (0..4000).map(|number| format!("{number:05}")).collect()
}

/// A piece of a slow upload.
pub(crate) fn piece(number: usize) -> Vec<u8> {
    format!("{number:04}").repeat(512).into_bytes()
}

/// `call`, asking for a WebSocket.
#[must_use]
pub fn tunnel_call(call: Call) -> Call {
    call.header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

/// The answer to [`tunnel_call`].
#[must_use]
pub fn tunnel_reply() -> Reply {
    Reply::upgrade("websocket").header("Sec-WebSocket-Accept", PROOF)
}

/// Answers every kind of the traffic.
#[must_use]
pub fn origin() -> Origin {
    Origin::h1(|request| match request.path() {
        "/upload" => Reply::ok(format!("{} {}", request.body.len(), digest(&request.body))),
        "/slow" => (0..PIECES).fold(Reply::new(200).chunked(), |reply, _| reply.body(DOWNLOAD).pause(PAUSE)),
        "/tunnel" => tunnel_reply(),
        "/hit" => Reply::ok(content()).header("Cache-Control", "max-age=3600"),
        _ => Reply::ok(content()),
    })
}

/// A server under the traffic.
pub trait Edge {
    /// Its name in tables.
    fn name(&self) -> &'static str;
    /// Its address without TLS.
    fn plain(&self) -> String;
    /// Its address with TLS, HTTP/2 included.
    fn secure(&self) -> String;
    /// Exchanges it for a new process, and returns when the old one is gone.
    fn upgrade(&mut self);
    /// The names of the requests in its log. Every process that wrote it has ended, or is told to write what it has.
    fn log(&mut self) -> Vec<String>;
}

/// Seawall, with its log in a file.
pub struct SeawallEdge {
    seawall: Seawall,
}

/// The program under a name of its own, so that another one can be put in its place.
///
/// # Panics
/// It cannot be copied.
#[must_use]
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
pub fn own_program(folder: &Path) -> PathBuf {
    let program = folder.join("seawall-under-test");
    fs::hard_link(binary(), &program).or_else(|_| fs::copy(binary(), &program).map(drop)).expect("a program");
    program
}

impl SeawallEdge {
    /// Starts it.
    #[must_use]
    pub fn start(origin: &Origin, pki: &Pki) -> Self {
        let identity = pki.server(&["a.example"]);
        let yaml = format!(
            "
listeners:
  - address: '127.0.0.1:%{{port}}'
  - address: '127.0.0.1:%{{port2}}'
    tls: {{ certificates: [{{ cert: '{}', key: '{}' }}] }}
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
access_log: {{ path: '%{{dir}}/access.log' }}
cache: {{ disk: {{ path: '%{{dir}}/store', size: 64MiB }} }}
upstreams: {{ app: {{ servers: ['%{{origin}}'], retries: {{ attempts: 0 }} }} }}
sites:
  - default: true
    routes:
      - {{ exact: /hit, upstream: app, cache: on }}
      - {{ path: /, upstream: app }}
server: {{ shutdown_timeout: 30s }}
",
            identity.cert.display(),
            identity.key.display()
        );
        let builder = Seawall::with(&yaml).set("origin", origin.addr());
        let program = own_program(builder.folder());
        Self { seawall: builder.program(&program).start() }
    }

    /// The process that was started first, and with it the commands.
    #[must_use]
    pub fn seawall(&self) -> &Seawall {
        &self.seawall
    }

    /// The process that takes connections now.
    ///
    /// # Panics
    /// It does not say.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn process(&self) -> Pid {
        let said = self.seawall.control(&["status", "--json"]);
        let value: Value = serde_json::from_str(&said.stdout).expect("JSON");
        let pid = value["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        Pid::from_raw(pid.expect("a process id"))
    }
}

impl Edge for SeawallEdge {
    fn name(&self) -> &'static str {
        "seawall"
    }

    fn plain(&self) -> String {
        self.seawall.addr(0).to_owned()
    }

    fn secure(&self) -> String {
        self.seawall.addr(1).to_owned()
    }

    fn upgrade(&mut self) {
        let old = self.process();
        let done = self.seawall.control(&["upgrade", "--json"]);
        assert_eq!(done.code, Some(0), "{done:?}\n{}", self.seawall.stderr());
        assert_ne!(self.process(), old);
        eventually(DEADLINE * 4, "the old process to end", || is_gone(old));
    }

    fn log(&mut self) -> Vec<String> {
        let process = self.process();
        let _ = self.seawall.control(&["stop"]);
        eventually(DEADLINE * 4, "the last process to end", || is_gone(process));
        let text = fs::read_to_string(self.seawall.folder().join("access.log")).unwrap_or_default();
        text.lines()
            .map(|line| {
                let line: Value =
                    serde_json::from_str(line).unwrap_or_else(|_| panic!("a torn line: {line}"));
                line["user_agent"].as_str().unwrap_or("none").to_owned()
            })
            .collect()
    }
}

/// Whether a process has ended.
#[must_use]
pub fn is_gone(process: Pid) -> bool {
    // One that ended and was not waited for yet is a zombie: its state is the word after the name.
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}
