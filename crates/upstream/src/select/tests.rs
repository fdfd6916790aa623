use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use pingora_core::protocols::l4::socket::SocketAddr;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::{HashSource, SelectRequest, Strategy};
use crate::member::{Live, Member, ServerId};
use crate::members::{Members, Tier};
use crate::peers::PeerFactory;
use crate::settings::UpstreamSettings;

fn member(id: u32, address: SocketAddr, weight: u32) -> Arc<Member> {
    let factory = PeerFactory::new("test", &UpstreamSettings::default()).unwrap();
    Arc::new(Member {
        id: ServerId(id),
        source: 0,
        name: "test".into(),
        peer: factory.peer(address.clone(), None),
        address,
        weight,
        backup: false,
        drained: false,
        ordered: Default::default(),
        capacity: u32::MAX,
        live: Arc::new(Live::default()),
    })
}

fn inet(id: u32) -> SocketAddr {
    SocketAddr::Inet(([10, 0, (id >> 8) as u8, id as u8], 80).into())
}

fn tier(weights: &[u32]) -> Tier {
    let all = weights.iter().zip(0..).map(|(weight, id)| member(id, inet(id), *weight)).collect();
    let [primaries, _] = Members::new(all, true).tiers;
    primaries
}

fn round_robin() -> Strategy {
    Strategy::RoundRobin { turn: AtomicUsize::new(0) }
}

struct Chooser {
    strategy: Strategy,
    rng: StdRng,
    headers: HeaderMap,
}

impl Chooser {
    fn new(strategy: Strategy) -> Self {
        Self { strategy, rng: StdRng::seed_from_u64(7), headers: HeaderMap::new() }
    }

    fn choose(&mut self, tier: &Tier, uri: &str, usable: impl Fn(&Member) -> bool) -> Option<u32> {
        let request = SelectRequest { uri, headers: &self.headers, client: IpAddr::from([192, 0, 2, 7]) };
        self.strategy.choose(tier, &request, &mut self.rng, usable).map(|member| member.id.0)
    }

    /// How often each is chosen in `n` choices.
    fn count(&mut self, tier: &Tier, n: usize, usable: impl Fn(&Member) -> bool) -> HashMap<u32, usize> {
        let mut counts = HashMap::default();
        for _ in 0..n {
            *counts.entry(self.choose(tier, "/", &usable).unwrap()).or_default() += 1;
        }
        counts
    }
}

#[test]
fn round_robin_takes_turns_by_weight() {
    let tier = tier(&[3, 1, 2]);
    let counts = Chooser::new(round_robin()).count(&tier, 600, |_| true);
    assert_eq!(counts, HashMap::from_iter([(0, 300), (1, 100), (2, 200)]));
}

#[test]
fn the_share_of_a_server_that_is_out_is_spread_evenly() {
    let tier = tier(&[1, 1, 1, 1]);
    let counts = Chooser::new(round_robin()).count(&tier, 900, |m| m.id.0 != 1);
    assert_eq!(counts, HashMap::from_iter([(0, 300), (2, 300), (3, 300)]));
}

#[test]
fn turns_go_on_past_the_largest_number() {
    let tier = tier(&[1, 1]);
    let mut chooser = Chooser::new(Strategy::RoundRobin { turn: AtomicUsize::new(usize::MAX - 3) });
    let counts = chooser.count(&tier, 100, |_| true);
    assert_eq!(counts, HashMap::from_iter([(0, 50), (1, 50)]));
}

#[test]
fn random_follows_the_weights() {
    let tier = tier(&[1, 3]);
    let counts = Chooser::new(Strategy::Random).count(&tier, 10_000, |_| true);
    assert!((7_200..7_800).contains(&counts[&1]), "{counts:?}");
}

#[test]
fn the_last_one_left_of_many_is_found() {
    let tier = tier(&vec![1; 300]);
    for strategy in
        [round_robin(), Strategy::Random, Strategy::LeastConn, Strategy::ConsistentHash(HashSource::Uri)]
    {
        let mut chooser = Chooser::new(strategy);
        for only in [0, 150, 299] {
            assert_eq!(chooser.choose(&tier, "/", |m| m.id.0 == only), Some(only));
        }
        assert_eq!(chooser.choose(&tier, "/", |_| false), None);
    }
}

#[test]
fn the_few_left_of_many_share_evenly() {
    let tier = tier(&vec![1; 200]);
    let counts = Chooser::new(Strategy::Random).count(&tier, 3_000, |m| [3, 4, 180].contains(&m.id.0));
    assert!(counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
}

#[test]
fn of_two_choices_the_less_loaded_one_wins() {
    let tier = tier(&[1, 1]);
    tier.members[0].live.in_flight.store(5, Ordering::Relaxed);
    tier.members[1].live.in_flight.store(4, Ordering::Relaxed);
    let counts = Chooser::new(Strategy::LeastConn).count(&tier, 100, |_| true);
    assert_eq!(counts, HashMap::from_iter([(1, 100)]));
}

#[test]
fn load_counts_by_weight() {
    let tier = tier(&[4, 1]);
    // 3 of 4 places against 1 of 1.
    tier.members[0].live.in_flight.store(3, Ordering::Relaxed);
    tier.members[1].live.in_flight.store(1, Ordering::Relaxed);
    let counts = Chooser::new(Strategy::LeastConn).count(&tier, 100, |_| true);
    assert_eq!(counts, HashMap::from_iter([(0, 100)]));
}

#[test]
fn idle_servers_are_chosen_by_weight() {
    let tier = tier(&[3, 1]);
    let counts = Chooser::new(Strategy::LeastConn).count(&tier, 10_000, |_| true);
    assert!((7_200..7_800).contains(&counts[&0]), "{counts:?}");
}

#[test]
fn the_busiest_of_many_is_never_chosen() {
    let tier = tier(&[1; 10]);
    tier.members[4].live.in_flight.store(1, Ordering::Relaxed);
    let counts = Chooser::new(Strategy::LeastConn).count(&tier, 1_000, |_| true);
    assert!(!counts.contains_key(&4));
    // The negative control: random does choose it.
    assert!(Chooser::new(Strategy::Random).count(&tier, 1_000, |_| true).contains_key(&4));
}

fn keys() -> impl Iterator<Item = String> {
    (0..5_000).map(|i| format!("/page/{i}?v={}", i % 7))
}

#[test]
fn few_keys_move_when_a_server_goes() {
    let tier = tier(&[1; 10]);
    let mut chooser = Chooser::new(Strategy::ConsistentHash(HashSource::Uri));
    let before: Vec<_> = keys().map(|key| chooser.choose(&tier, &key, |_| true).unwrap()).collect();
    let after: Vec<_> = keys().map(|key| chooser.choose(&tier, &key, |m| m.id.0 != 3).unwrap()).collect();
    let lost = before.iter().filter(|id| **id == 3).count();
    let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
    assert_eq!(moved, lost, "only the keys of the server that went");
    assert!((300..700).contains(&lost), "about a tenth of 5000: {lost}");
}

#[test]
fn few_keys_move_when_a_server_comes() {
    let (nine, ten) = (tier(&[1; 9]), tier(&[1; 10]));
    let mut chooser = Chooser::new(Strategy::ConsistentHash(HashSource::Uri));
    let mut moved = 0;
    for key in keys() {
        let (before, after) = (chooser.choose(&nine, &key, |_| true), chooser.choose(&ten, &key, |_| true));
        if before != after {
            assert_eq!(after, Some(9), "a key moves only to the new server");
            moved += 1;
        }
    }
    assert!((300..700).contains(&moved), "about a tenth of 5000: {moved}");
}

#[test]
fn the_ring_follows_weights_and_holds_unix_sockets() {
    let unix = |path: &str| SocketAddr::Unix(std::os::unix::net::SocketAddr::from_pathname(path).unwrap());
    let all =
        vec![member(0, unix("/run/a.sock"), 1), member(1, unix("/run/b.sock"), 3), member(2, inet(2), 1)];
    let [tier, _] = Members::new(all, true).tiers;
    let mut chooser = Chooser::new(Strategy::ConsistentHash(HashSource::Uri));
    let mut counts: HashMap<u32, usize> = HashMap::default();
    for key in keys() {
        *counts.entry(chooser.choose(&tier, &key, |_| true).unwrap()).or_default() += 1;
    }
    assert!((700..1_300).contains(&counts[&0]), "{counts:?}");
    assert!((2_600..3_400).contains(&counts[&1]), "{counts:?}");
}

proptest! {
    #[test]
    fn whatever_is_chosen_is_usable(
        weights in prop::collection::vec(1u32..=9, 1..20),
        usable in prop::collection::vec(any::<bool>(), 20),
        seed in any::<u64>(),
        uri in "/[a-z]{0,8}",
    ) {
        let tier = tier(&weights);
        let ok = |m: &Member| usable[m.id.0 as usize];
        let any = tier.members.iter().any(|m| ok(m));
        for strategy in [round_robin(), Strategy::Random, Strategy::LeastConn, Strategy::ConsistentHash(HashSource::Uri)] {
            let mut chooser = Chooser::new(strategy);
            chooser.rng = StdRng::seed_from_u64(seed);
            match chooser.choose(&tier, &uri, ok) {
                Some(id) => prop_assert!(usable[id as usize]),
                None => prop_assert!(!any),
            }
        }
    }
}
