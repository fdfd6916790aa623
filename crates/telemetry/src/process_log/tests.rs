use std::time::{Duration, Instant, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::limit::{Limiter, Verdict, WINDOW};
use super::{ProcessLog, cap, install, suppressed};
use crate::settings::{LogLevel, LogSettings, LogStyle};

const CLIENT_NOISE: &str = "pingora_proxy";

fn logger(settings: LogSettings) -> ProcessLog {
    ProcessLog::new(&settings)
}

fn render(log: &ProcessLog, target: &str, level: Level, line: u32, message: &str, now: Instant) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1);
    let lines = log.render(
        &Record::builder()
            .target(target)
            .level(level)
            .line(Some(line))
            .args(format_args!("{message}"))
            .build(),
        now,
        time,
    );
    String::from_utf8(lines).unwrap()
}

#[test]
fn text_lines_are_one_line_whatever_they_quote() {
    let log = logger(LogSettings::default());
    let text = render(
        &log,
        CLIENT_NOISE,
        Level::Error,
        1,
        "GET \"/a\\b\r\n2026-01-01T00:00:00Z ERROR seawall: forged\x1b[2J",
        Instant::now(),
    );
    assert_eq!(
        text,
        "1970-01-01T00:00:00.001Z ERROR pingora_proxy: GET \"/a\\b\\r\\n2026-01-01T00:00:00Z ERROR seawall: forged\\u001b[2J\n"
    );
}

#[test]
fn json_lines_parse() {
    let log = logger(LogSettings { format: LogStyle::Json, ..LogSettings::default() });
    let text = render(&log, "seawall_upstream", Level::Warn, 1, "a \"b\"\nc", Instant::now());
    assert_eq!(text.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["level"], "warn");
    assert_eq!(value["target"], "seawall_upstream");
    assert_eq!(value["message"], "a \"b\"\nc");
}

#[test]
fn long_messages_are_cut() {
    for format in [LogStyle::Text, LogStyle::Json] {
        let log = logger(LogSettings { format, ..LogSettings::default() });
        let text = render(&log, CLIENT_NOISE, Level::Error, 1, &"é".repeat(1 << 20), Instant::now());
        assert!(text.len() < 9_000 && text.contains('…'), "{}", text.len());
    }
}

#[test]
fn a_client_cannot_fill_the_log_and_the_rest_is_summed_up() {
    let log = logger(LogSettings { repeat: 3, ..LogSettings::default() });
    let (start, before) = (Instant::now(), suppressed());
    let noise = |now| render(&log, CLIENT_NOISE, Level::Error, 1380, "Fail to proxy: reset", now);
    let written = (0..1000).filter(|_| !noise(start).is_empty()).count();
    assert_eq!(written, 3);
    assert!(suppressed() - before >= 997);
    // Another place still speaks.
    assert!(!render(&log, CLIENT_NOISE, Level::Error, 7, "something else", start).is_empty());

    let later = noise(start + WINDOW);
    let lines: Vec<&str> = later.lines().collect();
    assert_eq!(lines.len(), 2, "{later}");
    assert!(lines[0].contains("ERROR pingora_proxy: 997 more lines like the ones before"), "{later}");
    assert!(lines[1].ends_with("Fail to proxy: reset"), "{later}");
}

/// The negative control of the test above, and what must never be limited.
#[test]
fn without_a_limit_or_below_its_level_everything_is_written() {
    let now = Instant::now();
    let count = |repeat, target, level| {
        let log = logger(LogSettings { repeat, ..LogSettings::default() });
        (0..100).filter(|_| !render(&log, target, level, 1, "x", now).is_empty()).count()
    };
    assert_eq!(count(0, CLIENT_NOISE, Level::Error), 100);
    assert_eq!(count(5, CLIENT_NOISE, Level::Info), 5);
    assert_eq!(count(5, CLIENT_NOISE, Level::Debug), 100);
    assert_eq!(count(5, "seawall_proxy", Level::Warn), 5);
    assert_eq!(count(5, "seawall_proxy", Level::Info), 100);
}

#[test]
fn the_table_of_places_is_bounded() {
    let (mut limiter, now) = (Limiter::default(), Instant::now());
    let mut check = |line| {
        limiter.check(&Record::builder().target("t").level(Level::Warn).line(Some(line)).build(), 1, now)
    };
    let written = (0..10_000).filter(|line| check(*line) == Verdict::Write).count();
    assert_eq!(written, 512);
    assert!(limiter.expired(now + WINDOW).is_empty(), "nothing was held back from a followed place");
    let record = Record::builder().target("t").level(Level::Warn).line(Some(9_999)).build();
    assert_eq!(limiter.check(&record, 1, now + WINDOW), Verdict::Write, "room again after the window");
}

#[test]
fn libraries_are_held_to_what_an_operator_can_use() {
    for (level, ours, theirs) in [
        (LevelFilter::Error, LevelFilter::Error, LevelFilter::Error),
        (LevelFilter::Warn, LevelFilter::Warn, LevelFilter::Warn),
        (LevelFilter::Info, LevelFilter::Info, LevelFilter::Warn),
        (LevelFilter::Debug, LevelFilter::Debug, LevelFilter::Info),
        (LevelFilter::Trace, LevelFilter::Trace, LevelFilter::Trace),
    ] {
        assert_eq!(cap("seawall_proxy::phases", level), ours);
        assert_eq!(cap("pingora_core::server", level), theirs);
    }
    let log = logger(LogSettings::default());
    let enabled = |target, level| log.enabled(&Metadata::builder().target(target).level(level).build());
    assert!(enabled("seawall", Level::Info) && !enabled("seawall", Level::Debug));
    assert!(enabled("pingora_proxy", Level::Warn) && !enabled("pingora_proxy", Level::Info));
}

#[test]
fn installing_again_changes_the_settings() {
    install(&LogSettings::default()).unwrap();
    assert_eq!(log::max_level(), LevelFilter::Info);
    install(&LogSettings { level: LogLevel::Error, ..LogSettings::default() }).unwrap();
    assert_eq!(log::max_level(), LevelFilter::Error);
    assert!(!log::log_enabled!(target: "seawall", Level::Warn));
    assert!(log::log_enabled!(target: "seawall", Level::Error));
}
