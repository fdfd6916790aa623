use std::fs;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use seawall_config::units::{ByteSize, Span};

use super::{AccessLog, AccessRecord, Listener, format};
use crate::metrics::CacheResult;
use crate::settings::{AccessLogSettings, LogFormat};
use crate::text::Clock;

fn settings(path: &Path) -> AccessLogSettings {
    AccessLogSettings {
        path: path.to_str().unwrap().to_owned(),
        flush: Span::millis(5),
        ..AccessLogSettings::default()
    }
}

/// Waits until `done`, or fails after a time no healthy machine needs.
fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn numbered(id: &str) -> AccessRecord<'_> {
    AccessRecord { request_id: id, ..AccessRecord::default() }
}

/// The numbers of the lines in `text`, each of which must be a whole line.
fn ids(text: &str) -> Vec<u64> {
    assert!(text.is_empty() || text.ends_with('\n'), "a torn last line");
    let parse = |line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line");
    text.lines().map(|line| parse(line)["request_id"].as_str().unwrap().parse().unwrap()).collect()
}

fn full() -> AccessRecord<'static> {
    AccessRecord {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(971_186_136_007),
        request_id: "r1",
        client: Some(IpAddr::from([192, 0, 2, 7])),
        listener: Listener::Tcp(([0, 0, 0, 0], 8443).into()),
        scheme: "https",
        host: b"example.com",
        method: b"GET",
        uri: b"/a?b=\"c\"",
        protocol: "HTTP/2",
        status: 200,
        bytes_sent: 1024,
        bytes_received: 7,
        duration: Duration::from_micros(1_250),
        upstream_duration: Some(Duration::from_micros(900)),
        first_byte: Some(Duration::from_micros(1_000)),
        site: "main",
        route: "/a",
        upstream: "app",
        server: "10.0.0.1:80",
        tries: 2,
        cache: CacheResult::Miss,
        cache_status: b"seawall; fwd=uri-miss; stored",
        encoding: b"br",
        referer: b"https://example.net/",
        user_agent: b"curl/8",
        error: "none",
    }
}

fn line(kind: LogFormat, record: &AccessRecord<'_>, most: usize) -> String {
    let (mut out, mut clock) = (Vec::new(), Clock::default());
    match kind {
        LogFormat::Json => format::json(&mut out, &mut clock, record, most),
        _ => format::combined(&mut out, &mut clock, record, most),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn a_full_json_line() {
    let expected = concat!(
        r#"{"time":"2000-10-10T13:55:36.007Z","request_id":"r1","client":"192.0.2.7","listener":"0.0.0.0:8443","#,
        r#""scheme":"https","host":"example.com","method":"GET","uri":"/a?b=\"c\"","protocol":"HTTP/2","status":200,"#,
        r#""bytes_sent":1024,"bytes_received":7,"duration":0.001250,"upstream_duration":0.000900,"ttfb":0.001000,"#,
        r#""site":"main","route":"/a","upstream":"app","server":"10.0.0.1:80","tries":2,"cache":"miss","#,
        r#""cache_status":"seawall; fwd=uri-miss; stored","encoding":"br","referer":"https://example.net/","user_agent":"curl/8","#,
        r#""error":"none"}"#,
        "\n"
    );
    assert_eq!(line(LogFormat::Json, &full(), 4096), expected);
}

#[test]
fn an_empty_json_line_keeps_what_every_request_has() {
    let expected = concat!(
        r#"{"time":"1970-01-01T00:00:00.000Z","status":0,"bytes_sent":0,"bytes_received":0,"duration":0.000000,"#,
        r#""cache":"none"}"#,
        "\n"
    );
    assert_eq!(line(LogFormat::Json, &AccessRecord::default(), 4096), expected);
}

#[test]
fn combined_lines() {
    assert_eq!(
        line(LogFormat::Combined, &full(), 4096),
        "192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] \"GET /a?b=\\\"c\\\" HTTP/2\" 200 1024 \
         \"https://example.net/\" \"curl/8\"\n"
    );
    let bare = AccessRecord { method: b"GET", uri: b"/", protocol: "HTTP/1.1", ..AccessRecord::default() };
    assert_eq!(
        line(LogFormat::Combined, &bare, 4096),
        "- - - [01/Jan/1970:00:00:00 +0000] \"GET / HTTP/1.1\" 0 - \"-\" \"-\"\n"
    );
}

proptest! {
    /// Whatever a client sends, a record is one line that parses back.
    #[test]
    fn no_field_breaks_a_line(
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 6),
        text in ".{0,60}",
        most in 8usize..80,
    ) {
        let record = AccessRecord {
            request_id: &text, host: &fields[0], method: &fields[1], uri: &fields[2], referer: &fields[3],
            user_agent: &fields[4], cache_status: &fields[5], error: &text, protocol: &text, ..full()
        };
        let json = line(LogFormat::Json, &record, most);
        let (body, end) = json.split_at(json.len() - 1);
        prop_assert_eq!(end, "\n");
        prop_assert!(!body.chars().any(|c| c.is_control() || c == '\u{2028}' || c == '\u{202e}'), "{body:?}");
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        if fields[2].len() <= most && !fields[2].is_empty() {
            prop_assert_eq!(value["uri"].as_str().unwrap(), String::from_utf8_lossy(&fields[2]));
        }
        prop_assert_eq!(value["status"].as_u64(), Some(200));

        let combined = line(LogFormat::Combined, &record, most);
        let (body, end) = combined.split_at(combined.len() - 1);
        prop_assert_eq!(end, "\n");
        prop_assert!(body.bytes().all(|b| (0x20..0x7f).contains(&b)), "{body:?}");
        // Six quotes frame three fields; all others are escaped.
        let mut escaped = false;
        let bare = body.bytes().filter(|b| {
            let quote = *b == b'"' && !escaped;
            escaped = *b == b'\\' && !escaped;
            quote
        });
        prop_assert_eq!(bare.count(), 6);
    }
}

#[test]
fn the_longest_line_is_bounded() {
    let (bytes, text) = (vec![0u8; 1 << 20], "\u{1}".repeat(1 << 20));
    let record = AccessRecord {
        request_id: &text,
        host: &bytes,
        method: &bytes,
        uri: &bytes,
        protocol: &text,
        cache_status: &bytes,
        referer: &bytes,
        user_agent: &bytes,
        error: &text,
        ..full()
    };
    // Nine fields, each byte six in JSON and four in the combined format.
    assert!(line(LogFormat::Json, &record, 100).len() < 9 * 600 + 600);
    assert!(line(LogFormat::Combined, &record, 100).len() < 5 * 400 + 200);
}

#[test]
fn lines_reach_a_file_of_restricted_mode_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::new(&settings(&path)).unwrap();
    log.write(&numbered("1"));
    until("the line is written", || ids(&fs::read_to_string(&path).unwrap()) == [1]);
    log.write(&numbered("2"));
    until("the next line is written", || ids(&fs::read_to_string(&path).unwrap()) == [1, 2]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0, "more than 0640");
    until("the counters follow", || log.stats().written == 2);
    assert_eq!(log.stats().buffered_bytes, 0);
}

#[test]
fn a_drop_writes_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let slow = AccessLogSettings { flush: Span::secs(10), ..settings(&path) };
    let log = AccessLog::new(&slow).unwrap();
    (0..50).for_each(|i| log.write(&numbered(&i.to_string())));
    assert_eq!(log.stats().written + log.stats().buffered_lines, 50);
    drop(log);
    assert_eq!(ids(&fs::read_to_string(&path).unwrap()), (0..50).collect::<Vec<_>>());
}

#[test]
fn after_a_shutdown_lines_are_counted_as_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let log = AccessLog::new(&settings(&folder.path().join("access.log"))).unwrap();
    log.write(&numbered("1"));
    assert!(log.shutdown(Duration::from_secs(5)));
    log.write(&numbered("2"));
    assert_eq!((log.stats().written, log.stats().dropped), (1, 1));
    assert!(log.shutdown(Duration::ZERO), "a second call finds nothing to wait for");
}

#[test]
fn off_is_off() {
    let off = AccessLogSettings { format: LogFormat::Off, ..settings(Path::new("/no/such/folder/x")) };
    let log = AccessLog::new(&off).unwrap();
    log.write(&full());
    log.reopen();
    assert!(!log.is_on() && log.shutdown(Duration::ZERO) && log.stats() == super::AccessLogStats::default());
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let error = AccessLog::new(&settings(Path::new("/no/such/folder/access.log"))).err().unwrap().to_string();
    assert!(
        error.starts_with("cannot open the access log /no/such/folder/access.log: No such file"),
        "{error}"
    );
}

/// A named pipe with a reader that does not read yet.
fn pipe(folder: &Path) -> (PathBuf, fs::File) {
    let path = folder.join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    let reader = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path).unwrap();
    (path, reader)
}

fn drain(reader: &mut fs::File, into: &mut Vec<u8>) {
    if let Err(error) = reader.read_to_end(into) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    }
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_nothing_else() {
    const LINES: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let (path, mut reader) = pipe(folder.path());
    let small = AccessLogSettings { buffer: ByteSize::kib(256), ..settings(&path) };
    let log = AccessLog::new(&small).unwrap();
    // That this loop ends is the first assertion: nobody reads.
    (0..LINES).for_each(|i| log.write(&numbered(&i.to_string())));
    let stats = log.stats();
    assert!(stats.dropped > 0 && stats.dropped < LINES, "{stats:?}");
    assert!(stats.buffered_bytes <= 256 * 1024, "{stats:?}");

    let mut read = Vec::new();
    let collected = std::cell::RefCell::new(&mut read);
    let reader = std::cell::RefCell::new(&mut reader);
    until("the rest arrives", || {
        drain(&mut reader.borrow_mut(), &mut collected.borrow_mut());
        log.stats().written + log.stats().dropped == LINES
    });
    drain(&mut reader.borrow_mut(), &mut collected.borrow_mut());
    let seen = ids(std::str::from_utf8(&read).unwrap());
    assert_eq!(seen.len() as u64, log.stats().written);
    assert!(seen.is_sorted(), "one thread's lines keep their order");

    // The log has recovered: it takes and writes again.
    log.write(&numbered("77777"));
    until("a line after the jam", || {
        let mut more = Vec::new();
        drain(&mut reader.borrow_mut(), &mut more);
        more.windows(5).any(|w| w == b"77777")
    });
}

#[test]
fn a_shutdown_gives_up_in_time_and_counts_the_rest() {
    const LINES: u64 = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let (path, _reader) = pipe(folder.path());
    let log = AccessLog::new(&settings(&path)).unwrap();
    (0..LINES).for_each(|i| log.write(&numbered(&i.to_string())));
    let start = Instant::now();
    assert!(log.shutdown(Duration::from_millis(200)), "the writer ends by itself");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let stats = log.stats();
    assert!(stats.dropped > 0 && stats.written > 0, "{stats:?}");
    assert_eq!(stats.dropped + stats.written, LINES);
}

#[test]
fn a_pipe_without_a_reader_does_not_hang_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (path, reader) = pipe(folder.path());
    drop(reader);
    assert!(AccessLog::new(&settings(&path)).is_err());
}

/// Many rotations under load: every line is in exactly one file, whole.
#[test]
fn rotations_lose_no_line() {
    const THREADS: u64 = 3;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::new(&settings(&path)).unwrap();
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..20 {
                        log.write(&numbered(&next.fetch_add(1, Ordering::Relaxed).to_string()));
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        for round in 1..=10 {
            let moved = folder.path().join(format!("access.log.{round}"));
            fs::rename(&path, &moved).unwrap();
            log.reopen();
            until("the new file is in use", || log.stats().reopened == round);
            let before = log.stats().written;
            until("lines go on", || log.stats().written > before);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(log.shutdown(Duration::from_secs(10)));
    assert_eq!(log.stats().dropped, 0);
    let (mut seen, mut used) = (Vec::new(), 0);
    for entry in fs::read_dir(folder.path()).unwrap() {
        let found = ids(&fs::read_to_string(entry.unwrap().path()).unwrap());
        used += usize::from(!found.is_empty());
        seen.extend(found);
    }
    assert!(used > 5, "the rotations took effect: {used} files hold lines");
    seen.sort_unstable();
    assert_eq!(seen, (0..next.into_inner()).collect::<Vec<_>>());
}

#[test]
fn a_failed_reopen_keeps_the_open_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("a/access.log"), folder.path().join("b"));
    fs::create_dir(path.parent().unwrap()).unwrap();
    let log = AccessLog::new(&settings(&path)).unwrap();
    fs::rename(path.parent().unwrap(), &moved).unwrap();
    log.reopen();
    until("the failure is noted", || log.stats().reopen_failures == 1);
    log.write(&numbered("1"));
    until("the old file is written", || ids(&fs::read_to_string(moved.join("access.log")).unwrap()) == [1]);
}

#[test]
fn a_full_disk_costs_lines_once_the_buffer_is_full_and_heals() {
    const LINES: u64 = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    symlink("/dev/full", &path).unwrap();
    let small = AccessLogSettings { buffer: ByteSize::kib(256), ..settings(&path) };
    let log = AccessLog::new(&small).unwrap();
    (0..LINES).for_each(|i| log.write(&numbered(&i.to_string())));
    until("the failure is counted", || log.stats().write_errors > 0);
    let stats = log.stats();
    assert_eq!(stats.written, 0);
    assert!(stats.dropped > 0 && stats.dropped < LINES, "{stats:?}");

    // Opening the same full disk anew helps nothing and is done once, not again and again.
    log.reopen();
    until("the file is opened anew", || log.stats().reopened > 0);
    until("another write fails", || log.stats().write_errors > stats.write_errors);
    assert_eq!(log.stats().reopened, 1);

    // Room again: what waited is written.
    fs::remove_file(&path).unwrap();
    log.reopen();
    until("the rest is written", || log.stats().written + log.stats().dropped == LINES);
    assert_eq!(ids(&fs::read_to_string(&path).unwrap()).len() as u64, log.stats().written);
    assert_eq!(log.stats().reopened, 2);
}

#[test]
fn a_reopen_in_the_middle_of_a_line_repeats_it_whole() {
    const LINES: u64 = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let (path, mut reader) = pipe(folder.path());
    let log = AccessLog::new(&settings(&path)).unwrap();
    (0..LINES).for_each(|i| log.write(&numbered(&i.to_string())));
    until("the pipe is full", || {
        let before = log.stats().written;
        std::thread::sleep(Duration::from_millis(50));
        before > 0 && log.stats().written == before
    });
    fs::remove_file(&path).unwrap();
    log.reopen();
    until("the file takes the rest", || log.stats().written == LINES);
    let mut old = Vec::new();
    drain(&mut reader, &mut old);
    let whole = old.iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let mut seen = ids(std::str::from_utf8(&old[..whole]).unwrap());
    seen.extend(ids(&fs::read_to_string(&path).unwrap()));
    assert_eq!(seen, (0..LINES).collect::<Vec<_>>());
}

#[test]
fn two_processes_on_one_pipe_tear_no_line() {
    const LINES: u64 = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let (path, mut reader) = pipe(folder.path());
    let logs = [AccessLog::new(&settings(&path)).unwrap(), AccessLog::new(&settings(&path)).unwrap()];
    let mut read = Vec::new();
    std::thread::scope(|scope| {
        for (half, log) in logs.iter().enumerate() {
            scope.spawn(move || {
                (0..LINES).for_each(|i| log.write(&numbered(&(i * 2 + half as u64).to_string())));
            });
        }
        // The pipe is full most of the time, and both writers wait for room in it.
        let mut little = [0; 3000];
        while memchr::memchr_iter(b'\n', &read).count() < 2 * LINES as usize {
            match reader.read(&mut little) {
                Ok(count) => read.extend_from_slice(&little[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
    });
    let mut numbers = ids(&String::from_utf8(read).unwrap());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2 * LINES).collect::<Vec<_>>());
}
