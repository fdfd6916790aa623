use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A network or a single address: `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether `address` lies in the network. An IPv4 address inside IPv6 (`::ffff:192.0.2.7`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address.to_canonical())));
        }
        let net: IpNet = text.parse().map_err(|_| {
            format!("`{text}` is neither an address nor a network; write `192.0.2.7`, `10.0.0.0/8` or `2001:db8::/32`")
        })?;
        if net.addr() != net.network() {
            return Err(format!("`{text}` has bits set after the prefix; did you mean `{}`?", net.trunc()));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

super::text_unit!(
    Cidr,
    "an address or a network such as `10.0.0.0/8`",
    r"^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
    "An IP address or a network: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`."
);

/// A set of networks.
#[derive(Debug, Clone, Default)]
pub struct CidrSet(Vec<Cidr>);

impl CidrSet {
    /// Whether any of the networks holds `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(address))
    }
}

impl<'a> FromIterator<&'a Cidr> for CidrSet {
    fn from_iter<I: IntoIterator<Item = &'a Cidr>>(nets: I) -> Self {
        Self(nets.into_iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Cidr, CidrSet};

    #[test]
    fn holds_its_addresses() {
        let nets: Vec<Cidr> =
            ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"].map(|t| t.parse().unwrap()).to_vec();
        let set: CidrSet = nets.iter().collect();
        for inside in ["10.1.2.3", "192.0.2.7", "2001:db8::1", "::ffff:10.1.2.3"] {
            assert!(set.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1"] {
            assert!(!set.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn refuses_slips() {
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "example.com", "10.0.0"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert!("10.0.0.1/8".parse::<Cidr>().unwrap_err().contains("10.0.0.0/8"));
    }
}
