use ahash::AHashMap;
use seawall_config::{Diagnostics, Path};

use super::SiteView;
use crate::HostPattern;

/// Reports hosts that stand twice, sites that no host leads to and second default sites; tells whether any
/// of it forbids a router.
pub(super) fn check(sites: &[SiteView<'_>], out: &mut Diagnostics) -> bool {
    let mut owners: AHashMap<&HostPattern, (usize, Path)> = AHashMap::new();
    let mut default: Option<(usize, Path)> = None;
    let mut clash = false;
    for (index, site) in sites.iter().enumerate() {
        if site.hosts.is_empty() && !site.default {
            out.error(&site.at, "the site has no hosts, so no request reaches it")
                .hint("give it `hosts`, or make it the default site");
        }
        if site.default {
            clash |= second_default(&mut default, index, &site.at.key("default"), out);
        }
        for (number, host) in site.hosts.iter().enumerate() {
            let at = site.at.key("hosts").index(number);
            if host.is_any() {
                clash |= second_default(&mut default, index, &at, out);
            }
            match owners.get(host) {
                Some((owner, first)) if *owner == index => {
                    out.warning(&at, format!("the host `{host}` stands twice, first at `{first}`"));
                }
                Some((_, first)) if !host.is_any() => {
                    clash = true;
                    out.error(&at, format!("the host `{host}` belongs to another site, at `{first}`"))
                        .hint("a host has one site; bring the routes of both together");
                }
                Some(_) => {}
                None => {
                    owners.insert(host, (index, at));
                }
            }
        }
    }
    clash
}

/// Whether another site is the default already, which is reported.
fn second_default(
    default: &mut Option<(usize, Path)>,
    site: usize,
    at: &Path,
    out: &mut Diagnostics,
) -> bool {
    match default {
        Some((first, place)) if *first != site => {
            out.error(at, format!("there is a default site already, at `{place}`"))
                .hint("one site can take the hosts that no site has");
            true
        }
        Some(_) => false,
        None => {
            *default = Some((site, at.clone()));
            false
        }
    }
}
