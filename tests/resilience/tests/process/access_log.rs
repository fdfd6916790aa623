//! The access log in a file: rotated without losing a line, and never in a request's way.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use seawall_testkit::{Call, RawClient, Seawall, SeawallBuilder, eventually, get};

fn logging(settings: &str) -> SeawallBuilder {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
access_log: { path: '%{dir}/access.log', %{log} }
sites: [{ hosts: [example.com], routes: [{ path: /, respond: { body: x } }] }]
",
    )
    .set("log", settings)
}

/// How often each path was logged in these files.
fn paths(files: &[impl AsRef<Path>]) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for file in files {
        for line in fs::read_to_string(file).expect("a log").lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            *seen.entry(line["uri"].as_str().expect("a path").to_owned()).or_default() += 1;
        }
    }
    seen
}

#[test]
fn a_rotation_under_load_loses_no_line() {
    let mut seawall = logging("flush: 20ms").start();
    let folder = seawall.folder().to_owned();
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (stop, sent, address) = (Arc::clone(&stop), Arc::clone(&sent), seawall.addr(0).to_owned());
            std::thread::spawn(move || {
                let mut client = RawClient::tcp(address);
                let mut count = 0_usize;
                while !stop.load(Ordering::SeqCst) {
                    let call = Call::get("example.com", &format!("/{number}/{count}"));
                    assert_eq!(client.exchange(&call).expect("an answer").status, 200);
                    count += 1;
                    sent.fetch_add(1, Ordering::SeqCst);
                }
                count
            })
        })
        .collect();
    let log = folder.join("access.log");
    let mut files = Vec::new();
    for turn in 0..5 {
        let before = sent.load(Ordering::SeqCst);
        eventually(seawall_testkit::DEADLINE, "more requests", || {
            sent.load(Ordering::SeqCst) >= before + 100
        });
        let old = folder.join(format!("access.log.{turn}"));
        fs::rename(&log, &old).expect("a rotation");
        files.push(old);
        seawall.signal(Signal::SIGUSR1);
        eventually(seawall_testkit::DEADLINE, "the new file", || log.exists());
    }
    stop.store(true, Ordering::SeqCst);
    let counts: Vec<usize> = clients.into_iter().map(|client| client.join().expect("a client")).collect();
    let dropped = seawall.metrics().get("seawall_access_log_dropped_lines_total", &[]);
    assert!(dropped < 0.5);
    seawall.signal(Signal::SIGTERM);
    assert_eq!(seawall.wait().code, Some(0));
    files.push(log);
    let seen = paths(&files);
    for (number, count) in counts.iter().enumerate() {
        for request in 0..*count {
            let path = format!("/{number}/{request}");
            assert_eq!(seen.get(&path), Some(&1), "{path} of {count}");
        }
    }
    assert_eq!(seen.len(), counts.iter().sum::<usize>());
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_kept() {
    let seawall = logging("flush: 10ms").start();
    let folder = seawall.folder();
    let (log, old) = (folder.join("access.log"), folder.join("old.log"));
    fs::rename(&log, &old).expect("a rotation");
    // A folder has the name now.
    fs::create_dir(&log).expect("a folder");
    seawall.signal(Signal::SIGUSR1);
    eventually(seawall_testkit::DEADLINE, "the process log to say so", || {
        seawall.stderr().contains("the open file is kept")
    });
    assert_eq!(get(seawall.addr(0), "example.com", "/kept", &[]).status, 200);
    eventually(seawall_testkit::DEADLINE, "the line", || paths(&[&old]).contains_key("/kept"));
    fs::remove_dir(&log).expect("the folder to go");
    seawall.signal(Signal::SIGUSR1);
    eventually(seawall_testkit::DEADLINE, "the new file", || log.is_file());
    assert_eq!(get(seawall.addr(0), "example.com", "/new", &[]).status, 200);
    eventually(seawall_testkit::DEADLINE, "the line", || paths(&[&log]).contains_key("/new"));
}

#[test]
fn a_reader_that_reads_nothing_costs_lines_and_never_a_request() {
    let builder = logging("buffer: 256KiB, flush: 10ms");
    let pipe = builder.folder().join("access.log");
    nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).expect("a pipe");
    // Both ways, so that opening waits for nobody.
    let held = OpenOptions::new().read(true).write(true).open(&pipe).expect("the pipe");
    let seawall = builder.start();
    let mut client = RawClient::tcp(seawall.addr(0));
    let dropped = || seawall.metrics().get("seawall_access_log_dropped_lines_total", &[]);
    let mut sent = 0;
    while dropped() < 1.0 {
        assert!(sent < 20_000, "nothing was ever dropped");
        for _ in 0..100 {
            let response = client.exchange(&Call::get("example.com", "/x")).expect("an answer");
            assert_eq!(response.status, 200);
            sent += 1;
        }
    }
    // What waits in memory has a bound.
    assert!(seawall.metrics().get("seawall_access_log_buffered_bytes", &[]) <= 262_144.0);
    // The reader comes back: lines flow again.
    let reader = BufReader::new(held);
    let (found, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || read(reader, &found));
    eventually(seawall_testkit::DEADLINE, "new lines", || {
        client.exchange(&Call::get("example.com", "/again")).map_err(|error| error.to_string())?;
        if lines.try_iter().any(|line| line.contains("\"/again\"")) {
            Ok(())
        } else {
            Err("none yet".to_owned())
        }
    });
    assert_eq!(seawall.stop().code, Some(0));
}

/// Hands on the lines of a pipe until nobody wants them.
fn read(reader: BufReader<File>, found: &std::sync::mpsc::Sender<String>) {
    for line in reader.lines() {
        let Ok(line) = line else { return };
        if found.send(line).is_err() {
            return;
        }
    }
}
