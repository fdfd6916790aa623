//! The whole configuration file: it only composes what the capabilities own.

mod zone;

use std::collections::BTreeMap;

use http::HeaderName;
use schemars::JsonSchema;
use seawall_admin::AdminSettings;
use seawall_caching::tags::TAG_FIELDS;
use seawall_caching::{Profile, RouteCacheSettings, TagFields};
use seawall_compress::CompressSettings;
use seawall_config::units::{ByteSize, Cidr, Span};
use seawall_config::{Diagnostics, OneOrMany, Path, Short};
use seawall_guard::LimitsSettings;
use seawall_listen::ListenerSettings;
use seawall_proxy::ForwardingSettings;
use seawall_routing::{
    HeaderOps, HostPattern, MethodName, RedirectSettings, RewriteSettings, StaticResponse,
};
use seawall_store::{DiskSettings, StoreSettings};
use seawall_telemetry::{AccessLogSettings, LogSettings, MetricsSettings};
use seawall_tls::TlsCommonSettings;
use seawall_upstream::UpstreamSettings;
use serde::{Deserialize, Serialize};

pub(crate) use zone::{DEFAULT_ZONE, ZoneSettings};

/// One YAML file describes a node: where it listens, what it answers for, where that comes from, and what it keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Where clients connect.
    pub(crate) listeners: Vec<ListenerSettings>,
    /// Sites: which names this node answers for, and how.
    pub(crate) sites: Vec<SiteSettings>,
    /// Pools of servers that routes send requests to, by name.
    pub(crate) upstreams: BTreeMap<String, UpstreamSettings>,
    /// The cache.
    pub(crate) cache: CacheSettings,
    /// What routes compress that do not say it themselves: `on`, `off` or a map. Off when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compress: Option<Short<CompressSettings>>,
    /// What a client may use of this node. Everything has a limit.
    pub(crate) limits: LimitsSettings,
    /// What origins are told about clients, and whose word about clients counts.
    pub(crate) forwarding: ForwardingSettings,
    /// Where Prometheus reads. Without it no metrics listener is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<MetricsSettings>,
    /// How the process is controlled while it runs. Without it there is no control API; signals work all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<AdminSettings>,
    /// What the TLS of all listeners has in common.
    pub(crate) tls: TlsCommonSettings,
    /// One line a request.
    pub(crate) access_log: AccessLogSettings,
    /// What Seawall says about itself, on standard error.
    pub(crate) log: LogSettings,
    /// The process.
    pub(crate) server: ServerSettings,
    /// A folder of site files (every `*.yaml` and `*.yml` in it, by name), or a list of folders and files. Each
    /// file may hold `sites` and `upstreams`, which are joined to those of this file. Relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) include: Option<OneOrMany<String>>,
}

/// The names a site answers for, and its routes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SiteSettings {
    /// The name of the site in metrics and logs; its first host when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Host names: exact (`example.com`) or wildcards (`*.example.com`).
    pub(crate) hosts: OneOrMany<HostPattern>,
    /// Also answer for hosts that no site has. Without a default site they get 421.
    pub(crate) default: bool,
    /// The zone of `cache.zones` that keeps the responses of routes that name none; `default` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_zone: Option<String>,
    /// What to do with a request, by path and method. docs/routing.md tells which route wins.
    pub(crate) routes: Vec<RouteSettings>,
}

/// One route: a condition on path and method, an action (`upstream`, `redirect` or `respond`), and what to change
/// on the way.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RouteSettings {
    /// The name of the route in metrics and logs; its condition when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// This path and everything below it: `/assets/` or `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// Exactly this path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exact: Option<String>,
    /// A template: `/users/{id}` (one segment), `/files/{*rest}` (the rest).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pattern: Option<String>,
    /// A regular expression on the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) regex: Option<String>,
    /// Only these methods; all when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) methods: Option<OneOrMany<MethodName>>,
    /// Send the request to this pool of `upstreams`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<String>,
    /// Answer with a redirect. `redirect: { https: true }` may stand beside `upstream` or `respond`, which then answer
    /// what came over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redirect: Option<Short<RedirectSettings>>,
    /// Answer from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) respond: Option<Short<StaticResponse>>,
    /// Change the path before it goes to the upstream (and into the cache key).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rewrite: Option<RewriteSettings>,
    /// Fields to remove, set or add on the request to the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_headers: Option<HeaderOps>,
    /// Fields to remove, set or add on the response to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_headers: Option<HeaderOps>,
    /// What may be stored, and for how long: `off`, `on`, a time (`1h`), or a map. Off when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<Short<RouteCacheSettings>>,
    /// Which responses are compressed, and how: `on`, `off`, or a map. The `compress` of the whole file when not given, of
    /// which a map takes over nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compress: Option<Short<CompressSettings>>,
    /// Largest request body; `limits.max_body` when not given. A larger one gets 413.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_body: Option<ByteSize>,
}

/// The cache: its memory, and how requests wait for each other.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheSettings {
    /// The profile of routes that name none: `standard` is the RFC as written, `cdn-safe` is careful about what
    /// origins forget.
    pub(crate) profile: Profile,
    /// Memory for cached responses: bodies, headers and bookkeeping together. At the limit the responses least
    /// likely to be asked for again make room.
    pub(crate) memory: ByteSize,
    /// Largest response body that is stored. Larger ones pass through uncached, also chunked ones that only turn
    /// out to be larger on the way.
    pub(crate) max_object: ByteSize,
    /// Memory that responses still on their way in may hold together; half of `memory` when not given. Beyond it
    /// new ones pass through uncached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fill_memory: Option<ByteSize>,
    /// Responses on their way in at once. Beyond it new ones pass through uncached.
    pub(crate) max_fills: u32,
    /// Memory kept for the readers of a response that stopped being stored half-way.
    pub(crate) pass_window: ByteSize,
    /// Variants (`Vary`) kept for one URL. At the limit the oldest makes room.
    pub(crate) max_variants: u32,
    /// Parts (answers to range requests) kept for one URL. At the limit the oldest makes room.
    pub(crate) max_parts: u32,
    /// Parts whose bytes are known, so that other ranges within them find them. Beyond this number those of the URL
    /// that is longest unused are forgotten.
    pub(crate) indexed_parts: usize,
    /// Pieces the eviction queues are split into, a power of two; chosen from the number of cores when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shards: Option<u32>,
    /// Disks below the memory, whose content survives a restart: one, or a list over which URLs are spread by their
    /// sizes. docs/store.md tells how to choose.
    #[serde(skip_serializing_if = "no_disk")]
    pub(crate) disk: OneOrMany<DiskSettings>,
    /// Largest response body kept in memory when there is a disk; larger ones are on disk only, each in a file of
    /// its own. 1MiB when not given, less with little memory or small segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_object: Option<ByteSize>,
    /// Purges remembered for the sake of what is on disk. Beyond it the older half is forgotten, and everything
    /// stored before those counts as purged.
    pub(crate) max_purges: u32,
    /// How requests for the same response wait for one fetch.
    pub(crate) collapse: CollapseSettings,
    /// Who may purge, and by which tags.
    pub(crate) purge: PurgeSettings,
    /// Keys remembered as uncacheable, so that requests for them never wait for each other. Beyond this number the
    /// least recently marked are forgotten.
    pub(crate) uncacheable_keys: usize,
    /// Paths whose `No-Vary-Search` is remembered, so that requests which differ only in what it names share a response.
    /// Beyond this number the path learned first is forgotten.
    pub(crate) no_vary_search_paths: usize,
    /// Answer fresh responses from memory, and short ones from disk, before the machinery begins that the other requests
    /// need. It changes nothing but the CPU that a hit takes.
    pub(crate) fast_path: bool,
    /// Parts of the cache with limits of their own, for routes that must not make room for others. The limits above are
    /// those of the zone `default`. At most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) zones: Vec<ZoneSettings>,
}

fn no_disk(disks: &OneOrMany<DiskSettings>) -> bool {
    disks.is_empty()
}

impl CacheSettings {
    /// The part that is the store's.
    pub(crate) fn store(&self) -> StoreSettings {
        StoreSettings {
            memory: self.memory,
            max_object: self.max_object,
            fill_memory: self.fill_memory,
            max_fills: self.max_fills,
            pass_window: self.pass_window,
            max_variants: self.max_variants,
            max_parts: self.max_parts,
            shards: self.shards,
            disk: self.disk.clone(),
            memory_object: self.memory_object,
            max_purges: self.max_purges,
        }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        let store = StoreSettings::default();
        Self {
            profile: Profile::default(),
            memory: store.memory,
            max_object: store.max_object,
            fill_memory: store.fill_memory,
            max_fills: store.max_fills,
            pass_window: store.pass_window,
            max_variants: store.max_variants,
            max_parts: store.max_parts,
            indexed_parts: 65_536,
            shards: store.shards,
            disk: store.disk,
            memory_object: store.memory_object,
            max_purges: store.max_purges,
            collapse: CollapseSettings::default(),
            purge: PurgeSettings::default(),
            uncacheable_keys: 65_536,
            no_vary_search_paths: 16_384,
            fast_path: true,
            zones: Vec::new(),
        }
    }
}

/// Request collapsing: many requests for one missing response become one fetch.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CollapseSettings {
    /// Collapse at all. Without it every miss goes to the origin, and stale-while-revalidate is off.
    pub(crate) enabled: bool,
    /// How long one request waits for another's response to begin. Then it goes to the origin by itself.
    pub(crate) wait: Span,
    /// How long one fetch may keep others waiting before a new one is started.
    pub(crate) fetch: Span,
    /// Stale responses refreshed in the background at once (`stale-while-revalidate`), in all. Beyond it they are served
    /// without a refresh, which a later request starts, as long as they may be served stale.
    pub(crate) refreshes: u32,
    /// The same for one upstream, so that a slow one leaves room to the others.
    pub(crate) upstream_refreshes: u32,
}

impl Default for CollapseSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            wait: Span::secs(10),
            fetch: Span::secs(30),
            refreshes: 256,
            upstream_refreshes: 64,
        }
    }
}

/// Purges: who may send `PURGE`, and where responses have tags.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PurgeSettings {
    /// Addresses and networks that may send `PURGE`; the address on the connection counts, never a header.
    /// Empty: nobody.
    pub(crate) allow: Vec<Cidr>,
    /// Response fields with tags to purge by. Which form each has is known of the four; others may have spaces or commas
    /// between their tags.
    pub(crate) tag_fields: Vec<String>,
    /// Those of them that clients get to see. The others are meant for the cache alone.
    pub(crate) forward_tag_fields: Vec<String>,
    /// Tags of one response. One with more is not stored, since a purge would miss it.
    pub(crate) max_tags: u32,
    /// Write the key of the stored object into `Cache-Status`, for clients and for the access log: `seawall purge --key`
    /// takes it. It is a hash and tells nothing by itself.
    pub(crate) show_key: bool,
}

/// More tags than one response may have: each takes 16 bytes of memory, and is looked up after a purge.
const MAX_TAGS: u32 = 2048;

impl Default for PurgeSettings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            tag_fields: TAG_FIELDS.map(str::to_owned).to_vec(),
            forward_tag_fields: vec!["cache-groups".to_owned()],
            max_tags: 256,
            show_key: false,
        }
    }
}

impl PurgeSettings {
    /// Reports what is wrong with them.
    pub(crate) fn check(&self, at: &Path, out: &mut Diagnostics) {
        for (key, names) in
            [("tag_fields", &self.tag_fields), ("forward_tag_fields", &self.forward_tag_fields)]
        {
            for (number, name) in names.iter().enumerate() {
                if name.parse::<HeaderName>().is_err() {
                    out.error(&at.key(key).index(number), format!("`{name}` is not the name of a field"));
                }
            }
        }
        for (number, name) in self.forward_tag_fields.iter().enumerate() {
            if !self.tag_fields.iter().any(|field| field.eq_ignore_ascii_case(name)) {
                out.warning(
                    &at.key("forward_tag_fields").index(number),
                    format!("`{name}` is not among `tag_fields`, so it reaches clients anyway"),
                );
            }
        }
        if !(1..=MAX_TAGS).contains(&self.max_tags) {
            out.error(&at.key("max_tags"), format!("`max_tags` is from 1 to {MAX_TAGS}"));
        }
    }

    /// The fields, checked before.
    pub(crate) fn tags(&self) -> TagFields {
        let names =
            |names: &[String]| names.iter().filter_map(|name| name.parse().ok()).collect::<Vec<HeaderName>>();
        TagFields::new(&names(&self.tag_fields), &names(&self.forward_tag_fields), self.max_tags as usize)
    }
}

/// The process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerSettings {
    /// Worker threads; one a core when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<usize>,
    /// Read the configuration anew when its files change.
    pub(crate) watch: bool,
    /// How long after SIGTERM requests are still taken while `/readyz` already says no, so that load balancers look
    /// elsewhere first.
    pub(crate) shutdown_delay: Span,
    /// How long requests may go on once connections are no longer taken, before they are cut. A second signal cuts
    /// them at once.
    pub(crate) shutdown_timeout: Span,
    /// How long a new process may take to get ready in an upgrade. Then it is ended and the old one goes on.
    pub(crate) upgrade_timeout: Span,
    /// Idle connections to origins kept for reuse, per worker thread. The least recently used are closed.
    pub(crate) upstream_connections: usize,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            threads: None,
            watch: false,
            shutdown_delay: Span::secs(0),
            shutdown_timeout: Span::secs(30),
            upgrade_timeout: Span::secs(45),
            upstream_connections: 1024,
        }
    }
}
