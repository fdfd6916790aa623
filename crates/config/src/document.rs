//! A configuration as read from disk: its files, its tree, and what decoding took out of it.

use std::path::{Path as FilePath, PathBuf};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_yaml::Value;

use crate::environment::substitute;
use crate::node::{Location, Node, NodeValue};
use crate::path::Path;
use crate::{Diagnostics, include};

/// Values in one configuration, aliases expanded. Above it a few lines of nested aliases could eat all memory.
const MAX_NODES: usize = 1_000_000;
/// Lists and maps inside each other.
const MAX_DEPTH: usize = 64;
/// Bytes of one file.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A parsed configuration with the text of every file that went into it.
#[derive(Debug)]
pub struct Document {
    pub(crate) files: Vec<Source>,
    pub(crate) root: Node,
    pub(crate) pruned: Vec<Path>,
}

#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
}

impl Document {
    /// Reads `file` and the site files its `include:` names, with variables from the process environment.
    ///
    /// Whatever is wrong goes to `out`. The document comes back even when it has errors (as far as it could
    /// be read), so that the diagnostics can be rendered with their source lines.
    #[must_use]
    pub fn load(file: &FilePath, out: &mut Diagnostics) -> Self {
        let mut document = Self::empty();
        if let Some(root) = document.read(file, out, &|name| std::env::var(name).ok()) {
            document.root = root;
            include::resolve(&mut document, file, out);
        }
        document
    }

    /// Parses `text` as if it had been read from a file called `name`. Includes are not followed.
    /// `None` only when the text is not YAML at all; the reason is in `out`.
    pub fn from_text(name: &str, text: &str, out: &mut Diagnostics) -> Option<Self> {
        let mut document = Self::empty();
        let root = document.parse(name, text.to_owned(), out, &|name| std::env::var(name).ok())?;
        document.root = root;
        Some(document)
    }

    fn empty() -> Self {
        let at = Location { file: 0, line: 1, column: 1, width: 1 };
        Self { files: Vec::new(), root: Node { at, value: NodeValue::Map(Vec::new()) }, pruned: Vec::new() }
    }

    /// The tree, without what decoding had to take out.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Whether decoding took out something at or below `path`: a later check must then not complain that it
    /// is missing.
    #[must_use]
    pub fn is_pruned(&self, path: &Path) -> bool {
        self.pruned.iter().any(|pruned| pruned.starts_with(path))
    }

    /// The name of a file as it was given.
    #[must_use]
    pub fn file_name(&self, file: usize) -> &str {
        self.files.get(file).map_or("?", |source| source.name.as_str())
    }

    /// A line of a file, from 1.
    #[must_use]
    pub fn line(&self, file: usize, line: usize) -> Option<&str> {
        self.files.get(file)?.text.lines().nth(line.checked_sub(1)?)
    }

    /// Every file that was read, in order.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|source| source.name.as_str())
    }

    pub(crate) fn read(
        &mut self,
        file: &FilePath,
        out: &mut Diagnostics,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Node> {
        let text = match read_text(file) {
            Ok(text) => text,
            Err(why) => {
                out.error(&Path::root(), format!("cannot read `{}`: {why}", file.display()));
                return None;
            }
        };
        self.parse(&file.display().to_string(), text, out, env)
    }

    fn parse(
        &mut self,
        name: &str,
        text: String,
        out: &mut Diagnostics,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Node> {
        let file = self.files.len();
        self.files.push(Source { name: name.to_owned(), text: text.clone() });
        let mut builder = Builder { file, out, env, anchors: Vec::new(), nodes: 0, failed: false };
        let mut parser = Parser::new_from_str(&text);
        builder.document(&mut parser)
    }
}

fn read_text(file: &FilePath) -> Result<String, String> {
    let meta = std::fs::metadata(file).map_err(|e| describe(&e))?;
    if meta.is_dir() {
        return Err("it is a folder".into());
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    let bytes = std::fs::read(file).map_err(|e| describe(&e))?;
    String::from_utf8(bytes).map_err(|e| format!("it is not UTF-8 (byte {})", e.utf8_error().valid_up_to()))
}

/// An I/O error without the number that Rust appends.
pub(crate) fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or folder".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

/// `folder/name` as seen from the file that mentions it.
pub(crate) fn relative_to(file: &FilePath, name: &str) -> PathBuf {
    file.parent().unwrap_or(FilePath::new("")).join(name)
}

struct Builder<'a> {
    file: usize,
    out: &'a mut Diagnostics,
    env: &'a dyn Fn(&str) -> Option<String>,
    anchors: Vec<(usize, Node)>,
    nodes: usize,
    failed: bool,
}

type Input<'i> = Parser<'i, saphyr_parser::StrInput<'i>>;

impl Builder<'_> {
    fn document(&mut self, parser: &mut Input<'_>) -> Option<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next(parser)?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) => {
                    if root.is_some() {
                        let at = self.location(&span);
                        self.out.error_at(&Path::root(), at, "a second YAML document begins here").hint =
                            Some("a configuration is one document: remove the `---`".into());
                        return None;
                    }
                }
                event => root = Some(self.value(event, span, parser, &Path::root(), 0)?),
            }
        }
        if self.failed && root.is_none() {
            return None;
        }
        let empty_at = Location { file: self.file, line: 1, column: 1, width: 1 };
        let root = root.unwrap_or(Node { at: empty_at, value: NodeValue::Map(Vec::new()) });
        match root.value {
            NodeValue::Scalar(Value::Null) => Some(Node { at: root.at, value: NodeValue::Map(Vec::new()) }),
            NodeValue::Map(_) | NodeValue::List(_) => Some(root),
            NodeValue::Scalar(_) => {
                self.out.error_at(&Path::root(), root.at, "expected a map of settings");
                None
            }
        }
    }

    fn next<'i>(&mut self, parser: &mut Input<'i>) -> Option<(Event<'i>, Span)> {
        match parser.next_event()? {
            Ok(event) => Some(event),
            Err(error) => {
                let at = error.marker();
                let at = Location { file: self.file, line: at.line(), column: at.col() + 1, width: 1 };
                self.out.error_at(&Path::root(), at, format!("this is not valid YAML: {}", error.info()));
                self.failed = true;
                None
            }
        }
    }

    fn value<'i>(
        &mut self,
        event: Event<'i>,
        span: Span,
        parser: &mut Input<'i>,
        path: &Path,
        depth: usize,
    ) -> Option<Node> {
        let at = self.location(&span);
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            let limit = if depth > MAX_DEPTH { "nested too deeply" } else { "too many values" };
            self.out.error_at(path, at, limit.to_owned());
            return None;
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
                    self.out.error_at(path, at, format!("the YAML tag `{tag}` has no meaning here"));
                }
                (NodeValue::Scalar(self.scalar(&text, style, path, at)), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next(parser)?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    items.push(self.value(event, span, parser, &path.index(items.len()), depth + 1)?);
                }
                (NodeValue::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => (self.map(parser, path, depth)?, anchor),
            Event::Alias(id) => {
                let Some((_, node)) = self.anchors.iter().find(|(anchor, _)| *anchor == id) else {
                    self.out.error_at(path, at, "an alias to an anchor that is not complete here");
                    return None;
                };
                let node = node.clone();
                self.nodes += count(&node);
                if self.nodes > MAX_NODES {
                    self.out.error_at(path, at, "too many values once aliases are expanded");
                    return None;
                }
                (node.value, 0)
            }
            _ => {
                self.out.error_at(path, at, "this is not valid YAML: unexpected token");
                return None;
            }
        };
        let node = Node { at, value };
        if anchor > 0 {
            self.anchors.push((anchor, node.clone()));
        }
        Some(node)
    }

    fn map<'i>(&mut self, parser: &mut Input<'i>, path: &Path, depth: usize) -> Option<NodeValue> {
        let mut entries: Vec<(String, Location, Node)> = Vec::new();
        loop {
            let (event, span) = self.next(parser)?;
            let key = match event {
                Event::MappingEnd => return Some(NodeValue::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => {
                    let at = self.location(&span);
                    self.out.error_at(path, at, "a key must be plain text");
                    return None;
                }
            };
            let key_at = self.location(&span);
            let (event, span) = self.next(parser)?;
            let value = self.value(event, span, parser, &path.key(&key), depth + 1)?;
            if let Some((_, first, _)) = entries.iter().find(|(name, ..)| *name == key) {
                let line = first.line;
                self.out
                    .error_at(path, key_at, format!("the key `{key}` is given twice"))
                    .hint(format!("it was first given on line {line}"));
            } else {
                if key == "<<" {
                    self.out.error_at(path, key_at, "the merge key `<<` is not supported").hint(
                        "write the keys out, or anchor whole values (`&name`) and repeat them (`*name`)",
                    );
                    continue;
                }
                entries.push((key, key_at, value));
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, path: &Path, at: Location) -> Value {
        let text = match substitute(text, self.env) {
            Ok(None) => text.to_owned(),
            Ok(Some(text)) => text,
            Err(error) => {
                let mut found = self.out.error_at(path, at, error.to_string());
                if matches!(error, crate::environment::SubstituteError::Unset(_)) {
                    found = found.hint("set it, or give a default: `${NAME:-default}`");
                }
                let _ = found;
                String::new()
            }
        };
        if style != ScalarStyle::Plain {
            return Value::String(text);
        }
        // `serde_yaml` decides what a plain scalar is, so that our tree and its types can never disagree.
        match serde_yaml::from_str::<Value>(&text) {
            Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value,
            _ => Value::String(text),
        }
    }

    fn location(&self, span: &Span) -> Location {
        let width = if span.start.line() == span.end.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            1
        };
        Location {
            file: self.file,
            line: span.start.line(),
            column: span.start.col() + 1,
            width: width.max(1),
        }
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        NodeValue::Scalar(_) => 0,
        NodeValue::List(items) => items.iter().map(count).sum(),
        NodeValue::Map(entries) => entries.iter().map(|(_, _, value)| count(value)).sum(),
    }
}
