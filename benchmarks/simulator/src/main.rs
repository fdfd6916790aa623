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
use seawall_store::{MemoryStore, Simulation, StoreSettings};
use trace::{Recipe, Request};

/// Hit ratios of Seawall's store on a made trace, as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    recipe: Recipe,
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

fn run(arguments: &Arguments) -> Result<(), String> {
    let trace = trace::make(&arguments.recipe)?;
    let scale = simulation(1 << 30, None)?;
    let found = content(&trace, |bytes| scale.weight(u64::from(bytes)));
    if let Some(path) = &arguments.trace {
        let weigh = |bytes| u32::try_from(scale.weight(u64::from(bytes))).unwrap_or(u32::MAX);
        write(path, &trace, weigh).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut lines = Vec::new();
    for share in &arguments.shares {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares are checked")]
        let memory = match share {
            share if *share > 0.0 && *share <= 1.0 => (ratio(found.bytes, 1) * share) as u64,
            _ => return Err(format!("a share of {share} is none: write one above 0 and up to 1")),
        };
        let store = simulation(memory, arguments.shards)?;
        let (mut hits, mut hit_bytes, mut bytes) = (0u64, 0u64, 0u64);
        for request in &trace {
            let weight = store.weight(u64::from(request.bytes));
            bytes += weight;
            if store.request(request.object, u64::from(request.bytes)) {
                hits += 1;
                hit_bytes += weight;
            }
        }
        if store.used() > memory {
            return Err(format!("{} bytes in use of {memory}", store.used()));
        }
        lines.push(format!(
            "{{\"share\": {share}, \"bytes\": {memory}, \"object_hit_ratio\": {:.5}, \"byte_hit_ratio\": {:.5}}}",
            ratio(hits, trace.len() as u64),
            ratio(hit_bytes, bytes)
        ));
    }
    println!(
        "{{\"requests\": {}, \"objects\": {}, \"once\": {:.3}, \"bytes\": {}, \"seawall\": [{}]}}",
        trace.len(),
        found.objects,
        ratio(found.once, found.objects),
        found.bytes,
        lines.join(", ")
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
