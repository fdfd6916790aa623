//! Debian's nginx as an origin.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use seawall_testkit::{Child, DEADLINE, OrDie, Port, eventually, tool};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A running nginx over a folder of its own; both end with the test.
#[derive(Debug)]
pub struct Nginx {
    _child: Child,
    port: Port,
    folder: TempDir,
}

impl Nginx {
    /// Starts it with `locations` in its one server, whose root is [`Self::www`]. Each request is a line of
    /// [`Self::log`].
    ///
    /// # Panics
    /// It does not start; the message has what it wrote.
    #[track_caller]
    #[must_use]
    pub fn start(locations: &str) -> Self {
        let folder = seawall_testkit::folder();
        let port = Port::reserve();
        let text = configuration(folder.path(), &port, locations);
        std::fs::create_dir(folder.path().join("www")).or_die("make a folder");
        std::fs::write(folder.path().join("nginx.conf"), text).or_die("write a configuration");
        let mut command = Command::new(tool("nginx"));
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut child = Child::spawn(command);
        eventually(DEADLINE, "nginx to listen", || {
            assert!(child.is_running(), "nginx ended:\n{}", child.stderr());
            TcpStream::connect(port.addr()).map(drop)
        });
        Self { _child: child, port, folder }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> String {
        self.port.addr()
    }

    /// Puts a file into its root, a day old: of one that changed just now nobody knows whether it will again
    /// within the same second (RFC 9110 §8.8.2.2).
    ///
    /// # Panics
    /// It cannot be written.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut file = File::create(self.folder.path().join("www").join(name)).or_die("make a file");
        file.write_all(content).or_die("write a file");
        file.set_modified(SystemTime::now() - DAY).or_die("date a file");
    }

    /// One line for each request answered so far: connection, status, method, target.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until it has logged `count` requests and returns them.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    pub fn wait_log(&self, count: usize) -> Vec<String> {
        eventually(DEADLINE, &format!("{count} requests at nginx"), || {
            let log = self.log();
            if log.len() >= count { Ok(log) } else { Err(format!("{log:#?}")) }
        })
    }
}

/// One process, so that an nginx of root stays root and reads the test's folder.
fn configuration(folder: &Path, port: &Port, locations: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; events {{ }}
http {{
  log_format lines '$connection $status $request_method $request_uri';
  access_log {folder}/access.log lines;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  types {{ text/html html; text/plain txt; application/octet-stream bin; }}
  server {{
    listen {};
    root {folder}/www;
    {locations}
  }}
}}
",
        port.addr()
    )
}
