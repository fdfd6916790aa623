//! Debian's nginx, upgraded as its manual says: USR2, then QUIT to the old master.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seawall_testkit::{Child, DEADLINE, OrDie, Origin, Pki, Port, eventually, tool};
use tempfile::TempDir;

use crate::edge::{Edge, is_gone};

/// A running nginx; it ends with the test.
pub struct NginxEdge {
    _child: Child,
    plain: Port,
    secure: Port,
    folder: TempDir,
}

impl NginxEdge {
    /// Starts it.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(origin: &Origin, pki: &Pki) -> Self {
        let (folder, plain, secure) = (seawall_testkit::folder(), Port::reserve(), Port::reserve());
        let text = configuration(folder.path(), [&plain, &secure], origin, pki);
        fs::write(folder.path().join("nginx.conf"), text).or_die("write a configuration");
        // Both processes seal with the same key, as an operator of it would have it.
        fs::write(folder.path().join("tickets"), seawall_testkit::body(1, 48)).or_die("write a key");
        // It changes its binary only when its parent is another than at its start, so the shell that starts it leaves. As a
        // daemon it would leave the process group, too, and outlive the test.
        let mut command = Command::new("/bin/sh");
        let nginx = tool("nginx").display().to_string();
        let start =
            "\"$1\" -p \"$0\" -c nginx.conf -e error.log & while [ ! -s nginx.pid ]; do sleep 0.01; done";
        command.args(["-c", start]).arg(folder.path()).arg(nginx).current_dir(folder.path());
        let child = Child::spawn(command);
        eventually(DEADLINE, "nginx to listen", || {
            TcpStream::connect(secure.addr())
                .map(drop)
                .map_err(|error| format!("{error}: {}", child.stderr()))
        });
        Self { _child: child, plain, secure, folder }
    }

    fn master(&self, file: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.folder.path().join(file)).ok()?;
        text.trim().parse().ok().map(Pid::from_raw)
    }
}

/// Whether a master has workers.
fn works(master: Pid) -> bool {
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
    children.is_ok_and(|children| !children.trim().is_empty())
}

impl Edge for NginxEdge {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn plain(&self) -> String {
        self.plain.addr()
    }

    fn secure(&self) -> String {
        self.secure.addr()
    }

    fn upgrade(&mut self) {
        let old = self.master("nginx.pid").or_die("find the master");
        kill(old, Signal::SIGUSR2).or_die("signal nginx");
        eventually(DEADLINE, "a new master with workers", || {
            self.master("nginx.pid").is_some_and(|new| new != old && works(new))
        });
        // Its manual has WINCH first, to be able to go back. Only a daemon heeds it, and QUIT ends the workers as well.
        kill(old, Signal::SIGQUIT).or_die("signal nginx");
        eventually(DEADLINE * 4, "the old master to end", || is_gone(old));
    }

    fn log(&mut self) -> Vec<String> {
        let master = self.master("nginx.pid").or_die("find the master");
        kill(master, Signal::SIGQUIT).or_die("signal nginx");
        eventually(DEADLINE * 4, "the last master to end", || is_gone(master));
        let text = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn configuration(folder: &Path, [plain, secure]: [&Port; 2], origin: &Origin, pki: &Pki) -> String {
    let identity = pki.server(&["a.example"]);
    let (cert, key) = (identity.cert.display(), identity.key.display());
    let (here, origin) = (folder.display(), origin.addr());
    let user = if nix::unistd::Uid::effective().is_root() { "user root;" } else { "" };
    format!(
        "
{user}
daemon off;
worker_processes 2;
worker_shutdown_timeout 30s;
pid {here}/nginx.pid;
error_log {here}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format name '$http_user_agent';
  access_log {here}/access.log name;
  client_body_temp_path {here}/body;
  proxy_temp_path {here}/proxy;
  fastcgi_temp_path {here}/fastcgi;
  uwsgi_temp_path {here}/uwsgi;
  scgi_temp_path {here}/scgi;
  proxy_cache_path {here}/cache keys_zone=all:10m;
  upstream app {{ server {origin}; keepalive 32; }}
  server {{
    listen {plain};
    listen {secure} ssl http2;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_session_ticket_key {here}/tickets;
    proxy_http_version 1.1;
    proxy_next_upstream off;
    location / {{ proxy_pass http://app; proxy_set_header Connection ''; }}
    location = /hit {{
      proxy_pass http://app;
      proxy_set_header Connection '';
      proxy_cache all;
      add_header Cache-Status $upstream_cache_status;
    }}
    location = /tunnel {{
      proxy_pass http://app;
      proxy_set_header Connection upgrade;
      proxy_set_header Upgrade $http_upgrade;
    }}
  }}
}}
",
        plain = plain.addr(),
        secure = secure.addr()
    )
}
