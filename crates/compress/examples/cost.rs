//! What each encoding costs: speed on one core, what stays of the content, and the memory of a running encoder.
//!
//! `cargo run --release -p seawall-compress --example cost [FILE]`; without a file, for a made-up page of 1 MB.

use std::hint::black_box;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use seawall_compress::{Coding, Stream, StreamOptions};

/// As they come from a socket.
const PIECE: usize = 16 * 1024;

fn main() -> io::Result<()> {
    let content = match std::env::args_os().nth(1) {
        Some(file) => std::fs::read(file)?,
        None => page(1_000_000),
    };
    let out = &mut io::stdout().lock();
    writeln!(
        out,
        "| | text a second, one core | of {} KB stay | memory |\n|---|---|---|---|",
        content.len() / 1000
    )?;
    for (coding, levels) in [
        (Coding::Gzip, &[1, 6, 9][..]),
        (Coding::Zstd, &[1, 3, 6, 12, 19]),
        (Coding::Brotli, &[1, 4, 5, 9, 11]),
    ] {
        for level in levels {
            let options = StreamOptions { coding, level: *level, length: None };
            let (took, coded) = measure(options, &content)?;
            writeln!(
                out,
                "| {} {level} | {:.0} MB | {:.1} % | {:.1} MiB |",
                coding.token(),
                content.len() as f64 / 1e6 / took.as_secs_f64(),
                100.0 * coded as f64 / content.len() as f64,
                memory(options, &content)? / 1_048_576.0
            )?;
        }
    }
    Ok(())
}

/// The shortest of some runs, and the bytes made.
fn measure(options: StreamOptions, content: &[u8]) -> io::Result<(Duration, u64)> {
    let (mut best, mut coded) = (Duration::MAX, 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        let run = Instant::now();
        let mut stream = Stream::new(options)?;
        for piece in content.chunks(PIECE) {
            black_box(stream.piece(piece, false)?);
        }
        stream.piece(b"", true)?;
        best = best.min(run.elapsed());
        coded = stream.coded_bytes();
    }
    Ok((best, coded))
}

/// Bytes that an encoder holds once it has seen the content.
fn memory(options: StreamOptions, content: &[u8]) -> io::Result<f64> {
    const MANY: usize = 16;
    let before = resident()?;
    let mut streams = Vec::new();
    for _ in 0..MANY {
        let mut stream = Stream::new(options)?;
        for piece in content.chunks(PIECE) {
            stream.piece(piece, false)?;
        }
        streams.push(stream);
    }
    let after = resident()?;
    drop(streams);
    Ok((after - before).max(0.0) / MANY as f64)
}

/// Resident memory of this process in bytes.
fn resident() -> io::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(io::Error::other)?;
    Ok(kib * 1024.0)
}

/// Markup around words that repeat as words do: often the common ones.
fn page(bytes: usize) -> Vec<u8> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let words: Vec<String> = (0..2000)
        .map(|_| (0..2 + random() % 9).map(|_| char::from(b'a' + (random() % 26) as u8)).collect())
        .collect();
    let mut out = Vec::with_capacity(bytes + 200);
    while out.len() < bytes {
        let id = random() % 100_000;
        out.extend_from_slice(format!("<article id=\"a{id}\" class=\"card\"><p>").as_bytes());
        for _ in 0..20 + random() % 40 {
            // The product of two makes low numbers likely.
            let rank = (random() % 2000) * (random() % 2000) / 2000;
            out.extend_from_slice(words[rank as usize].as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(b"</p></article>\n");
    }
    out.truncate(bytes);
    out
}
