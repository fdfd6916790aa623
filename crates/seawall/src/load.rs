//! A configuration file, read and checked whole.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use seawall_config::{Diagnostics, Document, Severity};

use crate::check::check;
use crate::settings::Settings;

/// What came of reading a file.
pub(crate) struct Loaded {
    pub(crate) document: Document,
    pub(crate) diagnostics: Diagnostics,
    /// The settings; trustworthy only without errors.
    pub(crate) settings: Option<Settings>,
    /// The files as they were when they were read, and the folders some were found in.
    pub(crate) files: Vec<Seen>,
}

/// What a file looked like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    path: PathBuf,
    /// Inode, length and time of change; `None` when it was not there.
    state: Option<(u64, u64, SystemTime)>,
}

impl Seen {
    /// The file as it is now.
    pub(crate) fn now(path: &Path) -> Self {
        let meta = std::fs::metadata(path).ok();
        let state = meta.and_then(|meta| Some((meta.ino(), meta.size(), meta.modified().ok()?)));
        Self { path: path.to_owned(), state }
    }

    /// The same file, looked at again.
    pub(crate) fn again(&self) -> Self {
        Self::now(&self.path)
    }
}

impl Loaded {
    /// Reads, decodes and checks `file`.
    pub(crate) fn read(file: &Path) -> Self {
        // Before it is read: what changes meanwhile is then seen as a change.
        let mut files = vec![Seen::now(file)];
        let mut diagnostics = Diagnostics::default();
        let mut document = Document::load(file, &mut diagnostics);
        let unreadable = document.file_names().next().is_none();
        let settings: Option<Settings> = if unreadable { None } else { document.decode(&mut diagnostics) };
        // A file that is not YAML has one error; that it then also lacks everything is no news.
        let broken = diagnostics.has_errors()
            && document.root().to_value().as_mapping().is_none_or(|map| map.is_empty());
        if let Some(settings) = settings.as_ref().filter(|_| !broken) {
            check(settings, &document, &mut diagnostics);
        }
        let others = document.file_names().map(PathBuf::from).filter(|name| name != file);
        files.extend(others.map(|name| Seen::now(&name)));
        let folder = file.parent().unwrap_or(Path::new(""));
        let included =
            settings.iter().flat_map(|settings| settings.include.iter()).flat_map(|list| list.iter());
        let folders = included.map(|name| folder.join(name)).filter(|path| path.is_dir());
        files.extend(folders.map(|path| Seen::now(&path)));
        Self { document, diagnostics, settings, files }
    }

    /// The settings, when nothing forbids to run them.
    pub(crate) fn sound(&self) -> Option<&Settings> {
        self.settings.as_ref().filter(|_| !self.diagnostics.has_errors())
    }

    /// All findings with their lines, and a count.
    pub(crate) fn report(&self) -> String {
        let mut text = self.diagnostics.render(&self.document);
        let errors = self.diagnostics.count(Severity::Error);
        let warnings = self.diagnostics.count(Severity::Warning);
        if errors + warnings > 0 {
            text.push_str(&format!("{} and {}\n", plural(errors, "error"), plural(warnings, "warning")));
        }
        text
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
