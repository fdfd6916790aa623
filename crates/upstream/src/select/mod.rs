//! Choosing a server. Everything here is pure over an immutable table: no lock, no allocation, no clock.

mod key;
mod ring;
#[cfg(test)]
mod tests;
mod wheel;

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::Rng;

pub(crate) use key::HashSource;
pub use key::SelectRequest;
pub(crate) use ring::Ring;
pub(crate) use wheel::Wheel;

use crate::member::Member;
use crate::members::Tier;

/// Draws that may hit servers that cannot be used before every server is looked at.
const DRAWS: usize = 8;

/// A way of choosing, with what it needs to remember between requests.
pub(crate) enum Strategy {
    RoundRobin {
        /// Whose turn it is; goes on when servers come and go.
        turn: AtomicUsize,
    },
    Random,
    ConsistentHash(HashSource),
    LeastConn,
}

impl Strategy {
    /// A server of `tier` for which `usable` holds, or `None` when it holds for none.
    pub(crate) fn choose<'a>(
        &self,
        tier: &'a Tier,
        request: &SelectRequest<'_>,
        rng: &mut impl Rng,
        usable: impl Fn(&Member) -> bool,
    ) -> Option<&'a std::sync::Arc<Member>> {
        let ok = |i: usize| usable(&tier.members[i]);
        let index = match self {
            Self::RoundRobin { turn } => next_turn(tier, turn, ok),
            Self::Random => draw(tier, rng, ok),
            Self::ConsistentHash(source) => {
                // Walking the ring past servers that are all out would take thousands of steps.
                let any = (0..tier.members.len()).any(ok);
                let ring = tier.ring.as_ref().filter(|_| any)?;
                ring.walk(source.key(request).bytes()).find(|&i| ok(i))
            }
            Self::LeastConn => less_loaded(tier, rng, ok),
        };
        index.map(|i| &tier.members[i])
    }
}

/// The next server whose turn it is. One that cannot be used loses its turn, so the others share its part evenly
/// instead of its neighbour taking all of it.
fn next_turn(tier: &Tier, turn: &AtomicUsize, ok: impl Fn(usize) -> bool) -> Option<usize> {
    let mut seat = 0;
    for _ in 0..tier.wheel.len().min(2 * tier.members.len() + DRAWS) {
        seat = turn.fetch_add(1, Ordering::Relaxed);
        let index = tier.wheel.at(seat)?;
        if ok(index) {
            return Some(index);
        }
    }
    let n = tier.members.len();
    (0..n).map(|step| (seat % n + step) % n).find(|&i| ok(i))
}

/// A server drawn by chance and weight; evenly among those left when most cannot be used.
fn draw(tier: &Tier, rng: &mut impl Rng, ok: impl Fn(usize) -> bool) -> Option<usize> {
    for _ in 0..DRAWS {
        let index = tier.wheel.at(rng.random_range(0..tier.wheel.len().max(1)))?;
        if ok(index) {
            return Some(index);
        }
    }
    let left = (0..tier.members.len()).filter(|&i| ok(i)).count();
    let nth = rng.random_range(0..left.max(1));
    // Health may change between the two looks: then the last one that still can be used.
    let mut last = None;
    for index in (0..tier.members.len()).filter(|&i| ok(i)).take(nth + 1) {
        last = Some(index);
    }
    last
}

/// Power of two choices: of two servers drawn by chance the one with fewer requests in flight for its weight. On a tie
/// the first, so that idle servers are chosen by weight.
fn less_loaded(tier: &Tier, rng: &mut impl Rng, ok: impl Fn(usize) -> bool) -> Option<usize> {
    let first = draw(tier, rng, &ok)?;
    let Some(second) = draw(tier, rng, |i| i != first && ok(i)) else { return Some(first) };
    let (a, b) = (&tier.members[first], &tier.members[second]);
    let load_a = u64::from(a.in_flight()) * u64::from(b.weight);
    let load_b = u64::from(b.in_flight()) * u64::from(a.weight);
    Some(if load_b < load_a { second } else { first })
}
