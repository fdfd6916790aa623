//! What an operator may set about the store: memory here, disks in [`disk`].

mod disk;

use schemars::JsonSchema;
use seawall_config::units::ByteSize;
use seawall_config::{Diagnostics, OneOrMany, Path};
use serde::{Deserialize, Serialize};

pub use disk::{DiskAdmission, DiskSettings};

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
    /// Disks below the memory: one, or a list over which URLs are spread by their sizes. None when absent.
    #[serde(skip_serializing_if = "is_empty")]
    pub disk: OneOrMany<DiskSettings>,
    /// The largest response body that is kept in memory when there is a disk; larger ones are on disk only, each in
    /// a file of its own. 1MiB when absent, less with little memory or small segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_object: Option<ByteSize>,
    /// Purges remembered for the sake of what is on disk. Beyond it the older half is forgotten, and everything that
    /// was stored before those counts as purged.
    pub max_purges: u32,
}

fn is_empty<T>(list: &OneOrMany<T>) -> bool {
    list.is_empty()
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
            disk: OneOrMany::default(),
            memory_object: None,
            max_purges: 1_000_000,
        }
    }
}

impl StoreSettings {
    /// Bytes that responses on their way in may hold together.
    #[must_use]
    pub fn fill_bytes(&self) -> u64 {
        self.fill_memory.map_or(self.memory.bytes() / 2, ByteSize::bytes)
    }

    /// The largest body kept in memory above a disk, in bytes.
    #[must_use]
    pub fn memory_object(&self) -> ByteSize {
        let segments = self.disk.iter().map(|disk| disk.segment_bytes() / 4).min().unwrap_or(u64::MAX);
        let wanted = self.memory_object.map_or(1 << 20, ByteSize::bytes);
        ByteSize(wanted.min(segments).min(self.fill_bytes() / 4).min(self.max_object.bytes()))
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
        } else if self.max_object.bytes() > self.fill_bytes() && self.disk.is_empty() {
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
        self.check_disks(at, out);
    }

    fn check_disks(&self, at: &Path, out: &mut Diagnostics) {
        for (i, disk) in self.disk.iter().enumerate() {
            disk.check(&self.place_of(i, at), out);
        }
        disk::check_apart(&self.disk, &at.key("disk"), out);
        if self.memory_object.is_some_and(|size| size.bytes() == 0) {
            out.error(&at.key("memory_object"), "every response begins in memory: it cannot be zero");
        }
        if self.disk.is_empty() && self.memory_object.is_some() {
            out.error(&at.key("memory_object"), "`memory_object` does nothing without `disk`").on_key();
        }
        if self.max_purges < 1024 {
            out.error(&at.key("max_purges"), "it must be at least 1024")
                .hint("forgotten purges take content with them that nobody purged");
        }
    }

    /// Where disk `i` stands in the file: a single one is mostly written without a list.
    fn place_of(&self, i: usize, at: &Path) -> Path {
        if self.disk.len() == 1 { at.key("disk") } else { at.key("disk").index(i) }
    }

    /// Reports what this machine says against the settings: folders that cannot be written to, more memory or disk
    /// than there is. Looks at the file system, and changes nothing.
    pub fn check_machine(&self, at: &Path, out: &mut Diagnostics) {
        for (i, disk) in self.disk.iter().enumerate() {
            disk.check_place(&self.place_of(i, at), out);
        }
        if let Some(total) = machine_memory()
            && self.memory.bytes() > total / 10 * 9
        {
            out.warning(
                &at.key("memory"),
                format!(
                    "{} is more than nine tenths of this machine's memory ({} MiB)",
                    self.memory,
                    total >> 20
                ),
            )
            .hint("leave room for connections and for the page cache");
        }
    }
}

/// Bytes of memory of this machine, where the system says.
#[must_use]
pub fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{DiskAdmission, DiskSettings, StoreSettings};
    use seawall_config::units::{ByteSize, Span};
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
        let bad_disk = DiskSettings {
            path: "/cache".into(),
            size: ByteSize::mib(32),
            segment: Some(ByteSize::mib(16)),
            admission: DiskAdmission::SecondRequest,
            admission_keys: Some(1023),
            io_threads: 0,
            io_queue: 0,
            read_buffer: ByteSize(1),
            write_buffer: ByteSize(1),
            write_threads: 0,
            fill_buffer: ByteSize(1),
            fill_queue: 0,
            fill_patience: Span::millis(0),
            error_budget: 0,
            min_free: Some(ByteSize(0)),
        };
        let bad = StoreSettings {
            memory: ByteSize::kib(1),
            max_object: ByteSize(0),
            fill_memory: Some(ByteSize(0)),
            max_fills: 0,
            pass_window: ByteSize(1),
            max_variants: 0,
            max_parts: 0,
            shards: Some(3),
            disk: vec![bad_disk.clone(), DiskSettings { path: "/cache/x".into(), ..bad_disk }].into(),
            memory_object: Some(ByteSize(0)),
            max_purges: 1,
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
        for key in ["memory_object", "max_purges", "disk[1].path"] {
            assert!(paths.contains(&format!("cache.{key}")), "{key} is not reported: {paths:?}");
        }
        for key in [
            "segment",
            "admission_keys",
            "io_threads",
            "io_queue",
            "read_buffer",
            "write_buffer",
            "write_threads",
            "fill_buffer",
            "fill_queue",
        ] {
            assert!(paths.contains(&format!("cache.disk[0].{key}")), "{key} is not reported: {paths:?}");
        }
    }

    #[test]
    fn keys_are_remembered_for_the_second_request_alone() {
        let found = |admission, keys| {
            let disk = DiskSettings::new("/cache", ByteSize::mib(1024));
            let disk = DiskSettings { admission, admission_keys: keys, ..disk };
            findings(&StoreSettings { disk: vec![disk].into(), ..StoreSettings::default() })
        };
        let error = [(Severity::Error, "cache.disk.admission_keys".to_owned())];
        assert_eq!(found(DiskAdmission::All, Some(4096)), error);
        assert!(found(DiskAdmission::All, None).is_empty());
        assert!(found(DiskAdmission::SecondRequest, None).is_empty());
        for (keys, wrong) in [(1023, true), (1024, false), (1 << 26, false), ((1 << 26) + 1, true)] {
            assert_eq!(!found(DiskAdmission::SecondRequest, Some(keys)).is_empty(), wrong, "{keys}");
        }
        let keys = |size| DiskSettings::new("/cache", ByteSize::mib(size)).admission_keys();
        assert_eq!((keys(64), keys(4096), keys(1 << 30)), (1 << 16, 1 << 17, 1 << 26));
    }

    #[test]
    fn a_disk_needs_a_path_and_a_size_and_a_place() {
        let empty = StoreSettings { disk: vec![DiskSettings::default()].into(), ..StoreSettings::default() };
        assert_eq!(findings(&empty).len(), 2);
        let on = |path: &std::path::Path, size| StoreSettings {
            disk: vec![DiskSettings::new(path, size)].into(),
            ..StoreSettings::default()
        };
        let place = |settings: &StoreSettings| {
            let mut out = Diagnostics::default();
            settings.check_machine(&Path::root().key("cache"), &mut out);
            out.iter().map(|d| (d.severity, d.path.to_string())).collect::<Vec<_>>()
        };
        let folder = tempfile::tempdir().unwrap();
        assert!(place(&on(&folder.path().join("new"), ByteSize::mib(16))).is_empty());
        let huge = on(folder.path(), ByteSize(1 << 60));
        assert_eq!(place(&huge), [(Severity::Error, "cache.disk.size".to_owned())]);
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = [(Severity::Error, "cache.disk.path".to_owned())];
        assert_eq!(place(&on(&file, ByteSize::mib(16))), error);
        assert_eq!(place(&on(&file.join("below"), ByteSize::mib(16))), error);
    }

    #[test]
    fn a_relative_folder_that_is_not_there_is_told_by_its_whole_path() {
        let told = |path: &str| {
            let mut out = Diagnostics::default();
            let disk = vec![DiskSettings::new(path, ByteSize::mib(16))].into();
            StoreSettings { disk, ..StoreSettings::default() }
                .check_machine(&Path::root().key("cache"), &mut out);
            out.iter().map(|d| (d.severity, d.message.clone())).collect::<Vec<_>>()
        };
        let here = std::env::current_dir().unwrap();
        let made = here.join("no-such/cache");
        let [(severity, message)] = &told("no-such/cache")[..] else { panic!("one finding") };
        assert_eq!(*severity, Severity::Warning);
        assert!(message.contains(&format!("made as `{}`", made.display())), "{message}");
        assert!(told("src").is_empty(), "that is there");
        assert!(told(made.to_str().unwrap()).is_empty(), "nobody can be wrong about that one");
        let disk = |path: std::path::PathBuf| DiskSettings::new(path, ByteSize::mib(16));
        assert!(disk("no-such/cache".into()).overlaps(&disk(here.join("no-such"))));
        assert!(!disk("no-such/cache".into()).overlaps(&disk(here.join("another"))));
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
