//! Made traces: what a CDN's edge is asked for, by a few numbers and a seed.
//!
//! Popular objects follow Zipf's law and slowly change places; most objects are asked for once; now and then a crawler
//! walks through old content, and now and then everybody wants one new thing. Sizes are log-normal with a Pareto tail.

use std::io::{self, Write};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What a trace is made of.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Recipe {
    /// Requests in all.
    #[arg(long, default_value_t = 2_000_000)]
    pub(crate) requests: u32,
    /// Popular objects at any one time.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) popular: u32,
    /// Zipf's exponent: how unequal the popular ones are.
    #[arg(long, default_value_t = 0.8)]
    pub(crate) alpha: f64,
    /// The share of requests that ask for something nobody asks for again.
    #[arg(long, default_value_t = 0.15)]
    pub(crate) once: f64,
    /// Every so many requests one of the popular objects gives its place to a new one.
    #[arg(long, default_value_t = 200)]
    pub(crate) drift: u32,
    /// A crawler comes every so many requests; 0: never.
    #[arg(long, default_value_t = 250_000)]
    pub(crate) scan_every: u32,
    /// Objects that a crawler asks for, in order, beside the other requests; the same ones each time.
    #[arg(long, default_value_t = 30_000)]
    pub(crate) scan_length: u32,
    /// A flash crowd comes every so many requests; 0: never.
    #[arg(long, default_value_t = 400_000)]
    pub(crate) crowd_every: u32,
    /// For so many requests a fifth of them asks for one new object.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) crowd_length: u32,
    /// The same seed makes the same trace.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) object: u64,
    pub(crate) bytes: u32,
}

/// Zipf's law by its table: exact, and one search a sample. (A crate for it would make `num-traits` build differently
/// for the whole workspace.)
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(places: u32, alpha: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=places).map(|rank| {
            sum += f64::from(rank).powf(-alpha);
            sum
        });
        Self(weights.collect())
    }

    /// A place, 0 the most popular.
    fn sample(&self, random: &mut ChaCha8Rng) -> usize {
        let at = random.random_range(0.0..*self.0.last().unwrap_or(&1.0));
        self.0.partition_point(|sum| *sum <= at).min(self.0.len().saturating_sub(1))
    }
}

/// Sizes in bytes: from a few hundred to 64 MiB.
struct Sizes {
    seed: u64,
}

impl Sizes {
    const LEAST: f64 = 200.0;
    const MOST: f64 = 64.0 * 1024.0 * 1024.0;
    const MEDIAN: f64 = 16.0 * 1024.0;
    const SIGMA: f64 = 1.6;
    /// One in fifty is of the tail, from 1 MiB on.
    const TAIL: f64 = 0.02;
    const TAIL_FROM: f64 = 1024.0 * 1024.0;
    const TAIL_SHAPE: f64 = 1.2;

    /// The size of an object is its own for good.
    fn of(&self, object: u64) -> u32 {
        let mut random = ChaCha8Rng::seed_from_u64(object ^ self.seed.rotate_left(32));
        let (one, other) = (1.0 - random.random::<f64>(), random.random::<f64>());
        let size = if random.random_bool(Self::TAIL) {
            Self::TAIL_FROM * one.powf(-1.0 / Self::TAIL_SHAPE)
        } else {
            // Box and Muller's way to a normal number.
            let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos();
            Self::MEDIAN * (Self::SIGMA * normal).exp()
        };
        // Within the bounds, so it fits.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
        let size = size.clamp(Self::LEAST, Self::MOST) as u32;
        size
    }
}

/// Makes the trace.
///
/// # Errors
/// When a number of the recipe is none that its distribution can have.
pub(crate) fn make(recipe: &Recipe) -> Result<Vec<Request>, String> {
    let wrong = |what: &str| format!("{what} is out of range");
    if recipe.popular == 0 || !(0.0..=3.0).contains(&recipe.alpha) {
        return Err(wrong("--popular (1 or more) or --alpha (0 to 3)"));
    }
    let zipf = Zipf::new(recipe.popular, recipe.alpha);
    if !(0.0..=0.8).contains(&recipe.once) {
        return Err(wrong("--once (0 to 0.8)"));
    }
    let sizes = Sizes { seed: recipe.seed };
    let mut random = ChaCha8Rng::seed_from_u64(recipe.seed);
    // Numbers below are the crawler's; new objects count on from the popular ones.
    let archive = u64::from(recipe.scan_length);
    let mut next = archive + u64::from(recipe.popular);
    let mut places: Vec<u64> = (archive..next).collect();
    let mut fresh = || {
        next += 1;
        next
    };
    let (mut scanned, mut crowd) = (recipe.scan_length, None);
    let mut trace = Vec::new();
    for number in 1..=recipe.requests {
        if recipe.drift > 0 && number % recipe.drift == 0 {
            let place = random.random_range(0..places.len());
            places[place] = fresh();
        }
        if recipe.scan_every > 0 && number % recipe.scan_every == 0 {
            scanned = 0;
        }
        if recipe.crowd_every > 0 && number % recipe.crowd_every == 0 {
            crowd = Some((fresh(), number.saturating_add(recipe.crowd_length)));
        }
        if crowd.is_some_and(|(_, until)| number >= until) {
            crowd = None;
        }
        let object = match crowd {
            Some((object, _)) if random.random_bool(0.2) => object,
            // A crawler is one client among many: every third request while it is there.
            _ if scanned < recipe.scan_length && number % 3 == 0 => {
                scanned += 1;
                u64::from(scanned - 1)
            }
            _ if random.random_bool(recipe.once) => fresh(),
            _ => places[zipf.sample(&mut random)],
        };
        trace.push(Request { object, bytes: sizes.of(object) });
    }
    Ok(trace)
}

/// Writes requests in libCacheSim's format `oracleGeneral`: time, object, size and the number of the next request for
/// the same object (−1: none), little endian.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(trace: &[Request], extra: impl Fn(u32) -> u32, out: &mut impl Write) -> io::Result<()> {
    let mut next = vec![-1i64; trace.len()];
    let mut seen = std::collections::HashMap::new();
    for (number, request) in trace.iter().enumerate().rev() {
        if let Some(later) = seen.insert(request.object, number) {
            next[number] = i64::try_from(later).unwrap_or(i64::MAX);
        }
    }
    for (number, (request, next)) in trace.iter().zip(next).enumerate() {
        let time = u32::try_from(number / 1000).unwrap_or(u32::MAX);
        out.write_all(&time.to_le_bytes())?;
        out.write_all(&request.object.to_le_bytes())?;
        out.write_all(&extra(request.bytes).to_le_bytes())?;
        out.write_all(&next.to_le_bytes())?;
    }
    Ok(())
}
