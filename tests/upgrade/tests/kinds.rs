//! Every kind of client through upgrade after upgrade, and the books of client, server and origin compared.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use nix::sys::signal::{Signal, kill};
use seawall_test_upgrade::{Book, Edge, Kind, NginxEdge, SeawallEdge, Traffic, origin, rounds};
use seawall_testkit::{DEADLINE, Origin, Pki, eventually};

/// Seconds of traffic between one upgrade and the next.
const BETWEEN: f64 = 1.0;

fn origin_names(origin: &Origin) -> Vec<String> {
    let requests = origin.requests();
    requests.iter().map(|request| request.header("x-sequence").unwrap_or("none").to_owned()).collect()
}

/// Upgrades `edge` so often under the traffic of all kinds.
fn run(edge: &mut dyn Edge, origin: &Origin, pki: &Pki, upgrades: u32) -> Book {
    let traffic = Traffic::start(&Kind::ALL, &edge.plain(), &edge.secure(), pki.ca());
    let go_on = |seconds: f64| {
        let before = traffic.begun();
        eventually(DEADLINE * 2, "more requests of each kind", || traffic.went_on(&before, seconds));
    };
    go_on(2.0);
    for _ in 0..upgrades {
        edge.upgrade();
        go_on(BETWEEN);
    }
    Book::of(traffic, || origin_names(origin), || edge.log())
}

#[test]
fn no_request_of_any_kind_is_lost_cut_or_doubled() {
    let (origin, pki) = (origin(), Pki::new());
    let mut edge = SeawallEdge::start(&origin, &pki);
    let upgrades = rounds(5, 50);
    let book = run(&mut edge, &origin, &pki, upgrades);
    println!("seawall, {upgrades} upgrades\n{book}");
    book.assert_clean();
    let (tls, hits) = (&book.counts[&Kind::Tls], &book.counts[&Kind::Hit]);
    // The first few begin before there is a session; all others go on with one, whichever process answers.
    assert!(tls.requests - tls.resumed < 10, "{tls:?}");
    // Memory is cold in each new process, and the disk is not: what waited for the origin did so before it was written there.
    assert!(hits.hits * 20 > hits.requests * 19, "{hits:?}");
    assert!(origin.requests_for("/hit").len() <= 2, "{}", origin.requests_for("/hit").len());
}

#[test]
fn nginx_beside_it() {
    let (origin, pki) = (origin(), Pki::new());
    let mut edge = NginxEdge::start(&origin, &pki);
    let upgrades = rounds(2, 50);
    let book = run(&mut edge, &origin, &pki, upgrades);
    // What it drops is its own affair; that it answers at all shows that the traffic is not what fails.
    println!("nginx, {upgrades} upgrades\n{book}{:#?}", book.faults);
    for (kind, counts) in &book.counts {
        let wrong = counts.failed + counts.truncated + counts.unaccounted;
        assert!(wrong * 10 < counts.requests.max(100), "{kind:?}: {counts:?}");
    }
}

#[test]
fn every_kind_notices_a_process_that_is_killed() {
    let (origin, pki) = (origin(), Pki::new());
    let edge = SeawallEdge::start(&origin, &pki);
    let traffic = Traffic::start(&Kind::ALL, &edge.plain(), &edge.secure(), pki.ca());
    let before = traffic.begun();
    eventually(DEADLINE * 2, "requests of each kind", || traffic.went_on(&before, 2.0));
    kill(edge.process(), Signal::SIGKILL).expect("a signal");
    let before = traffic.begun();
    eventually(DEADLINE * 2, "requests after the end", || traffic.went_on(&before, 0.5));
    let book = Book::of(traffic, || origin_names(&origin), Vec::new);
    assert_eq!(book.kinds_at_fault(), Kind::ALL, "{book}");
    let cut = |kind: Kind| book.counts[&kind].truncated;
    assert!(cut(Kind::Download) > 0 && cut(Kind::Tunnel) > 0, "{book}");
    assert!(book.counts.values().all(|counts| counts.failed > 0), "{book}");
}
