use super::{AccessLogSettings, LogFormat, LogSettings, MetricsSettings};
use seawall_config::{Diagnostics, Path, Severity};

fn found(check: impl FnOnce(&Path, &mut Diagnostics)) -> Vec<(Severity, String, String)> {
    let mut out = Diagnostics::default();
    check(&Path::root().key("it"), &mut out);
    out.iter().map(|d| (d.severity, d.path.to_string(), d.message.clone())).collect()
}

fn metrics(listen: &str) -> Vec<(Severity, String, String)> {
    let settings = MetricsSettings { listen: Some(listen.to_owned()), ..MetricsSettings::default() };
    found(|at, out| settings.check(at, out))
}

#[test]
fn defaults_are_sound() {
    assert_eq!(found(|at, out| MetricsSettings::default().check(at, out)), []);
    assert_eq!(found(|at, out| AccessLogSettings::default().check(at, out)), []);
    assert_eq!(found(|at, out| LogSettings::default().check(at, out)), []);
}

#[test]
fn somebody_must_be_able_to_read_the_metrics() {
    let none = MetricsSettings { max_connections: 0, ..MetricsSettings::default() };
    let found = found(|at, out| none.check(at, out));
    assert_eq!((found.len(), found[0].1.as_str()), (1, "it.max_connections"));
}

#[test]
fn metrics_addresses() {
    assert_eq!(metrics("127.0.0.1:9091"), []);
    assert_eq!(metrics("[::1]:9091"), []);
    for bad in ["9091", ":9091", "localhost:9091", "127.0.0.1", "127.0.0.1:0", ""] {
        let found = metrics(bad);
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
        assert_eq!((found[0].0, found[0].1.as_str()), (Severity::Error, "it.listen"), "{bad}");
    }
    for open in ["0.0.0.0:9091", "[::]:9091"] {
        assert_eq!(metrics(open)[0].0, Severity::Warning, "{open}");
    }
}

#[test]
fn access_log_limits_are_told_by_key() {
    let yaml = "{ format: combined, path: /, buffer: 1KiB, flush: 0, max_field: 1GiB }";
    let settings: AccessLogSettings = serde_yaml::from_str(yaml).unwrap();
    assert_eq!(settings.format, LogFormat::Combined);
    let keys: Vec<String> = found(|at, out| settings.check(at, out)).into_iter().map(|f| f.1).collect();
    assert_eq!(keys, ["it.path", "it.buffer", "it.max_field", "it.flush"]);
}

#[test]
fn an_unlimited_log_is_warned_about() {
    let settings = LogSettings { repeat: 0, ..LogSettings::default() };
    assert_eq!(found(|at, out| settings.check(at, out))[0].0, Severity::Warning);
}

#[test]
fn unknown_keys_are_refused_and_defaults_survive_a_round_trip() {
    assert!(serde_yaml::from_str::<AccessLogSettings>("{ file: x }").is_err());
    assert!(serde_yaml::from_str::<LogSettings>("{ level: loud }").is_err());
    assert!(serde_yaml::from_str::<MetricsSettings>("{ port: 1 }").is_err());
    let text = serde_yaml::to_string(&AccessLogSettings::default()).unwrap();
    assert_eq!(serde_yaml::from_str::<AccessLogSettings>(&text).unwrap(), AccessLogSettings::default());
}
