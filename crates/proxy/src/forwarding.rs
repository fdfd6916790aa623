//! What Seawall tells the origin about the client, and whom it believes.
//!
//! From a peer outside `trusted` every forwarding field is overwritten: a client cannot choose its own
//! address. From a trusted peer (another proxy of yours) the chain is kept and extended, and the client is
//! the nearest address in it that is not itself trusted.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue, VIA};
use pingora_error::Result;
use pingora_http::RequestHeader;
use schemars::JsonSchema;
use seawall_config::units::{Cidr, CidrSet};
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use crate::cdn_loop::{CDN_LOOP, CdnLoop};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Addresses read from a chain before the rest is ignored.
const MAX_CHAIN: usize = 32;
/// Longest request id accepted from a trusted peer.
const MAX_REQUEST_ID: usize = 128;

/// How requests are presented to origins, and which peers' word about the client counts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardingSettings {
    /// Networks of your own proxies. Their `X-Forwarded-*`, `Forwarded` and request id are kept and extended;
    /// everyone else's are overwritten. Their `X-Forwarded-For` and `X-Forwarded-Proto` say who the client is and
    /// whether it came over TLS.
    pub trusted: Vec<Cidr>,
    /// The name of this proxy in `Via`, `Forwarded: by=` and `CDN-Loop`. Seawalls in front of each other need
    /// different names: a request that has passed this name already is a loop and gets 508.
    pub name: String,
    /// The field that carries the request id, to the origin and back to the client.
    pub request_id_header: String,
    /// Send `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    pub x_forwarded: bool,
    /// Send `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// Send `Via` (RFC 9110 §7.6.3), to the origin and to the client.
    pub via: bool,
    /// Send `CDN-Loop` (RFC 8586) to the origin, and answer 508 to a request that carries our own name in it. Switch
    /// it off only behind something that refuses loops itself.
    pub cdn_loop: bool,
}

impl Default for ForwardingSettings {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            name: "seawall".into(),
            request_id_header: "X-Request-Id".into(),
            x_forwarded: true,
            forwarded: true,
            via: true,
            cdn_loop: true,
        }
    }
}

impl ForwardingSettings {
    /// Reports what cannot work.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if !is_token(&self.name) {
            out.error(&at.key("name"), format!("`{}` cannot name a proxy", self.name))
                .hint("use letters, digits, `-`, `_` and `.`");
        }
        if HeaderName::from_bytes(self.request_id_header.as_bytes()).is_err() {
            out.error(
                &at.key("request_id_header"),
                format!("`{}` is not a field name", self.request_id_header),
            );
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The compiled form of [`ForwardingSettings`].
#[derive(Debug)]
pub struct Forwarding {
    trusted: CidrSet,
    name: String,
    request_id: HeaderName,
    x_forwarded: bool,
    forwarded: bool,
    via: Option<ViaValues>,
    cdn_loop: Option<CdnLoop>,
}

#[derive(Debug)]
struct ViaValues {
    http10: HeaderValue,
    http11: HeaderValue,
    http2: HeaderValue,
}

/// Why the settings could not be compiled; [`ForwardingSettings::check`] reports the same earlier.
#[derive(Debug, thiserror::Error)]
pub enum ForwardingError {
    /// Not a field name.
    #[error("`{0}` is not a field name")]
    Field(String),
    /// Not a token.
    #[error("`{0}` cannot name a proxy")]
    Name(String),
}

/// Who is asking, as far as it can be believed.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The address on the other end of the connection; none on a unix socket.
    pub peer: Option<IpAddr>,
    /// The client: the peer, or what a trusted peer says it is.
    pub address: Option<IpAddr>,
    /// Whether the peer's forwarding fields are believed.
    pub trusted: bool,
}

impl Client {
    /// Whether a trusted peer says that the client came over TLS: the nearest word of `X-Forwarded-Proto`. `None`
    /// when nobody who is believed says anything.
    #[must_use]
    pub fn forwarded_https(&self, headers: &HeaderMap) -> Option<bool> {
        if !self.trusted {
            return None;
        }
        let last =
            headers.get_all(&X_FORWARDED_PROTO).iter().next_back()?.to_str().ok()?.rsplit(',').next()?;
        match last.trim() {
            proto if proto.eq_ignore_ascii_case("https") => Some(true),
            proto if proto.eq_ignore_ascii_case("http") => Some(false),
            _ => None,
        }
    }
}

impl Forwarding {
    /// Compiles the settings.
    ///
    /// # Errors
    /// When a name is not valid in a header.
    pub fn new(settings: &ForwardingSettings) -> Result<Self, ForwardingError> {
        let request_id = HeaderName::from_bytes(settings.request_id_header.as_bytes())
            .map_err(|_| ForwardingError::Field(settings.request_id_header.clone()))?;
        let via = |version: &str| {
            HeaderValue::from_str(&format!("{version} {}", settings.name))
                .map_err(|_| ForwardingError::Name(settings.name.clone()))
        };
        Ok(Self {
            trusted: settings.trusted.iter().collect(),
            name: settings.name.clone(),
            request_id,
            x_forwarded: settings.x_forwarded,
            forwarded: settings.forwarded,
            via: if settings.via {
                Some(ViaValues { http10: via("1.0")?, http11: via("1.1")?, http2: via("2.0")? })
            } else {
                None
            },
            cdn_loop: settings.cdn_loop.then(|| CdnLoop::new(&settings.name)),
        })
    }

    /// Whether a request with these fields has passed here before (RFC 8586 §2).
    #[must_use]
    pub fn is_loop(&self, headers: &HeaderMap) -> bool {
        self.cdn_loop.as_ref().is_some_and(|own| own.has_passed(headers))
    }

    /// The field of the request id.
    #[must_use]
    pub fn request_id_header(&self) -> &HeaderName {
        &self.request_id
    }

    /// The `Via` entry for a message received in `version`, when `Via` is on.
    #[must_use]
    pub fn via(&self, version: http::Version) -> Option<&HeaderValue> {
        self.via.as_ref().map(|values| match version {
            http::Version::HTTP_2 => &values.http2,
            http::Version::HTTP_11 => &values.http11,
            _ => &values.http10,
        })
    }

    /// Who the client is. A peer without an address (a unix socket) is local and trusted.
    #[must_use]
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Client {
        let peer = peer.map(|address| address.to_canonical());
        let trusted = peer.is_none_or(|address| self.trusted.contains(address));
        if !trusted {
            return Client { peer, address: peer, trusted };
        }
        let mut address = peer;
        // The chain reads client, proxy, proxy; the entries nearest to us are the ones our own proxies wrote.
        let mut seen = 0;
        'fields: for field in headers.get_all(&X_FORWARDED_FOR).iter().rev() {
            let Ok(text) = field.to_str() else { break };
            for entry in text.rsplit(',') {
                seen += 1;
                let Some(hop) = parse_hop(entry.trim()) else { break 'fields };
                address = Some(hop);
                if seen >= MAX_CHAIN || !self.trusted.contains(hop) {
                    break 'fields;
                }
            }
        }
        Client { peer, address, trusted }
    }

    /// The request id a trusted peer sent, when it is well formed.
    #[must_use]
    pub fn inherited_request_id<'h>(&self, client: &Client, headers: &'h HeaderMap) -> Option<&'h str> {
        if !client.trusted {
            return None;
        }
        let id = headers.get(&self.request_id)?.to_str().ok()?;
        let fine = !id.is_empty()
            && id.len() <= MAX_REQUEST_ID
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(&b));
        fine.then_some(id)
    }

    /// Writes the forwarding fields of a request that goes to an origin.
    ///
    /// # Errors
    /// Never in practice: every value written is a valid field value.
    pub fn write(&self, request: &mut RequestHeader, client: &Client, said: &Said<'_>) -> Result<()> {
        let proto = if said.https { "https" } else { "http" };
        if has_extensions(&request.headers) {
            // Never inherited: origins often believe these blindly, and the client could have written them.
            request.remove_header(&X_REAL_IP);
            if !client.trusted || !self.x_forwarded {
                for name in [&X_FORWARDED_FOR, &X_FORWARDED_PROTO, &X_FORWARDED_HOST] {
                    request.remove_header(name);
                }
            }
        }
        let mut peer = String::with_capacity(64);
        if let Some(address) = client.peer {
            push_address(address, &mut peer);
        }
        if !client.trusted || !self.forwarded {
            request.remove_header(&FORWARDED);
        }
        if self.x_forwarded {
            if client.peer.is_some() {
                let chain = joined(&request.headers, &X_FORWARDED_FOR, &peer);
                request.insert_header(X_FORWARDED_FOR, chain)?;
            }
            request.insert_header(X_FORWARDED_PROTO, proto)?;
            // A page often carries the host it was asked with; one that is shared may know no other than its key's.
            if said.shared || !request.headers.contains_key(&X_FORWARDED_HOST) {
                request.insert_header(X_FORWARDED_HOST, said.host)?;
            }
        }
        if self.forwarded {
            let peer = match client.peer {
                Some(IpAddr::V6(_)) => ["\"[", &peer, "]\""],
                Some(IpAddr::V4(_)) => ["", &peer, ""],
                None => ["", "unknown", ""],
            };
            let [open, peer, close] = peer;
            let (name, host) = (self.name.as_str(), said.host);
            let parts = ["for=", open, peer, close, ";by=_", name, ";host=\"", host, "\";proto=", proto];
            let entry = parts.concat();
            let chain = joined(&request.headers, &FORWARDED, &entry);
            request.insert_header(FORWARDED, chain)?;
        }
        if let Some(via) = self.via(said.received) {
            request.append_header(VIA, via)?;
        }
        if let Some(own) = &self.cdn_loop {
            request.append_header(CDN_LOOP, own.name())?;
        }
        request.insert_header(&self.request_id, said.request_id)
    }
}

/// What an origin is told about a request.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The host as routed and keyed.
    pub host: &'a str,
    /// Whether the client's side of the way is TLS.
    pub https: bool,
    /// The version in which the request came.
    pub received: http::Version,
    /// Its id.
    pub request_id: &'a str,
    /// The answer may be kept and given to others.
    pub shared: bool,
}

/// Whether there are fields whose names begin with `x-`. Most requests have none, and looking through the names once
/// costs less than looking for each of many.
pub(crate) fn has_extensions(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("x-"))
}

/// Appends `address` as text. `Display` takes ten times as long for the addresses that are common.
fn push_address(address: IpAddr, out: &mut String) {
    match address {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push('.');
                }
                let digits = [octet / 100, octet / 10 % 10, octet % 10];
                let from = digits.iter().position(|digit| *digit > 0).unwrap_or(2);
                out.extend(digits[from..].iter().map(|digit| char::from(b'0' + digit)));
            }
        }
        IpAddr::V6(v6) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{v6}");
        }
    }
}

/// All present values of a list field and one more, as one value.
fn joined(headers: &HeaderMap, name: &HeaderName, last: &str) -> String {
    let mut chain = String::with_capacity(last.len() + 32);
    for value in headers.get_all(name) {
        if let Ok(text) = value.to_str() {
            chain.push_str(text);
            chain.push_str(", ");
        }
    }
    chain.push_str(last);
    chain
}

/// An entry of `X-Forwarded-For`: an address, perhaps with a port.
fn parse_hop(entry: &str) -> Option<IpAddr> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    entry.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarding(trusted: &[&str]) -> Forwarding {
        let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Forwarding::new(&ForwardingSettings { trusted, ..Default::default() }).unwrap()
    }

    fn request(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn sent(forwarding: &Forwarding, peer: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = request(fields);
        let client = forwarding.client(Some(peer.parse().unwrap()), &request.headers);
        forwarding.write(&mut request, &client, &said(false)).unwrap();
        request
    }

    fn said(shared: bool) -> Said<'static> {
        Said {
            host: "example.com",
            https: true,
            received: http::Version::HTTP_11,
            request_id: "id-1",
            shared,
        }
    }

    #[test]
    fn a_shared_answer_knows_no_other_host_than_its_key() {
        let forwarding = forwarding(&["10.0.0.0/8"]);
        for (shared, host) in [(false, "evil.example"), (true, "example.com")] {
            let mut request = request(&FORGED);
            let client = forwarding.client(Some("10.0.0.9".parse().unwrap()), &request.headers);
            forwarding.write(&mut request, &client, &said(shared)).unwrap();
            assert_eq!(request.headers["x-forwarded-host"], host);
        }
    }

    const FORGED: [(&str, &str); 5] = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
    ];

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        let sent = sent(&forwarding(&[]), "198.51.100.7", &FORGED);
        assert_eq!(sent.headers["x-forwarded-for"], "198.51.100.7");
        assert_eq!(sent.headers["x-forwarded-proto"], "https");
        assert_eq!(sent.headers["x-forwarded-host"], "example.com");
        assert_eq!(
            sent.headers["forwarded"],
            "for=198.51.100.7;by=_seawall;host=\"example.com\";proto=https"
        );
        assert!(!sent.headers.contains_key("x-real-ip"));
        assert_eq!(sent.headers["via"], "1.1 seawall");
        assert_eq!(sent.headers["cdn-loop"], "seawall");
        assert_eq!(sent.headers["x-request-id"], "id-1");
    }

    #[test]
    fn a_trusted_peer_extends_the_chain() {
        let sent = sent(&forwarding(&["10.0.0.0/8"]), "10.0.0.9", &FORGED);
        assert_eq!(sent.headers["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
        assert_eq!(sent.headers["x-forwarded-proto"], "https", "what the key says");
        assert!(sent.headers["forwarded"].to_str().unwrap().starts_with("for=1.2.3.4, for=10.0.0.9;"));
    }

    #[test]
    fn the_client_is_the_nearest_untrusted_hop() {
        let forwarding = forwarding(&["10.0.0.0/8", "2001:db8::/32"]);
        for (chain, expected) in [
            ("1.1.1.1, 2.2.2.2, 10.0.0.3", "2.2.2.2"),
            ("10.0.0.4, 10.0.0.3", "10.0.0.4"),
            ("1.1.1.1, garbage, 10.0.0.3", "10.0.0.3"),
            ("1.1.1.1:4711", "1.1.1.1"),
            ("[2001:db9::1]:80", "2001:db9::1"),
            ("", "10.0.0.1"),
        ] {
            let request = request(&[("x-forwarded-for", chain)]);
            let client = forwarding.client(Some("10.0.0.1".parse().unwrap()), &request.headers);
            assert_eq!(client.address, Some(expected.parse().unwrap()), "{chain}");
        }
        let request = request(&[("x-forwarded-for", "1.1.1.1")]);
        let stranger = forwarding.client(Some("9.9.9.9".parse().unwrap()), &request.headers);
        assert_eq!(stranger.address, Some("9.9.9.9".parse().unwrap()));
    }

    #[test]
    fn a_request_id_is_inherited_from_trusted_peers_only() {
        let forwarding = forwarding(&["10.0.0.0/8"]);
        let id = |peer: &str, id: &str| {
            let request = request(&[("x-request-id", id)]);
            let client = forwarding.client(Some(peer.parse().unwrap()), &request.headers);
            forwarding.inherited_request_id(&client, &request.headers).map(str::to_owned)
        };
        assert_eq!(id("10.0.0.1", "abc-123").as_deref(), Some("abc-123"));
        assert_eq!(id("11.0.0.1", "abc-123"), None);
        assert_eq!(id("10.0.0.1", "a b"), None);
        assert_eq!(id("10.0.0.1", &"x".repeat(200)), None);
    }

    #[test]
    fn the_scheme_is_a_trusted_peers_word_or_nobodys() {
        let forwarding = forwarding(&["10.0.0.0/8"]);
        let said = |peer: &str, proto: &str| {
            let request = request(&[("x-forwarded-proto", proto)]);
            forwarding.client(Some(peer.parse().unwrap()), &request.headers).forwarded_https(&request.headers)
        };
        assert_eq!(said("10.0.0.1", "https"), Some(true));
        assert_eq!(said("10.0.0.1", "https, HTTP"), Some(false), "the nearest hop's word");
        assert_eq!(said("10.0.0.1", "gopher"), None);
        assert_eq!(said("11.0.0.1", "https"), None);
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        let mut octets = (0..=255u8).map(|octet| IpAddr::from([octet, 0, 10, octet]));
        let v6: IpAddr = "2001:db8::ffff:7".parse().unwrap();
        for address in octets.by_ref().chain([v6]) {
            let mut text = String::new();
            push_address(address, &mut text);
            assert_eq!(text, address.to_string());
        }
    }

    #[test]
    fn ipv6_is_quoted_in_forwarded() {
        let sent = sent(&forwarding(&[]), "2001:db8::7", &[]);
        assert!(sent.headers["forwarded"].to_str().unwrap().starts_with("for=\"[2001:db8::7]\";"));
        assert_eq!(sent.headers["x-forwarded-for"], "2001:db8::7");
    }
}
