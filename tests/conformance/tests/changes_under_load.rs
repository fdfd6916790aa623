//! An origin that changes its mind while many clients ask.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use seawall_testkit::{Call, DEADLINE, Origin, RawClient, Reply, Response, Seawall, eventually, get};

/// `/on` goes through the cache, `/off` past it.
fn start(origin: &Origin) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - hosts: [example.com]
    routes: [{ path: /on, upstream: app, cache: on }, { path: /off, upstream: app, cache: off }]
",
    )
    .set("origin", origin.addr())
    .start()
}

/// A client that asks again and again over one connection, until `step` has seen enough.
fn client<T: Send + 'static>(
    seawall: &Seawall,
    call: Call,
    mut step: impl FnMut(Response, Duration) -> ControlFlow<T> + Send + 'static,
) -> JoinHandle<T> {
    let address = seawall.addr(0).to_owned();
    std::thread::spawn(move || {
        let mut client = RawClient::tcp(&address);
        loop {
            let began = Instant::now();
            let response = client.exchange(&call).expect("an answer");
            if let ControlFlow::Break(result) = step(response, began.elapsed()) {
                return result;
            }
        }
    })
}

/// What was shared and is so no longer is not fetched one after the other: the cache costs nothing then. Both crowds ask
/// at the same time, so that a busy machine is as busy for both.
#[test]
fn an_answer_that_turns_uncacheable_is_no_slower_than_without_a_cache() {
    const CLIENTS: usize = 20;
    const FETCHES: usize = 160;
    const WORK: Duration = Duration::from_millis(50);
    let shared = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&shared);
    let origin = Origin::h1(move |_| {
        let rule = if still.load(Ordering::SeqCst) { "max-age=1" } else { "private" };
        Reply::ok("body").header("cache-control", rule).delay(WORK)
    });
    let seawall = start(&origin);
    assert_eq!(get(seawall.addr(0), "example.com", "/on", &[]).text(), "body");
    shared.store(false, Ordering::SeqCst);
    let crowd = |path: &'static str| {
        let one = |_| {
            let mut times = Vec::new();
            client(&seawall, Call::get("example.com", path), move |_, took| {
                // Hits of the time before count for nobody.
                times.extend((took >= WORK).then_some(took));
                if times.len() < FETCHES {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(times.clone())
                }
            })
        };
        (0..CLIENTS).map(one).collect::<Vec<_>>()
    };
    let (with, without) = (crowd("/on"), crowd("/off"));
    let p99 = |clients: Vec<JoinHandle<Vec<Duration>>>| {
        let mut times: Vec<Duration> =
            clients.into_iter().flat_map(|client| client.join().expect("a thread")).collect();
        times.sort_unstable();
        times[times.len() * 99 / 100]
    };
    let (with, without) = (p99(with), p99(without));
    assert!(with < without.mul_f32(1.5), "with the cache {with:?}, without {without:?}");
}

/// Two ways to tell responses apart, one after the other: nobody ever gets another's.
#[test]
fn a_vary_that_changes_gives_nobody_anothers_response() {
    const CLIENTS: usize = 24;
    const ANSWERS: usize = 40;
    let by_tenant = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&by_tenant);
    let origin = Origin::h1(move |request| {
        let name = if now.load(Ordering::SeqCst) { "x-tenant" } else { "x-region" };
        let value = request.header(name).unwrap_or("none");
        Reply::ok(format!("{name}={value}"))
            .headers(&[("cache-control", "max-age=1"), ("vary", name)])
            .delay(Duration::from_millis(10))
    });
    let seawall = start(&origin);
    let (region, tenant) =
        (|number: usize| format!("r{}", number % 3), |number: usize| format!("t{}", number % 4));
    let call = |number: usize| {
        Call::get("example.com", "/on")
            .header("X-Region", &region(number))
            .header("X-Tenant", &tenant(number))
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let own = [format!("x-region={}", region(number)), format!("x-tenant={}", tenant(number))];
            let mut new = 0;
            client(&seawall, call(number), move |response, _| {
                let text = response.text();
                assert!(own.contains(&text), "{own:?} got {text}: {:?}", response.header("cache-status"));
                new += usize::from(text == own[1]);
                if new < ANSWERS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
        })
        .collect();
    eventually(DEADLINE, "all regions to be asked for", || {
        if origin.count() >= 3 { Ok(()) } else { Err(origin.count()) }
    });
    by_tenant.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("nobody got another's");
    }
    // From then on the tenants have theirs, each from the store.
    let fetches = origin.count();
    assert!(fetches < CLIENTS * ANSWERS / 4, "{fetches} fetches for {} answers", CLIENTS * ANSWERS);
    for number in 0..4 {
        let wanted = format!("x-tenant={}", tenant(number));
        eventually(DEADLINE, "a hit for each tenant", || {
            let mut client = RawClient::tcp(seawall.addr(0));
            let response = client.exchange(&call(number)).expect("an answer");
            assert_eq!(response.text(), wanted);
            let status = response.header("cache-status").unwrap_or_default().to_owned();
            if status.contains("; hit") { Ok(()) } else { Err(status) }
        });
    }
}
