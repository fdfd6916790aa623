use std::ops::ControlFlow;
use std::sync::Arc;

use ahash::AHashMap;

use super::methods::MethodTable;
use super::prefixes::Prefixes;
use super::tree::Tree;
use crate::condition::{Condition, Kind};
use crate::path_regex::PathRegex;
use crate::{Captures, Matcher};

/// The routes of one site by their path conditions.
#[derive(Debug, Default)]
pub(crate) struct PathTable {
    exact: AHashMap<String, MethodTable>,
    patterns: Tree,
    /// In the order of the file. They are tried one after another, so many of them cost time.
    regexes: Vec<(PathRegex, MethodTable)>,
    prefixes: Prefixes,
}

/// How a table came to cover the path.
#[derive(Debug)]
pub(crate) enum Hit<'h> {
    /// Without captures.
    Plain,
    /// What the placeholders of a pattern matched.
    Values(&'h [&'h str]),
    /// By this regex.
    Regex(&'h PathRegex),
}

impl Hit<'_> {
    /// What was captured; `names` are the winning route's own.
    pub(crate) fn captures(&self, names: &[Arc<str>], path: &str) -> Captures {
        match self {
            Self::Plain => Captures::default(),
            Self::Values(values) => names.iter().zip(values.iter().copied()).collect(),
            Self::Regex(regex) => regex.captures(path),
        }
    }
}

impl PathTable {
    /// Adds a route, in the order of the file.
    pub(crate) fn add(&mut self, route: usize, matcher: &Matcher) {
        self.entry(&matcher.condition).add(route, &matcher.methods);
    }

    /// The table of a condition, made when it is not there.
    fn entry(&mut self, condition: &Condition) -> &mut MethodTable {
        match &condition.0 {
            Kind::Exact(path) => self.exact.entry(path.clone()).or_default(),
            Kind::Pattern(pattern) => self.patterns.entry(pattern.segments()),
            Kind::Prefix(prefix) => self.prefixes.entry(prefix),
            Kind::Regex(regex) => {
                let same = self.regexes.iter().position(|(own, _)| own.as_str() == regex.as_str());
                let index = same.unwrap_or_else(|| {
                    self.regexes.push((regex.clone(), MethodTable::default()));
                    self.regexes.len() - 1
                });
                &mut self.regexes[index].1
            }
        }
    }

    /// Visits the tables of the conditions that cover `path`, the first in precedence first, until `visit`
    /// breaks.
    pub(crate) fn walk<'t, B>(
        &'t self,
        path: &str,
        visit: &mut impl FnMut(&'t MethodTable, Hit<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(table) = self.exact.get(path) {
            visit(table, Hit::Plain)?;
        }
        if !self.patterns.is_empty()
            && let Some(body) = path.strip_prefix('/')
        {
            // An empty Vec takes no memory; patterns without placeholders never fill it.
            self.patterns
                .walk(Some(body), &mut Vec::new(), &mut |table, values| visit(table, Hit::Values(values)))?;
        }
        for (regex, table) in &self.regexes {
            if regex.matches(path) {
                visit(table, Hit::Regex(regex))?;
            }
        }
        self.prefixes.walk(path, &mut |table| visit(table, Hit::Plain))
    }
}
