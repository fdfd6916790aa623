//! Which client addresses may connect.

use std::net::IpAddr;

use schemars::JsonSchema;
use seawall_config::units::{Cidr, CidrSet};
use seawall_config::{Diagnostics, OneOrMany, Path};
use serde::{Deserialize, Serialize};

/// Which client addresses may pass. `deny` wins over `allow`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSettings {
    /// Addresses and networks that may pass. Empty: all.
    pub allow: OneOrMany<Cidr>,
    /// Addresses and networks that may not, even when `allow` holds them.
    pub deny: OneOrMany<Cidr>,
}

impl AccessSettings {
    /// Reports an address that is both allowed and denied.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        for (index, net) in self.allow.iter().enumerate() {
            if self.deny.contains(net) {
                out.warning(&at.key("allow").index(index), format!("`{net}` is also in `deny`, which wins"))
                    .hint("take it out of one of the two lists");
            }
        }
    }
}

/// [`AccessSettings`], ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    allow: Option<CidrSet>,
    deny: CidrSet,
}

impl AddressRules {
    /// Builds the rules.
    #[must_use]
    pub fn new(settings: &AccessSettings) -> Self {
        Self {
            allow: (!settings.allow.is_empty()).then(|| settings.allow.iter().collect()),
            deny: settings.deny.iter().collect(),
        }
    }

    /// Whether `address` may pass.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        !self.deny.contains(address) && self.allow.as_ref().is_none_or(|allow| allow.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::{AccessSettings, AddressRules};
    use seawall_config::{Diagnostics, Path};

    fn permits(yaml: &str, address: &str) -> bool {
        let settings: AccessSettings = serde_yaml::from_str(yaml).unwrap();
        AddressRules::new(&settings).permits(address.parse().unwrap())
    }

    #[test]
    fn empty_rules_let_all_pass() {
        assert!(permits("{}", "192.0.2.1"));
        assert!(permits("{}", "2001:db8::1"));
    }

    #[test]
    fn deny_wins_over_allow() {
        let yaml = "{ allow: 10.0.0.0/8, deny: [10.9.0.0/16] }";
        assert!(permits(yaml, "10.1.1.1"));
        assert!(!permits(yaml, "10.9.1.1"));
        assert!(!permits(yaml, "11.0.0.1"));
        assert!(!permits("{ deny: 10.0.0.0/8 }", "::ffff:10.1.1.1"), "IPv4 inside IPv6 is IPv4");
    }

    #[test]
    fn a_network_in_both_lists_is_reported() {
        let settings: AccessSettings =
            serde_yaml::from_str("{ allow: [10.0.0.0/8], deny: [10.0.0.0/8] }").unwrap();
        let mut out = Diagnostics::default();
        settings.check(&Path::root(), &mut out);
        assert_eq!(out.iter().count(), 1);
    }
}
