use super::FilesSettings;
use crate::{FilesError, FilesOrigin};
use seawall_config::{Diagnostics, Document, Path, Short};
use std::path::Path as FilePath;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    files: Short<FilesSettings>,
}

/// Decodes, checks against `base`, and renders what was found.
fn read(yaml: &str, base: &FilePath) -> (Option<FilesSettings>, String) {
    let mut out = Diagnostics::default();
    let mut document = Document::from_text("seawall.yaml", yaml, &mut out).unwrap();
    let pool: Option<Pool> = document.decode(&mut out);
    if let Some(pool) = &pool {
        pool.files.check(&Path::root().key("files"), &mut out, base);
    }
    (pool.map(|pool| pool.files.0), out.render(&document))
}

#[test]
fn short_and_long_forms_agree() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("site")).unwrap();
    let (short, said) = read("files: ./site\n", dir.path());
    assert_eq!(said, "");
    let (long, said) = read("files: { root: ./site }\n", dir.path());
    assert_eq!(said, "");
    assert_eq!(short, long);
    let settings = short.unwrap();
    assert_eq!(settings.index.to_vec(), ["index.html"]);
    assert!(!settings.dot_files && settings.cache_control.is_none());
    let again: FilesSettings = serde_yaml::from_str(&serde_yaml::to_string(&settings).unwrap()).unwrap();
    assert_eq!(again, settings);
}

#[test]
fn every_setting_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "files:\n  root: .\n  index: [a.htm, b.htm]\n  cache_control: public, max-age=60\n  dot_files: true\n  \
                max_connections: 7\n  max_waiting: 8\n  wait: 250ms\n  max_reads: 9\n";
    let (settings, said) = read(yaml, dir.path());
    assert_eq!(said, "");
    let settings = settings.unwrap();
    assert_eq!(settings.index.to_vec(), ["a.htm", "b.htm"]);
    assert_eq!(settings.cache_control.as_deref(), Some("public, max-age=60"));
    assert_eq!(
        (
            settings.dot_files,
            settings.max_connections,
            settings.max_waiting,
            settings.wait.duration().as_millis()
        ),
        (true, 7, 8, 250)
    );
}

#[test]
fn every_problem_is_reported_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    for (yaml, expected) in [
        ("files: ./nowhere\n", vec!["seawall.yaml:1:8", "cannot read the folder", "started in"]),
        ("files: ./file\n", vec!["is not a folder"]),
        ("files: \"\"\n", vec!["no folder to serve was given"]),
        ("files: { index: [a.html] }\n", vec!["root"]),
        ("files: { root: ., listing: true }\n", vec!["unknown key `listing`"]),
        ("files: { root: ., max_connections: 0 }\n", vec!["seawall.yaml:1:36", "at least one connection"]),
        ("files: { root: ., max_reads: 0 }\n", vec!["at least one read"]),
        ("files: { root: ., index: [a/b, ..] }\n", vec!["`a/b` is not", "`..` is not"]),
        ("files: { root: ., cache_control: \"a\\nb\" }\n", vec!["cannot be sent as a header value"]),
        ("files: { root: ., cache_control: \" \" }\n", vec!["cannot be sent as a header value"]),
        ("files: { root: ., wait: 0, max_waiting: 5 }\n", vec!["warning", "no request ever waits"]),
        ("files: /\n", vec!["warning", "every file of the machine"]),
    ] {
        let (_, said) = read(yaml, dir.path());
        for part in expected {
            assert!(said.contains(part), "{yaml}: {part:?} not in\n{said}");
        }
    }
    let (_, said) = read("files: { root: ./nowhere, max_connections: 0, index: a/b }\n", dir.path());
    assert_eq!(said.matches("error:").count(), 3, "{said}");
    let (_, said) = read("files: { root: ., wait: 0 }\n", dir.path());
    assert_eq!(said, "", "refusing at once is a choice");
}

#[test]
fn the_origin_refuses_what_the_check_reports() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| FilesSettings::for_root(dir.path().join(name));
    std::fs::write(dir.path().join("file"), "x").unwrap();
    assert!(matches!(FilesOrigin::new(&at("nowhere")), Err(FilesError::Unreadable { .. })));
    assert!(matches!(FilesOrigin::new(&at("file")), Err(FilesError::NotAFolder { .. })));
    assert!(matches!(FilesOrigin::new(&FilesSettings::for_root("")), Err(FilesError::NoRoot)));
    let none = FilesSettings { max_connections: 0, ..at(".") };
    assert!(matches!(FilesOrigin::new(&none), Err(FilesError::NoConnections)));
    let index = FilesSettings { index: vec!["../x".to_owned()].into(), ..at(".") };
    assert!(matches!(FilesOrigin::new(&index), Err(FilesError::Index { .. })));
    let header = FilesSettings { cache_control: Some("a\u{7f}".into()), ..at(".") };
    assert!(matches!(FilesOrigin::new(&header), Err(FilesError::CacheControl { .. })));
    assert!(FilesOrigin::new(&at(".")).is_ok());
}

#[test]
fn the_reference_shows_every_key_with_its_default() {
    let reference = seawall_config::markdown_reference(&seawall_config::strict_schema::<FilesSettings>());
    let row = |key: &str| {
        let start = format!("| `{key}` |");
        reference
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap_or_else(|| panic!("{key} in\n{reference}"))
    };
    for (key, default) in [
        ("root", "required"),
        ("index", "index.html"),
        ("dot_files", "`false`"),
        ("max_connections", "`512`"),
        ("max_waiting", "`1024`"),
        ("wait", "`1s`"),
        ("max_reads", "`32`"),
        ("cache_control", "–"),
    ] {
        assert!(row(key).contains(default), "{}", row(key));
    }
}
