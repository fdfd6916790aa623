//! Hosts seen over all sites: each belongs to one.

use std::collections::BTreeMap;

use seawall_config::{Diagnostics, Path};

use super::SiteView;

/// Reports hosts that two sites claim, second default sites, and sites nobody can reach. True when two clash.
pub(super) fn check(sites: &[SiteView<'_>], out: &mut Diagnostics) -> bool {
    let mut owners: BTreeMap<String, Path> = BTreeMap::new();
    let mut default: Option<Path> = None;
    let mut clash = false;
    for site in sites {
        let hosts = site.at.key("hosts");
        if site.hosts.is_empty() && !site.default {
            out.error(&site.at, "the site has no hosts, so no request reaches it")
                .hint("add `hosts: [example.com]` or `default: true`");
        }
        for (i, host) in site.hosts.iter().enumerate() {
            let at = hosts.index(i);
            if host.is_any() {
                clash |= second_default(&mut default, &site.at, &at, out);
                continue;
            }
            if let Some(first) = owners.insert(host.to_string(), site.at.clone()) {
                clash = true;
                out.error(&at, format!("the host `{host}` is named twice"))
                    .hint(format!("`{first}` has it too; a host belongs to one site"));
            }
        }
        if site.default && !site.hosts.iter().any(crate::HostPattern::is_any) {
            clash |= second_default(&mut default, &site.at, &site.at.key("default"), out);
        }
    }
    clash
}

fn second_default(default: &mut Option<Path>, site: &Path, at: &Path, out: &mut Diagnostics) -> bool {
    if let Some(first) = default {
        out.error(at, "there are two default sites").hint(format!("`{first}` is the other; keep one"));
        return true;
    }
    *default = Some(site.clone());
    false
}
