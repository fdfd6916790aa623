//! Who may come in.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Uri};
use subtle::ConstantTimeEq as _;

use crate::control::Fault;
use crate::settings::AdminSettings;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a request must show.
pub struct Access {
    token: Option<String>,
    /// The names it may be asked for; `None` on a unix socket, which no web page can reach.
    hosts: Option<Vec<String>>,
}

impl Access {
    /// The rules of these settings.
    ///
    /// # Errors
    /// When the token's file cannot be read.
    pub fn new(settings: &AdminSettings) -> std::io::Result<Self> {
        let unix = matches!(settings.listen, Some(seawall_listen::ListenAddress::Unix(_)));
        let hosts = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { token: settings.read_token()?, hosts: (!unix).then_some(hosts) })
    }

    /// For a connection that only one known process can be at the other end of.
    #[must_use]
    pub fn private() -> Self {
        Self { token: None, hosts: None }
    }

    /// Refuses what a browser sends, and what is asked for by a name that is not ours (DNS rebinding).
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check_source(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
        let foreign = headers.get(SEC_FETCH_SITE).is_some_and(|site| site != "none");
        if headers.contains_key(ORIGIN) || foreign {
            return Err(Fault::new(403, "browser", "requests of web pages are refused"));
        }
        let Some(names) = &self.hosts else { return Ok(()) };
        let mut all = headers.get_all(HOST).iter();
        let host = match (uri.authority(), all.next(), all.next()) {
            (Some(authority), _, None) => authority.as_str(),
            (None, Some(host), None) => host.to_str().unwrap_or(""),
            _ => "",
        };
        if is_ours(host, names) {
            return Ok(());
        }
        Err(Fault::new(421, "host", "this host name is not one of `admin.hosts`"))
    }

    /// Asks for the token, if there is one.
    ///
    /// # Errors
    /// 401 when it is missing or wrong.
    pub fn check_token(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
        let right = given.is_some_and(|(scheme, given)| {
            // Takes as long for a wrong first byte as for a wrong last one; the length is no secret.
            scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(token.as_bytes()))
        });
        if right { Ok(()) } else { Err(Fault::new(401, "token", "the token is missing or wrong")) }
    }
}

fn is_ours(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((ip, port)) if port.is_empty() || port.starts_with(':') => ip,
            _ => return false,
        },
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.parse::<IpAddr>().is_ok() || names.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::Access;
    use crate::AdminSettings;
    use http::{HeaderMap, HeaderName, HeaderValue, Uri};

    fn access(yaml: &str) -> Access {
        let settings: AdminSettings = serde_yaml::from_str(yaml).unwrap();
        Access::new(&settings).unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    const TCP: &str = "{ listen: '127.0.0.1:1', token: 0123456789abcdef, hosts: edge.example }";

    #[test]
    fn only_our_own_names_and_addresses() {
        let access = access(TCP);
        let uri = Uri::from_static("/");
        for host in ["127.0.0.1:9092", "[::1]:9092", "localhost", "EDGE.example:1", "10.0.0.1"] {
            assert!(access.check_source(&uri, &headers(&[("host", host)])).is_ok(), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "[::1", "[::1]x", "127.0.0.1.evil.example"]
        {
            assert!(access.check_source(&uri, &headers(&[("host", host)])).is_err(), "{host}");
        }
        let mut two = headers(&[("host", "localhost")]);
        two.append("host", HeaderValue::from_static("localhost"));
        assert!(access.check_source(&uri, &two).is_err());
        assert!(access.check_source(&uri, &HeaderMap::new()).is_err());
    }

    #[test]
    fn web_pages_stay_out_of_sockets_too() {
        let access = access("{ listen: 'unix:/x' }");
        let uri = Uri::from_static("/");
        assert!(access.check_source(&uri, &headers(&[("host", "anything")])).is_ok());
        assert!(access.check_source(&uri, &headers(&[("origin", "null")])).is_err());
        assert!(access.check_source(&uri, &headers(&[("sec-fetch-site", "cross-site")])).is_err());
        assert!(access.check_token(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn the_token_is_asked_for() {
        let access = access(TCP);
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef"] {
            assert!(access.check_token(&headers(&[("authorization", right)])).is_ok());
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeX",
            "Bearer 0123456789abcdef0",
            "Basic 0123456789abcdef",
        ] {
            assert!(access.check_token(&headers(&[("authorization", wrong)])).is_err(), "{wrong}");
        }
    }
}
