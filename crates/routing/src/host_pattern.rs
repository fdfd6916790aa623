use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::host::{HostError, normalize_host, normalize_name};

/// The hosts of a site: `example.com`, `*.example.com` (one or more labels below it), `*` (any host), an
/// IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The normalised host.
    Exact(String),
    /// Every host below this one; the text is without `*.`.
    Below(String),
    /// Every host that no other pattern covers.
    Any,
}

impl HostPattern {
    pub(crate) fn kind(&self) -> &Kind {
        &self.0
    }

    /// Whether it is `*`, which makes its site the default site.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == Kind::Any
    }

    /// The one host it stands for, when it is not a wildcard. IPv6 addresses are without brackets.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        match &self.0 {
            Kind::Exact(host) => Some(host),
            Kind::Below(_) | Kind::Any => None,
        }
    }

    /// Whether it covers `host`, which [`normalize_host`] made.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match &self.0 {
            Kind::Exact(own) => own == host,
            Kind::Below(above) => {
                host.strip_suffix(above.as_str()).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
            }
            Kind::Any => true,
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{text}` is not a host: {why}");
        if text == "*" {
            return Ok(Self(Kind::Any));
        }
        if text.contains("://") {
            return Err(bad("write the host alone, without `http://` or `https://`"));
        }
        if text.contains('/') {
            return Err(bad("paths belong to `routes`"));
        }
        if !text.is_ascii() {
            return Err(bad(
                "write international names in their ASCII form, such as `xn--bcher-kva.example`",
            ));
        }
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self(Kind::Exact(address.to_string())));
        }
        if text.starts_with('[') && text.ends_with(']') {
            return match normalize_host(text) {
                Ok(address) => Ok(Self(Kind::Exact(address.into_owned()))),
                Err(error) => Err(bad(&error.to_string())),
            };
        }
        if text.contains(':') {
            return Err(bad("the port is chosen by `listeners`; write the host without it"));
        }
        let (name, wild) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let name = match normalize_name(name) {
            Ok(name) => name.into_owned(),
            Err(HostError::IllegalByte(b'*')) => {
                return Err(bad("`*` may only stand in front, as in `*.example.com`"));
            }
            Err(error) => return Err(bad(&error.to_string())),
        };
        if wild && name.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(bad("an address has nothing below it"));
        }
        Ok(Self(if wild { Kind::Below(name) } else { Kind::Exact(name) }))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exact(host) if host.contains(':') => write!(f, "[{host}]"),
            Kind::Exact(host) => f.write_str(host),
            Kind::Below(above) => write!(f, "*.{above}"),
            Kind::Any => f.write_str("*"),
        }
    }
}

crate::text_unit::text_unit!(
    HostPattern,
    "a host such as `example.com` or `*.example.com`",
    r"^(\*|(\*\.)?[A-Za-z0-9_.-]+|\[?[0-9A-Fa-f:.]+\]?)$",
    "A host: `example.com`, `*.example.com` (one or more labels below it), `*` (any host, which makes the site the default), or an IP address. International names in their ASCII form (`xn--…`), no port."
);

#[cfg(test)]
mod tests {
    use super::HostPattern;

    #[test]
    fn covers_its_hosts() {
        for (pattern, host, covered) in [
            ("example.com", "example.com", true),
            ("EXAMPLE.com.", "example.com", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*.example.com", "example.com.evil", false),
            ("*", "anything", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("2001:DB8::1", "2001:db8::1", true),
            ("[2001:db8:0::1]", "2001:db8::1", true),
        ] {
            assert_eq!(pattern.parse::<HostPattern>().unwrap().matches(host), covered, "{pattern} {host}");
        }
    }

    #[test]
    fn refuses_slips_with_a_hint() {
        for (text, hint) in [
            ("", "empty"),
            ("https://example.com", "without `http://`"),
            ("example.com/app", "routes"),
            ("example.com:8080", "listeners"),
            ("b\u{fc}cher.example", "xn--"),
            ("www.*.com", "only stand in front"),
            ("*example.com", "only stand in front"),
            ("*.*.example.com", "only stand in front"),
            ("*.", "empty"),
            ("*.10.0.0.1", "nothing below"),
            ("a..b", "empty label"),
            ("user@example.com", "0x40"),
            ("[example.com]", "IPv6"),
        ] {
            let error = text.parse::<HostPattern>().unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["example.com", "*.example.com", "*", "192.0.2.7", "[2001:db8::1]"] {
            let pattern: HostPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
            assert_eq!(pattern.to_string().parse::<HostPattern>(), Ok(pattern));
        }
    }

    #[test]
    fn is_a_text_in_yaml() {
        let hosts: Vec<HostPattern> = serde_yaml::from_str("[example.com, '*.Example.com']").unwrap();
        assert_eq!(serde_yaml::to_string(&hosts).unwrap(), "- example.com\n- '*.example.com'\n");
        let error = serde_yaml::from_str::<Vec<HostPattern>>("[example.com:80]").unwrap_err();
        assert!(error.to_string().contains("listeners"), "{error}");
    }
}
