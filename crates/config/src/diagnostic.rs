//! What is wrong with a configuration, and where.

use std::fmt::Write as _;

use crate::{Document, Location, Path};

/// Whether Seawall refuses to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing starts.
    Error,
    /// It runs, but probably not as meant.
    Warning,
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The value it is about.
    pub path: Path,
    /// Where it was written, when the path alone would not find it.
    pub at: Option<Location>,
    /// Point at the key instead of the value.
    pub on_key: bool,
    /// One sentence, no full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Adds what to do about it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at the key instead of the value.
    pub fn on_key(&mut self) -> &mut Self {
        self.on_key = true;
        self
    }

    /// Where it stands in the document, as near as it can be told.
    #[must_use]
    pub fn location(&self, document: &Document) -> Option<Location> {
        if self.at.is_some() {
            return self.at;
        }
        let root = document.root();
        let mut path = self.path.clone();
        if self.on_key
            && let Some(at) = root.key_location(&path)
        {
            return Some(at);
        }
        loop {
            if let Some(node) = root.get(&path) {
                return Some(node.at);
            }
            if path.segments().is_empty() {
                return None;
            }
            path = path.parent();
        }
    }
}

/// Everything found in one run.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Reports an error at `path`.
    pub fn error(&mut self, path: &Path, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, path, None, message.into())
    }

    /// Reports a warning at `path`.
    pub fn warning(&mut self, path: &Path, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, path, None, message.into())
    }

    pub(crate) fn error_at(
        &mut self,
        path: &Path,
        at: Location,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Severity::Error, path, Some(at), message.into())
    }

    fn push(
        &mut self,
        severity: Severity,
        path: &Path,
        at: Option<Location>,
        message: String,
    ) -> &mut Diagnostic {
        self.found.push(Diagnostic { severity, path: path.clone(), at, on_key: false, message, hint: None });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Whether anything found forbids a start.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many of one severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|d| d.severity == severity).count()
    }

    /// How many findings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Ties the findings from number `from` on to their present places in `document`.
    pub(crate) fn fix_locations(&mut self, from: usize, document: &Document) {
        for found in self.found.iter_mut().skip(from) {
            found.at = found.location(document);
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The findings in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// All findings as text, in the order of the files' lines, each with its source line:
    ///
    /// ```text
    /// error: unknown key `upstrem`
    ///   --> conf/seawall.yaml:14:22
    ///    |
    /// 14 |       - { path: /, upstrem: app }
    ///    |                    ^^^^^^^
    ///    = hint: did you mean `upstream`?
    /// ```
    #[must_use]
    pub fn render(&self, document: &Document) -> String {
        let mut sorted: Vec<(Option<Location>, &Diagnostic)> =
            self.found.iter().map(|d| (d.location(document), d)).collect();
        sorted.sort_by_key(|(at, d)| (at.map(|l| (l.file, l.line, l.column)), d.severity));
        let mut text = String::new();
        for (at, diagnostic) in sorted {
            render_one(&mut text, document, at, diagnostic);
            text.push('\n');
        }
        text
    }
}

fn render_one(text: &mut String, document: &Document, at: Option<Location>, diagnostic: &Diagnostic) {
    let label = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{label}: {}", diagnostic.message);
    if let Some(at) = at {
        let number = at.line.to_string();
        let gutter = " ".repeat(number.len());
        let _ = writeln!(text, "{gutter} --> {}:{}:{}", document.file_name(at.file), at.line, at.column);
        if let Some(line) = document.line(at.file, at.line) {
            let _ = writeln!(text, "{gutter} |");
            let _ = writeln!(text, "{number} | {line}");
            let indent: String = line
                .chars()
                .take(at.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let _ = writeln!(text, "{gutter} | {indent}{}", "^".repeat(at.width.max(1)));
        }
        if let Some(hint) = &diagnostic.hint {
            let _ = writeln!(text, "{gutter} = hint: {hint}");
        }
    } else if let Some(hint) = &diagnostic.hint {
        let _ = writeln!(text, "  = hint: {hint}");
    }
}
