//! Patterns by their segments.
//!
//! Not `matchit`: it refuses sets that an operator may well write (`/cmd/{tool}/x` beside `/cmd/{*rest}`),
//! and it gives the best match only, while a route that does not take the method must let the search go on.

use std::ops::ControlFlow;

use ahash::AHashMap;

use super::methods::MethodTable;
use crate::pattern::Segment;

/// A node is a place in the pattern; the children are tried in the order of precedence.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The patterns that end here.
    end: Option<MethodTable>,
    literals: AHashMap<String, Tree>,
    one: Option<Box<Tree>>,
    /// The patterns that end in a `{*rest}` here.
    rest: Option<MethodTable>,
}

impl Tree {
    /// The table of a pattern, made when it is not there.
    pub(crate) fn entry(&mut self, segments: &[Segment]) -> &mut MethodTable {
        match segments.split_first() {
            None => self.end.get_or_insert_default(),
            Some((Segment::Literal(text), after)) => {
                self.literals.entry(text.clone()).or_default().entry(after)
            }
            Some((Segment::One, after)) => self.one.get_or_insert_default().entry(after),
            Some((Segment::Rest, _)) => self.rest.get_or_insert_default(),
        }
    }

    /// Visits the tables of the patterns that cover `path`, the first in precedence first, with what their
    /// placeholders matched in `values`.
    ///
    /// Each node is visited once at most, and it nests as deep as the longest pattern, whatever the path.
    pub(crate) fn walk<'t, 'p, B>(
        &'t self,
        path: Option<&'p str>,
        values: &mut Vec<&'p str>,
        visit: &mut impl FnMut(&'t MethodTable, &[&'p str]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(path) = path else {
            return self.end.as_ref().map_or(ControlFlow::Continue(()), |table| visit(table, values));
        };
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        if let Some(child) = self.literals.get(segment) {
            child.walk(after, values, visit)?;
        }
        if let Some(child) = &self.one
            && !segment.is_empty()
        {
            values.push(segment);
            child.walk(after, values, visit)?;
            values.pop();
        }
        if let Some(table) = &self.rest {
            values.push(path);
            visit(table, values)?;
            values.pop();
        }
        ControlFlow::Continue(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.one.is_none() && self.rest.is_none()
    }
}
