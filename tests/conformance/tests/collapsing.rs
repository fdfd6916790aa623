//! Many requests for one key: one fetch for all of them, and nobody worse off for it.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use seawall_testkit::{
    Call, DEADLINE, Gate, Origin, RawClient, Reply, Response, Seawall, body, check_body, eventually, get,
    request,
};

fn start(origin: &Origin, rule: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
limits: { max_connections_per_address: 4000 }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: %{rule} }] }]
",
    )
    .set("origin", origin.addr())
    .set("rule", rule)
    .start()
}

fn clients(
    seawall: &Seawall,
    count: usize,
    headers: fn(usize) -> Vec<(&'static str, String)>,
) -> Vec<JoinHandle<Response>> {
    (0..count)
        .map(|number| {
            let address = seawall.addr(0).to_owned();
            std::thread::spawn(move || {
                let headers = headers(number);
                let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
                get(address, "example.com", "/x", &headers)
            })
        })
        .collect()
}

fn no_headers(_: usize) -> Vec<(&'static str, String)> {
    Vec::new()
}

fn wait_in_flight(seawall: &Seawall, count: usize) {
    eventually(DEADLINE, "all requests to be there", || {
        let metrics = seawall.metrics();
        let waiting = metrics.get("seawall_http_requests_in_flight", &[]);
        if waiting >= count as f64 { Ok(()) } else { Err(metrics.show("seawall_http_requests_in_flight")) }
    });
}

/// A request of which only the beginning of the answer is read.
fn reader(seawall: &Seawall) -> TcpStream {
    let mut stream = TcpStream::connect(seawall.addr(0)).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n").expect("sent");
    stream
}

fn read_until(stream: &mut TcpStream, mark: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while !seen.windows(mark.len()).any(|window| window == mark) {
        let count = stream.read(&mut piece).expect("bytes in time");
        assert_ne!(count, 0, "the end came before {:?}", String::from_utf8_lossy(mark));
        seen.extend_from_slice(&piece[..count]);
    }
    seen
}

/// One thread reads all sockets: a thousand threads would measure the scheduler.
#[test]
fn a_thousand_clients_make_one_fetch_and_read_along() {
    const CLIENTS: usize = 1000;
    let (head, tail) = (Gate::new(), Gate::new());
    let (held, rest) = (head.clone(), tail.clone());
    let origin = Origin::h1(move |_| {
        Reply::new(200)
            .header("cache-control", "max-age=60")
            .hold(&held)
            .body("first-part ")
            .gate(&rest)
            .body("last-part")
            .chunked()
    });
    let seawall = start(&origin, "on");
    let mut readers: Vec<TcpStream> = (0..CLIENTS).map(|_| reader(&seawall)).collect();
    wait_in_flight(&seawall, CLIENTS);
    head.open();
    // The origin is still in the middle of its answer: everybody has what there is of it.
    for stream in &mut readers {
        read_until(stream, b"first-part ");
    }
    assert_eq!(origin.count(), 1);
    tail.open();
    for stream in &mut readers {
        read_until(stream, b"last-part");
    }
    assert_eq!(origin.count(), 1);
    seawall.wait_metric("seawall_http_requests_in_flight", &[], 0.0);
}

/// Pingora says with a flush only where a body of known length ends; what there is of it must not wait for that.
fn few_bytes_leave_as_they_come(rule: &str, readers: usize) {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| {
        let reply = Reply::new(200).header("cache-control", "max-age=60");
        reply.body("first-part ").gate(&held).body("last-part").length(20)
    });
    let seawall = start(&origin, rule);
    let mut first = reader(&seawall);
    read_until(&mut first, b"first-part ");
    let mut others: Vec<TcpStream> = (1..readers).map(|_| reader(&seawall)).collect();
    for other in &mut others {
        read_until(other, b"first-part ");
    }
    gate.open();
    for stream in others.iter_mut().chain([&mut first]) {
        read_until(stream, b"last-part");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn few_bytes_of_known_length_reach_who_fetches_and_who_reads_along() {
    few_bytes_leave_as_they_come("on", 5);
}

#[test]
fn few_bytes_of_known_length_pass_through_as_they_come() {
    few_bytes_leave_as_they_come("off", 1);
}

#[test]
fn the_first_client_may_leave() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| {
        Reply::new(200)
            .header("cache-control", "max-age=60")
            .body(body(1, 50_000))
            .gate(&held)
            .body(body(2, 50_000))
            .length(100_000)
    });
    let seawall = start(&origin, "on");
    let mut first = reader(&seawall);
    read_until(&mut first, b"\r\n\r\n");
    let others = clients(&seawall, 20, no_headers);
    wait_in_flight(&seawall, 21);
    drop(first);
    gate.open();
    for other in others {
        let response = other.join().expect("an answer");
        check_body(1, 50_000, &response.body[..50_000]).expect("the first half");
        check_body(2, 50_000, &response.body[50_000..]).expect("the second half");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn clients_that_leave_while_they_wait_harm_nobody() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| Reply::ok("body").header("cache-control", "max-age=60").hold(&held));
    let seawall = start(&origin, "on");
    let leaving: Vec<TcpStream> = (0..50).map(|_| reader(&seawall)).collect();
    wait_in_flight(&seawall, 50);
    drop(leaving);
    // Those who waited leave with their clients; the one who fetches stays.
    seawall.wait_metric("seawall_http_requests_in_flight", &[], 1.0);
    let staying = clients(&seawall, 10, no_headers);
    gate.wait_waiting(1);
    gate.open();
    for client in staying {
        assert_eq!(client.join().expect("an answer").text(), "body");
    }
    assert_eq!(origin.count(), 1);
    seawall.wait_metric("seawall_http_requests_in_flight", &[], 0.0);
    seawall.wait_log(|line| line["status"] == 499 && line["error"] == "client_gone");
}

#[test]
fn a_dead_leader_hands_over() {
    let gate = Gate::new();
    let held = gate.clone();
    let count = AtomicUsize::new(0);
    // The first fetch dies without an answer, the next one lives.
    let origin = Origin::h1(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            Reply::raw(Vec::new()).hold(&held).reset()
        } else {
            Reply::ok("alive").header("cache-control", "max-age=60")
        }
    });
    let seawall = start(&origin, "on");
    let mut all = vec![reader(&seawall)];
    gate.wait_waiting(1);
    all.extend((0..19).map(|_| reader(&seawall)));
    wait_in_flight(&seawall, 20);
    gate.open();
    let mut answered = 0;
    for stream in &mut all {
        let mut text = String::new();
        if stream.read_to_string(&mut text).is_ok() && text.ends_with("alive") {
            answered += 1;
        }
    }
    // The leader itself may be told of the failure; those who waited are not.
    assert!(answered >= 19, "{answered} of 20 were answered");
    assert!(origin.count() <= 3, "{} fetches", origin.count());
}

#[test]
fn a_fill_that_dies_half_way_is_no_whole_answer_for_anybody() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| {
        Reply::new(200)
            .header("cache-control", "max-age=60")
            .body(body(1, 40_000))
            .gate(&held)
            .length(100_000)
            .close()
    });
    let seawall = start(&origin, "on");
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let address = seawall.addr(0).to_owned();
            std::thread::spawn(move || request(address, &Call::get("example.com", "/x")))
        })
        .collect();
    wait_in_flight(&seawall, 10);
    gate.open();
    for reader in readers {
        let error = reader.join().expect("a thread").expect_err("no whole body");
        assert!(error.is_truncated() || error.is_silent_close(), "{error:?}");
    }
    assert!(seawall.metrics().get("seawall_cache_objects", &[]) < 0.5, "nothing was kept");
}

/// What turns out to be for one client only must not be fetched one after the other.
#[test]
fn uncacheable_answers_are_not_serialised() {
    const CLIENTS: usize = 40;
    const WORK: Duration = Duration::from_millis(300);
    let origin = Origin::h1(|_| Reply::ok("mine").header("cache-control", "private").delay(WORK));
    let took = |rule: &str| {
        let seawall = start(&origin, rule);
        let mut rounds = Vec::new();
        for _ in 0..2 {
            let began = Instant::now();
            for client in clients(&seawall, CLIENTS, no_headers) {
                assert_eq!(client.join().expect("an answer").text(), "mine");
            }
            rounds.push(began.elapsed());
        }
        rounds
    };
    let (without, with) = (took("off"), took("on"));
    // Nobody knows at first: those who wait for the leader wait for one answer, then all ask at once.
    assert!(with[0] < without[0] + WORK + WORK, "{with:?}, without the cache {without:?}");
    // From then on it is remembered, and the cache costs no time.
    assert!(with[1] < without[1].mul_f32(1.5), "{with:?}, without the cache {without:?}");
    assert_eq!(origin.count(), 4 * CLIENTS);
}

#[test]
fn variants_are_fetched_side_by_side() {
    const CLIENTS: usize = 30;
    const WORK: Duration = Duration::from_millis(300);
    let origin = Origin::h1(|request| {
        let language = request.header("accept-language").unwrap_or("none").to_owned();
        Reply::ok(language)
            .headers(&[("cache-control", "max-age=60"), ("vary", "accept-language")])
            .delay(WORK)
    });
    let seawall = start(&origin, "on");
    let language = |number: usize| vec![("Accept-Language", format!("x-{}", number % 10))];
    let began = Instant::now();
    for (number, client) in clients(&seawall, CLIENTS, language).into_iter().enumerate() {
        assert_eq!(client.join().expect("an answer").text(), format!("x-{}", number % 10));
    }
    assert!(began.elapsed() < WORK * 5, "ten variants took {:?}", began.elapsed());
    assert!(origin.count() < 2 * CLIENTS / 3 + 10, "{} fetches", origin.count());
    let before = origin.count();
    for number in 0..10 {
        let wanted = format!("x-{number}");
        assert_eq!(get(seawall.addr(0), "example.com", "/x", &[("Accept-Language", &wanted)]).text(), wanted);
    }
    assert_eq!(origin.count(), before, "each variant is stored");
}

#[test]
fn one_refresh_for_a_crowd_that_is_served_stale() {
    let gate = Gate::new();
    let held = gate.clone();
    let count = AtomicUsize::new(0);
    let origin = Origin::h1(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let reply =
            Reply::ok(format!("{number}")).header("cache-control", "max-age=0, stale-while-revalidate=60");
        if number == 0 { reply } else { reply.hold(&held) }
    });
    let seawall = start(&origin, "on");
    assert_eq!(get(seawall.addr(0), "example.com", "/x", &[]).text(), "0");
    for client in clients(&seawall, 50, no_headers) {
        let response = client.join().expect("an answer");
        assert_eq!(response.text(), "0");
        let status = response.header("cache-status").unwrap_or_default().to_owned();
        assert!(status.contains("hit") && status.contains("stale-while-revalidate"), "{status}");
    }
    gate.wait_waiting(1);
    assert_eq!(origin.count(), 2, "one fetch, one refresh");
    gate.open();
    eventually(DEADLINE, "the refreshed body", || {
        let text = get(seawall.addr(0), "example.com", "/x", &[]).text();
        if text == "0" { Err(text) } else { Ok(()) }
    });
}

#[test]
fn who_shares_a_fetch_is_told_so() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |_| Reply::ok("body").header("cache-control", "max-age=60").hold(&held));
    let seawall = start(&origin, "on");
    let both = clients(&seawall, 2, no_headers);
    wait_in_flight(&seawall, 2);
    gate.open();
    let mut said: Vec<String> = both
        .into_iter()
        .map(|c| c.join().expect("an answer").header("cache-status").unwrap_or_default().to_owned())
        .collect();
    said.sort();
    assert!(said[0].contains("fwd=miss; collapsed"), "{said:?}");
    assert!(said[1].contains("fwd=uri-miss; stored"), "{said:?}");
}

#[test]
fn an_origin_that_is_gone_is_stood_in_for_within_its_window() {
    let mut origin = Origin::h1(|request| {
        let rule = if request.target == "/gone" { "max-age=0" } else { "max-age=0, stale-if-error=60" };
        let rule = if request.target == "/never" { "max-age=0, must-revalidate" } else { rule };
        Reply::ok("kept").headers(&[("cache-control", rule), ("etag", "\"a\"")])
    });
    let seawall = start(&origin, "on");
    let ask = |path: &str| get(seawall.addr(0), "example.com", path, &[]);
    for path in ["/gone", "/error", "/never"] {
        assert_eq!(ask(path).text(), "kept");
    }
    origin.stop();
    for path in ["/gone", "/error"] {
        let stale = ask(path);
        assert_eq!((stale.status, stale.text().as_str()), (200, "kept"), "{path}");
        let status = stale.header("cache-status").unwrap_or_default();
        assert!(status.contains("fwd=stale") && status.contains("detail=stale-if-error"), "{status}");
        assert!(stale.header("age").is_some());
    }
    let refused = ask("/never");
    assert_eq!(refused.status, 502);
    let status = refused.header("cache-status").unwrap_or_default();
    assert!(status.contains("fwd=stale") && status.contains("detail="), "{status}");
    // Nothing stored, only what is stored: the origin is not asked and a cache says so.
    let only = get(seawall.addr(0), "example.com", "/new", &[("Cache-Control", "only-if-cached")]);
    assert_eq!((only.status, only.header("cache-status")), (504, Some("seawall; detail=only_if_cached")));
}

#[test]
fn interim_responses_reach_the_client_and_are_not_kept() {
    let origin = Origin::h1(|_| {
        Reply::ok("body")
            .header("cache-control", "max-age=60")
            .interim(103, &[("link", "</a.css>; rel=preload"), ("x-early", "1")])
    });
    let seawall = start(&origin, "on");
    let mut client = RawClient::tcp(seawall.addr(0));
    client.call(&Call::get("example.com", "/x"));
    let response = client.response();
    assert_eq!(response.interim.iter().map(|early| early.0).collect::<Vec<_>>(), [103]);
    assert_eq!(response.text(), "body");
    assert!(response.header("x-early").is_none());
    let hit = get(seawall.addr(0), "example.com", "/x", &[]);
    assert!(hit.interim.is_empty() && hit.header("x-early").is_none());
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_post_that_says_so_answers_later_gets() {
    let origin = Origin::h1(|request| {
        let here = request.target.clone();
        let reply = Reply::ok(format!("{} {}", request.method, here)).header("cache-control", "max-age=60");
        if here == "/else" { reply } else { reply.header("content-location", &here) }
    });
    let seawall = start(&origin, "on");
    for (path, expected) in [("/x", "POST /x"), ("/else", "GET /else")] {
        assert_eq!(get(seawall.addr(0), "example.com", path, &[]).text(), format!("GET {path}"));
        let answer =
            request(seawall.addr(0), &Call::post("example.com", path, "content")).expect("an answer");
        assert_eq!(answer.text(), format!("POST {path}"));
        // What was stored is gone, and the copy is stored when the request is over: one object in both rounds.
        seawall.wait_metric("seawall_cache_objects", &[], 1.0);
        assert_eq!(get(seawall.addr(0), "example.com", path, &[]).text(), expected);
    }
}

#[test]
fn the_date_is_the_origins() {
    let stamped = "Tue, 15 Nov 1994 08:12:31 GMT";
    let origin = Origin::h1(move |_| {
        Reply::ok("x").headers(&[("cache-control", "max-age=9000000000"), ("date", stamped)])
    });
    let seawall = start(&origin, "on");
    for _ in 0..2 {
        assert_eq!(get(seawall.addr(0), "example.com", "/x", &[]).header("date"), Some(stamped));
    }
    // Our own answers are of now.
    let own = get(seawall.addr(0), "other.example", "/x", &[]);
    assert!(own.header("date").is_some_and(|date| date != stamped));
}
