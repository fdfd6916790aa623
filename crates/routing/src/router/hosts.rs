use ahash::AHashMap;

use crate::HostPattern;
use crate::host_pattern::Kind;

/// Which site has which host.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    exact: AHashMap<String, usize>,
    /// By the host above, without `*.`.
    below: AHashMap<String, usize>,
    default: Option<usize>,
}

impl HostTable {
    /// Gives a host to a site; `false` when another site has it.
    pub(crate) fn add(&mut self, pattern: &HostPattern, site: usize) -> bool {
        let owner = match pattern.kind() {
            Kind::Exact(host) => *self.exact.entry(host.clone()).or_insert(site),
            Kind::Below(above) => *self.below.entry(above.clone()).or_insert(site),
            Kind::Any => return self.set_default(site),
        };
        owner == site
    }

    /// Makes a site the default; `false` when another one is.
    pub(crate) fn set_default(&mut self, site: usize) -> bool {
        *self.default.get_or_insert(site) == site
    }

    /// The site of a host.
    pub(crate) fn find(&self, host: &str) -> Option<usize> {
        if let Some(site) = self.exact.get(host) {
            return Some(*site);
        }
        self.wildcard(host).map(|(_, site)| site).or(self.default)
    }

    /// The longest wildcard over `host`, without `*.`, and its site.
    pub(crate) fn wildcard<'h>(&self, host: &'h str) -> Option<(&'h str, usize)> {
        if self.below.is_empty() {
            return None;
        }
        let mut rest = host;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(site) = self.below.get(above) {
                return Some((above, *site));
            }
            rest = above;
        }
        None
    }

    /// Whether `host` is named exactly.
    pub(crate) fn is_exact(&self, host: &str) -> bool {
        self.exact.contains_key(host)
    }
}

#[cfg(test)]
mod tests {
    use super::HostTable;

    #[test]
    fn exact_then_longest_wildcard_then_default() {
        let mut table = HostTable::default();
        for (site, host) in
            ["*.example.com", "www.example.com", "*.b.example.com", "*", "::1"].iter().enumerate()
        {
            assert!(table.add(&host.parse().unwrap(), site));
        }
        for (host, site) in [
            ("www.example.com", 1),
            ("x.example.com", 0),
            ("a.b.example.com", 2),
            ("b.example.com", 0),
            ("x.www.example.com", 0),
            ("example.com", 3),
            ("", 3),
            ("other", 3),
            ("::1", 4),
        ] {
            assert_eq!(table.find(host), Some(site), "{host}");
        }
    }

    #[test]
    fn unknown_without_a_default() {
        let mut table = HostTable::default();
        assert!(table.add(&"*.example.com".parse().unwrap(), 0));
        for host in ["example.com", "", "com", "evilexample.com", "example.com.evil"] {
            assert_eq!(table.find(host), None, "{host}");
        }
    }

    #[test]
    fn tells_who_has_a_host() {
        let mut table = HostTable::default();
        assert!(table.add(&"a".parse().unwrap(), 0));
        assert!(table.add(&"a".parse().unwrap(), 0));
        assert!(!table.add(&"a".parse().unwrap(), 1));
        assert!(table.add(&"*".parse().unwrap(), 0));
        assert!(!table.set_default(1));
    }
}
