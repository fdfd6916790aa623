//! Seawall between a client and one origin, reachable in every way there is.

use std::fmt::Display;
use std::path::PathBuf;

use seawall_testkit::{OrDie, Pki, Seawall};

const YAML: &str = "
%{top}
listeners:
  - { address: '127.0.0.1:%{port}', h2c: true }
  - { address: '127.0.0.1:%{port2}', tls: { certificates: [{ cert: '%{cert}', key: '%{key}' }] } }
  - { address: '127.0.0.1:%{port3}' }
  - { address: 'unix:%{dir}/front.sock' }
upstreams: { app: { servers: ['%{origin}'], %{upstream} } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, %{route} }] }]
";

/// How the proxy is to be set up; see [`Edge::to`].
#[derive(Debug)]
pub struct EdgeBuilder {
    origin: String,
    upstream: String,
    route: String,
    top: String,
}

/// A running proxy for `example.com`.
pub struct Edge {
    /// The process.
    pub seawall: Seawall,
    pki: Pki,
}

impl Edge {
    /// A proxy in front of the origin at this address.
    #[must_use]
    pub fn to(origin: impl Display) -> EdgeBuilder {
        let origin = origin.to_string();
        EdgeBuilder { origin, upstream: String::new(), route: String::new(), top: String::new() }
    }

    /// Plain HTTP/1.1, and HTTP/2 by prior knowledge.
    #[must_use]
    pub fn plain(&self) -> &str {
        self.seawall.addr(0)
    }

    /// TLS for `example.com`, with ALPN.
    #[must_use]
    pub fn tls(&self) -> &str {
        self.seawall.addr(1)
    }

    /// Plain HTTP/1.1 only.
    #[must_use]
    pub fn http1(&self) -> &str {
        self.seawall.addr(2)
    }

    /// The unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.seawall.folder().join("front.sock")
    }

    /// The file with the authority that signed the certificate.
    ///
    /// # Panics
    /// Its path is not UTF-8.
    #[must_use]
    pub fn ca(&self) -> &str {
        self.pki.ca().to_str().or_die("name the authority")
    }
}

impl EdgeBuilder {
    /// Adds settings of the upstream.
    #[must_use]
    pub fn upstream(mut self, yaml: &str) -> Self {
        self.upstream = yaml.into();
        self
    }

    /// Adds settings of the route.
    #[must_use]
    pub fn route(mut self, yaml: &str) -> Self {
        self.route = yaml.into();
        self
    }

    /// Adds settings of the whole file.
    #[must_use]
    pub fn top(mut self, yaml: &str) -> Self {
        self.top = yaml.into();
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// It does not start; the message has what it wrote.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Edge {
        let pki = Pki::new();
        let identity = pki.server(&["example.com"]);
        let seawall = Seawall::with(YAML)
            .set("top", self.top)
            .set("origin", self.origin)
            .set("upstream", self.upstream)
            .set("route", self.route)
            .set("cert", identity.cert.display())
            .set("key", identity.key.display())
            .start();
        Edge { seawall, pki }
    }
}
