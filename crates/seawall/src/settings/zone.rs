//! `cache.zones`: parts of the cache with limits of their own.

use schemars::JsonSchema;
use seawall_config::OneOrMany;
use seawall_config::units::ByteSize;
use seawall_store::{DiskSettings, StoreSettings};
use serde::{Deserialize, Serialize};

use super::{CacheSettings, RouteSettings, SiteSettings, no_disk};

/// The zone whose limits are those directly under `cache`.
pub(crate) const DEFAULT_ZONE: &str = "default";

/// A part of the cache with memory, disks and tables of its own: what it keeps never makes room for another zone, and
/// takes none of it. What it does not say of a limit is as under `cache`, each zone for itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ZoneSettings {
    /// Its name, for `cache.zone` of routes, `cache_zone` of sites, purges and metrics: letters, digits, `-`, `_` and
    /// `.`, at most 64.
    pub(crate) name: String,
    /// Memory for its responses, on top of that of other zones: bodies, headers and bookkeeping together.
    pub(crate) memory: ByteSize,
    /// Disks below its memory: one, or a list. None when not given. Several zones may have folders on one file system,
    /// each with a `size` of its own.
    #[serde(skip_serializing_if = "no_disk")]
    pub(crate) disk: OneOrMany<DiskSettings>,
    /// Largest response body that it stores; `cache.max_object` when not given, less when its memory is small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_object: Option<ByteSize>,
    /// Part of its memory that responses still on their way in may hold together; half of `memory` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fill_memory: Option<ByteSize>,
    /// Responses on their way into it at once; `cache.max_fills` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_fills: Option<u32>,
    /// Largest response body kept in its memory when it has a disk; 1MiB when not given, less with little memory or
    /// small segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_object: Option<ByteSize>,
}

impl ZoneSettings {
    /// The part that is the store's.
    pub(crate) fn store(&self, cache: &CacheSettings) -> StoreSettings {
        let mut store = StoreSettings {
            memory: self.memory,
            max_object: self.max_object.unwrap_or(cache.max_object),
            fill_memory: self.fill_memory,
            max_fills: self.max_fills.unwrap_or(cache.max_fills),
            // By the zone's memory: that of `cache` is for another size.
            shards: None,
            disk: self.disk.clone(),
            memory_object: self.memory_object,
            ..cache.store()
        };
        if self.max_object.is_none() && store.disk.is_empty() {
            store.max_object = store.max_object.min(ByteSize(store.fill_bytes()));
        }
        store
    }
}

impl RouteSettings {
    /// The name of the zone that keeps the responses of this route of `site`.
    pub(crate) fn zone<'s>(&'s self, site: &'s SiteSettings) -> &'s str {
        let own = self.cache.as_ref().and_then(|cache| cache.zone.as_deref());
        own.or(site.cache_zone.as_deref()).unwrap_or(DEFAULT_ZONE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;

    fn settings(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn a_zone_takes_over_limits_but_no_room() {
        let settings = settings(
            "cache: { memory: 1GiB, max_object: 40MiB, fill_memory: 1MiB, max_fills: 7, max_variants: 3, shards: 8,
                      disk: { path: /x, size: 1GiB },
                      zones: [{ name: a, memory: 16MiB }, { name: b, memory: 1GiB, max_object: 1MiB, max_fills: 9 }] }",
        );
        let [a, b] = [0, 1].map(|number| settings.cache.zones[number].store(&settings.cache));
        assert_eq!(a.memory.bytes(), 16 << 20);
        assert!(a.disk.is_empty() && a.shards.is_none() && a.fill_memory.is_none());
        assert_eq!(a.max_object.bytes(), 8 << 20, "what all that is on its way in may hold");
        assert_eq!((a.max_fills, a.max_variants), (7, 3));
        assert_eq!((b.max_object.bytes(), b.max_fills), (1 << 20, 9));
    }

    #[test]
    fn a_route_goes_before_its_site() {
        let settings = settings(
            "sites: [{ cache_zone: a, routes: [{ cache: on }, { cache: { zone: b } }] }, { routes: [{}] }]",
        );
        let zone = |site: usize, route: usize| {
            let site = &settings.sites[site];
            site.routes[route].zone(site)
        };
        assert_eq!([zone(0, 0), zone(0, 1), zone(1, 0)], ["a", "b", "default"]);
    }
}
