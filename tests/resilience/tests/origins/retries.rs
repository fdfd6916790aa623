//! When a request is sent again, where to, and when it is not.

use seawall_testkit::{Call, Origin, Port, Reply, Seawall, body, check_body, get, request};

use crate::rig::{list, pool, with_backup};

fn ask(seawall: &Seawall, call: &Call) -> (u16, String) {
    let response = request(seawall.addr(0), call).expect("an answer");
    (response.status, response.text())
}

fn retries(seawall: &Seawall, reason: &str) -> f64 {
    seawall.metrics().get("seawall_upstream_retries_total", &[("upstream", "app"), ("reason", reason)])
}

#[test]
fn what_reached_no_server_goes_to_another_whatever_its_method() {
    let dead = Port::reserve();
    let origin = Origin::h1(|request| Reply::ok(request.body.clone()));
    let seawall = pool(&with_backup(&dead.addr(), origin.addr()), "");
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let call = Call::new(method, "example.com", "/").body("all of it");
        assert_eq!(ask(&seawall, &call), (200, "all of it".to_owned()), "{method}");
    }
    assert!((retries(&seawall, "connect") - 4.0).abs() < f64::EPSILON);
    let line = seawall.wait_log(|line| line["method"] == "PATCH");
    assert_eq!((&line["tries"], &line["server"]), (&2.into(), &origin.addr().into()));
}

#[test]
fn what_reached_a_server_is_repeated_only_when_that_is_harmless() {
    let broken = Origin::h1(|_| Reply::raw("").reset());
    let origin = Origin::h1(|request| Reply::ok(request.body.clone()));
    let seawall = pool(&with_backup(broken.addr(), origin.addr()), "");
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let call = Call::new(method, "example.com", "/").body("again");
        assert_eq!(ask(&seawall, &call), (200, "again".to_owned()), "{method}");
    }
    assert_eq!((broken.count(), origin.count()), (4, 4));
    for method in ["POST", "PATCH"] {
        let call = Call::new(method, "example.com", "/").body("once");
        assert_eq!(ask(&seawall, &call).0, 502, "{method}");
    }
    assert_eq!((broken.count(), origin.count()), (6, 4), "nobody else saw them");
    assert!((retries(&seawall, "broken") - 4.0).abs() < f64::EPSILON);
}

#[test]
fn a_body_that_is_too_large_to_keep_is_not_sent_twice() {
    let broken = Origin::h1(|_| Reply::raw("").reset());
    let origin = Origin::h1(|request| Reply::ok(request.body.clone()));
    let seawall = pool(&with_backup(broken.addr(), origin.addr()), "");
    let call = Call::new("PUT", "example.com", "/").body(body(1, 40_000));
    let response = request(seawall.addr(0), &call).expect("an answer");
    check_body(1, 40_000, &response.body).expect("the same body");
    let call = Call::new("PUT", "example.com", "/").body(body(2, 400_000));
    assert_eq!(ask(&seawall, &call).0, 502);
    assert_eq!(origin.count(), 1, "a part of the body would be worse than none");
}

#[test]
fn statuses_are_retried_where_that_is_asked_for_and_safe() {
    let bad = Origin::h1(|_| Reply::new(503));
    let good = Origin::h1(|_| Reply::ok("good"));
    let servers = with_backup(bad.addr(), good.addr());
    let seawall = pool(&servers, "retries: { on_statuses: [503] }");
    for _ in 0..6 {
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).text(), "good");
    }
    assert_eq!((bad.count(), good.count()), (6, 6));
    assert!((retries(&seawall, "status") - 6.0).abs() < f64::EPSILON);
    assert_eq!(ask(&seawall, &Call::post("example.com", "/", "x")).0, 503, "a POST is not repeated");
    assert_eq!((bad.count(), good.count()), (7, 6));
    // The control: without the setting the answer is the answer.
    let seawall = pool(&servers, "");
    assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 503);
}

#[test]
fn the_last_answer_is_given_when_every_server_has_that_status() {
    let bad = Origin::h1(|_| Reply::new(503).body("mine"));
    let worse = Origin::h1(|_| Reply::new(503).body("mine"));
    let seawall = pool(&list(&[bad.addr(), worse.addr()]), "retries: { attempts: 1, on_statuses: [503] }");
    assert_eq!(ask(&seawall, &Call::get("example.com", "/")), (503, "mine".to_owned()), "the origin's own");
    assert_eq!((bad.count(), worse.count()), (1, 1));
}

#[test]
fn tries_have_an_end() {
    let dead: Vec<Port> = (0..4).map(|_| Port::reserve()).collect();
    let addresses: Vec<String> = dead.iter().map(Port::addr).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    for (attempts, tries) in [(0, 1), (1, 2), (3, 4)] {
        let seawall = pool(&list(&addresses), &format!("retries: {{ attempts: {attempts} }}"));
        assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).status, 502);
        let line = seawall.wait_log(|line| line["status"] == 502);
        assert_eq!((&line["tries"], &line["error"]), (&tries.into(), &"connect_refused".into()));
    }
}

#[test]
fn the_budget_runs_out_and_says_so() {
    let dead = Port::reserve();
    let origin = Origin::h1(|_| Reply::ok("good"));
    let servers = with_backup(&dead.addr(), origin.addr());
    let exhausted = |seawall: &Seawall| {
        seawall.metrics().get("seawall_upstream_retry_budget_exhausted_total", &[("upstream", "app")])
    };
    let seawall = pool(&servers, "retries: { budget: { percent: 0, min_per_second: 0, burst: 3 } }");
    let statuses: Vec<u16> = (0..5).map(|_| get(seawall.addr(0), "example.com", "/", &[]).status).collect();
    assert_eq!(statuses, [200, 200, 200, 502, 502]);
    assert!((retries(&seawall, "connect") - 3.0).abs() < f64::EPSILON);
    assert!((exhausted(&seawall) - 2.0).abs() < f64::EPSILON);
    // Requests pay in: two of them buy one retry.
    let seawall = pool(&servers, "retries: { budget: { percent: 50, min_per_second: 0, burst: 1 } }");
    let statuses: Vec<u16> = (0..5).map(|_| get(seawall.addr(0), "example.com", "/", &[]).status).collect();
    assert_eq!(statuses, [200, 502, 200, 502, 200]);
    // The control: the default budget is not exhausted by five.
    let seawall = pool(&servers, "");
    assert!((0..5).all(|_| get(seawall.addr(0), "example.com", "/", &[]).status == 200));
    assert!(exhausted(&seawall) < 0.5);
}
