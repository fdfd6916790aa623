//! What an operator may set about the memory tier.

use schemars::JsonSchema;
use seawall_config::units::ByteSize;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

/// The smallest memory tier that makes sense: below it the bookkeeping crowds out the content.
const MIN_MEMORY: ByteSize = ByteSize::mib(1);
/// More shards than this only split the eviction queues into pieces too short to rank anything.
pub(crate) const MAX_SHARDS: u32 = 256;
/// Variants are listed in a vector per URL; a longer list would make its purge noticeable.
const MAX_VARIANTS: u32 = 1024;
/// Parts are listed in the same vector.
const MAX_PARTS: u32 = 4096;

/// How much the cache keeps in memory, and how large a single response may be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// Bytes of memory for cached responses: bodies, headers and bookkeeping together. At the limit the
    /// responses least likely to be asked for again make room (S3-FIFO).
    pub memory: ByteSize,
    /// The largest response body that is cached, in bytes. A larger one is passed through uncached, also
    /// when it is chunked and only turns out to be larger on the way.
    pub max_object: ByteSize,
    /// Bytes that responses still on their way in may hold together. Beyond it new ones are passed through
    /// uncached, so that slow origins cannot empty the cache. Half of `memory` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill_memory: Option<ByteSize>,
    /// How many responses may be on their way in at once. Beyond it new ones are passed through uncached.
    pub max_fills: u32,
    /// Bytes kept for the readers of a response that stopped being cached half-way (it outgrew `max_object`
    /// or found no room). The origin is slowed down to the first client's pace; another reader who falls
    /// behind by more is cut off. These bytes come on top of `memory`.
    pub pass_window: ByteSize,
    /// Variants (`Vary`) kept for one URL. At the limit the oldest variant makes room.
    pub max_variants: u32,
    /// Parts (answers to range requests) kept for one URL. At the limit the oldest part makes room.
    pub max_parts: u32,
    /// In how many parts the eviction queues are split, so that writers do not wait for each other; a power
    /// of two. Chosen from the number of cores when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(256),
            max_object: ByteSize::mib(64),
            fill_memory: None,
            max_fills: 1024,
            pass_window: ByteSize::mib(1),
            max_variants: 64,
            max_parts: 1000,
            shards: None,
        }
    }
}

impl StoreSettings {
    /// Bytes that responses on their way in may hold together.
    #[must_use]
    pub fn fill_bytes(&self) -> u64 {
        self.fill_memory.map_or(self.memory.bytes() / 2, ByteSize::bytes)
    }

    /// In how many parts the eviction queues are split.
    ///
    /// Four per core, but at least 8 MiB each: a queue has to be long enough to tell hot from cold.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        if let Some(shards) = self.shards {
            return shards as usize;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let by_size = usize::try_from(self.memory.bytes() >> 23).unwrap_or(usize::MAX).max(1);
        let wanted = cores.saturating_mul(4).min(by_size).min(MAX_SHARDS as usize);
        if wanted.is_power_of_two() { wanted } else { wanted.next_power_of_two() / 2 }
    }

    /// Reports every setting that cannot be meant.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.memory < MIN_MEMORY {
            out.error(&at.key("memory"), format!("the memory tier needs at least {MIN_MEMORY}"))
                .hint("write a size such as `256MiB`; to cache nothing, turn the cache off for the routes");
        }
        if self.max_object.bytes() == 0 {
            out.error(&at.key("max_object"), "nothing fits into an object of 0 bytes")
                .hint("write the largest body to cache, such as `64MiB`");
        } else if self.max_object.bytes() > self.fill_bytes() {
            out.warning(
                &at.key("max_object"),
                format!(
                    "responses over {} are never cached: that is all that responses on their way in may hold",
                    ByteSize(self.fill_bytes())
                ),
            )
            .hint("lower `max_object`, or raise `memory` or `fill_memory`");
        }
        if let Some(fill_memory) = self.fill_memory {
            if fill_memory.bytes() == 0 {
                out.error(
                    &at.key("fill_memory"),
                    "with 0 bytes for responses on their way in nothing is cached",
                )
                .hint("remove the key: half of `memory` is the default");
            } else if fill_memory > self.memory {
                out.error(&at.key("fill_memory"), format!("it is more than `memory` ({})", self.memory))
                    .hint("responses on their way in are part of `memory`; write a smaller size");
            }
        }
        if self.max_fills == 0 {
            out.error(&at.key("max_fills"), "with 0 responses on their way in nothing is cached");
        }
        if self.pass_window < ByteSize::kib(64) {
            out.error(&at.key("pass_window"), "readers need a window of at least 64KiB");
        }
        if self.max_variants == 0 || self.max_variants > MAX_VARIANTS {
            out.error(&at.key("max_variants"), format!("it must lie between 1 and {MAX_VARIANTS}"));
        }
        if self.max_parts == 0 || self.max_parts > MAX_PARTS {
            out.error(&at.key("max_parts"), format!("it must lie between 1 and {MAX_PARTS}"))
                .hint("to store no parts, write `range_requests: whole` for the routes");
        }
        if let Some(shards) = self.shards
            && (!shards.is_power_of_two() || shards > MAX_SHARDS)
        {
            out.error(&at.key("shards"), format!("it must be a power of two, at most {MAX_SHARDS}"))
                .hint("remove the key to let the number of cores decide");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StoreSettings;
    use seawall_config::units::ByteSize;
    use seawall_config::{Diagnostics, Path, Severity};

    fn findings(settings: &StoreSettings) -> Vec<(Severity, String)> {
        let mut out = Diagnostics::default();
        settings.check(&Path::root().key("cache"), &mut out);
        out.iter().map(|d| (d.severity, d.path.to_string())).collect()
    }

    #[test]
    fn the_defaults_are_sound() {
        assert!(findings(&StoreSettings::default()).is_empty());
        assert!(StoreSettings::default().shard_count().is_power_of_two());
    }

    #[test]
    fn every_senseless_value_is_reported() {
        let bad = StoreSettings {
            memory: ByteSize::kib(1),
            max_object: ByteSize(0),
            fill_memory: Some(ByteSize(0)),
            max_fills: 0,
            pass_window: ByteSize(1),
            max_variants: 0,
            max_parts: 0,
            shards: Some(3),
        };
        let paths: Vec<String> = findings(&bad).into_iter().map(|(_, path)| path).collect();
        for key in [
            "memory",
            "max_object",
            "fill_memory",
            "max_fills",
            "pass_window",
            "max_variants",
            "max_parts",
            "shards",
        ] {
            assert!(paths.contains(&format!("cache.{key}")), "{key} is not reported");
        }
    }

    #[test]
    fn an_object_that_never_fits_is_a_warning() {
        let settings = StoreSettings { memory: ByteSize::mib(2), ..StoreSettings::default() };
        assert_eq!(findings(&settings), [(Severity::Warning, "cache.max_object".to_owned())]);
    }

    #[test]
    fn yaml_says_it_the_short_way() {
        let settings: StoreSettings = serde_yaml::from_str("memory: 512MiB\nshards: 4\n").unwrap();
        assert_eq!(settings.memory, ByteSize::mib(512));
        assert_eq!(settings.shard_count(), 4);
        assert_eq!(settings.fill_bytes(), 256 << 20);
        assert!(serde_yaml::from_str::<StoreSettings>("memroy: 1MiB\n").is_err());
    }
}
