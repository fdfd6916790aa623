//! Makes a trace and runs the store's own eviction over it, without I/O. `benchmarks/hit_ratio.py` puts the result
//! beside other algorithms on the same trace.

mod trace;

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use seawall_config::units::ByteSize;
use seawall_store::{
    Choices, DiskAdmission, DiskSettings, MemoryStore, Simulation, StoreSettings, Tier, TierSimulation,
};
use trace::{Recipe, Request};

/// Hit ratios of Seawall's store on a made trace, as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    recipe: Recipe,
    /// What is simulated.
    #[arg(long, value_enum, default_value = "memory")]
    tier: Tiers,
    /// With `--tier both`: the size of the memory, as a share of the disk's.
    #[arg(long, default_value_t = 0.1)]
    memory_share: f64,
    /// Bytes of a segment (`cache.disk.segment`); by default what a disk of the size would take.
    #[arg(long)]
    segment: Option<u64>,
    /// What the disk takes (`cache.disk.admission`).
    #[arg(long, value_enum, default_value = "all")]
    admission: Admits,
    /// With `--admission second-request`: first requests that are remembered, for each that a real disk remembers.
    #[arg(long, default_value_t = 1.0)]
    window: f64,
    /// Keys of what was pushed out of the disk, for each that a real one remembers.
    #[arg(long, default_value_t = 1.0)]
    ghosts: f64,
    /// Sizes of the cache, each as a share of all the bytes that were asked for once.
    #[arg(long, value_delimiter = ',', default_value = "0.01,0.05,0.1")]
    shares: Vec<f64>,
    /// Pieces that the queues are split into (`cache.shards`); by default what a node of this many cores would take.
    #[arg(long)]
    shards: Option<u32>,
    /// Writes the trace here, in libCacheSim's format oracleGeneral. The size of each object includes what the store
    /// charges beside the body, so that every algorithm has the same room.
    #[arg(long)]
    trace: Option<PathBuf>,
}

/// The tiers of a simulated store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tiers {
    /// Memory without a disk.
    Memory,
    /// A disk without memory.
    Disk,
    /// A disk below memory.
    Both,
}

/// What a simulated disk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Admits {
    /// Everything.
    All,
    /// What is asked for a second time.
    SecondRequest,
}

/// What a trace contains.
struct Content {
    objects: u64,
    once: u64,
    bytes: u64,
}

fn content(trace: &[Request], weight: impl Fn(u32) -> u64) -> Content {
    let mut seen: HashMap<u64, (u32, u32)> = HashMap::new();
    for request in trace {
        seen.entry(request.object).or_insert((0, request.bytes)).0 += 1;
    }
    Content {
        objects: seen.len() as u64,
        once: seen.values().filter(|(times, _)| *times == 1).count() as u64,
        bytes: seen.values().map(|(_, bytes)| weight(*bytes)).sum(),
    }
}

fn simulation(memory: u64, shards: Option<u32>) -> Result<Simulation, String> {
    let settings = StoreSettings { memory: ByteSize(memory), shards, ..StoreSettings::default() };
    let store = MemoryStore::new(&settings).map_err(|error| error.to_string())?;
    Simulation::new(store).map_err(|error| error.to_string())
}

fn write(path: &Path, trace: &[Request], extra: impl Fn(u32) -> u32) -> std::io::Result<()> {
    trace::write(trace, extra, &mut BufWriter::new(File::create(path)?))
}

#[expect(clippy::cast_precision_loss, reason = "ratios need no more than 52 bits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A part of `bytes`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares are checked")]
fn part(bytes: u64, share: f64) -> Result<u64, String> {
    if share > 0.0 && share <= 1.0 {
        return Ok((ratio(bytes, 1) * share) as u64);
    }
    Err(format!("a share of {share} is none: write one above 0 and up to 1"))
}

/// Hits and bytes of hits, of all bytes.
#[derive(Default)]
struct Score {
    hits: u64,
    hit_bytes: u64,
    bytes: u64,
}

impl Score {
    fn add(&mut self, hit: bool, weight: u64) {
        self.bytes += weight;
        if hit {
            self.hits += 1;
            self.hit_bytes += weight;
        }
    }

    fn shown(&self, share: f64, size: u64, requests: usize) -> String {
        format!(
            "\"share\": {share}, \"bytes\": {size}, \"object_hit_ratio\": {:.5}, \"byte_hit_ratio\": {:.5}",
            ratio(self.hits, requests as u64),
            ratio(self.hit_bytes, self.bytes)
        )
    }
}

/// The memory tier on `trace`, with room for `memory` bytes.
fn in_memory(arguments: &Arguments, trace: &[Request], share: f64, memory: u64) -> Result<String, String> {
    let store = simulation(memory, arguments.shards)?;
    let mut score = Score::default();
    for request in trace {
        let length = u64::from(request.bytes);
        score.add(store.request(request.object, length), store.weight(length));
    }
    if store.used() > memory {
        return Err(format!("{} bytes in use of {memory}", store.used()));
    }
    Ok(format!("{{{}}}", score.shown(share, memory, trace.len())))
}

fn tiers(arguments: &Arguments, size: u64) -> Result<TierSimulation, String> {
    let mut disk = DiskSettings::new("/simulated", ByteSize(size));
    disk.segment = arguments.segment.map(ByteSize);
    disk.admission = match arguments.admission {
        Admits::All => DiskAdmission::All,
        Admits::SecondRequest => DiskAdmission::SecondRequest,
    };
    let settings = StoreSettings {
        memory: ByteSize(part(size, arguments.memory_share)?),
        shards: arguments.shards,
        disk: vec![disk].into(),
        ..StoreSettings::default()
    };
    let choices = Choices { window: arguments.window, ghosts: arguments.ghosts };
    TierSimulation::new(&settings, arguments.tier == Tiers::Both, choices).map_err(|error| error.to_string())
}

/// A disk of `size` bytes on `trace`.
fn on_disk(arguments: &Arguments, trace: &[Request], share: f64, size: u64) -> Result<String, String> {
    let mut store = tiers(arguments, size)?;
    let (mut score, mut in_memory) = (Score::default(), 0u64);
    for request in trace {
        let length = u64::from(request.bytes);
        let found = store.request(request.object, length);
        in_memory += u64::from(found == Some(Tier::Memory));
        score.add(found.is_some(), store.weight(length));
    }
    let stats = store.stats();
    if stats.bytes > size {
        return Err(format!("{} bytes in use of {size}", stats.bytes));
    }
    let counts = stats.counts;
    Ok(format!(
        "{{{}, \"memory_hit_ratio\": {:.5}, \"write_amplification\": {:.3}, \"written\": {:.3}, \"dropped\": {}}}",
        score.shown(share, size, trace.len()),
        ratio(in_memory, trace.len() as u64),
        stats.write_amplification(),
        ratio(counts.written_bytes + counts.copied_bytes, score.bytes),
        counts.dropped_space + counts.dropped_queue,
    ))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let trace = trace::make(&arguments.recipe)?;
    let (memory, disk) = (simulation(1 << 30, None)?, tiers(arguments, 1 << 36)?);
    let weigh = |bytes: u32| match arguments.tier {
        Tiers::Memory => memory.weight(u64::from(bytes)),
        Tiers::Disk | Tiers::Both => disk.weight(u64::from(bytes)),
    };
    let found = content(&trace, weigh);
    if let Some(path) = &arguments.trace {
        let weigh = |bytes| u32::try_from(weigh(bytes)).unwrap_or(u32::MAX);
        write(path, &trace, weigh).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let lines = arguments.shares.iter().map(|share| {
        let size = part(found.bytes, *share)?;
        match arguments.tier {
            Tiers::Memory => in_memory(arguments, &trace, *share, size),
            Tiers::Disk | Tiers::Both => on_disk(arguments, &trace, *share, size),
        }
    });
    println!(
        "{{\"requests\": {}, \"objects\": {}, \"once\": {:.3}, \"bytes\": {}, \"seawall\": [{}]}}",
        trace.len(),
        found.objects,
        ratio(found.once, found.objects),
        found.bytes,
        lines.collect::<Result<Vec<_>, _>>()?.join(", ")
    );
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
