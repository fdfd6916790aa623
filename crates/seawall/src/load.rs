//! A configuration file, read and checked whole.

use std::path::Path;

use seawall_config::{Diagnostics, Document, Severity};

use crate::check::check;
use crate::settings::Settings;

/// What came of reading a file.
pub(crate) struct Loaded {
    pub(crate) document: Document,
    pub(crate) diagnostics: Diagnostics,
    /// The settings; trustworthy only without errors.
    pub(crate) settings: Option<Settings>,
}

impl Loaded {
    /// Reads, decodes and checks `file`.
    pub(crate) fn read(file: &Path) -> Self {
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
        Self { document, diagnostics, settings }
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
