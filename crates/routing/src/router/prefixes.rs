use std::ops::ControlFlow;

use ahash::AHashMap;

use super::methods::MethodTable;

/// Path prefixes, without the slash at the end.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    tables: AHashMap<String, MethodTable>,
    /// The slashes of the prefix that has most. What is deeper need not be looked up, so that a path of a
    /// thousand slashes costs no more than a path of this many.
    depth: usize,
}

impl Prefixes {
    /// The table of a prefix, made when it is not there.
    pub(crate) fn entry(&mut self, prefix: &str) -> &mut MethodTable {
        self.depth = self.depth.max(prefix.matches('/').count());
        self.tables.entry(prefix.to_owned()).or_default()
    }

    /// Visits the tables of the prefixes of `path`, the longest first.
    pub(crate) fn walk<'t, B>(
        &'t self,
        path: &str,
        visit: &mut impl FnMut(&'t MethodTable) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if self.tables.is_empty() {
            return ControlFlow::Continue(());
        }
        let cut = path.match_indices('/').nth(self.depth).map_or(path.len(), |(at, _)| at);
        let mut candidate = path.get(..cut);
        while let Some(prefix) = candidate {
            if let Some(table) = self.tables.get(prefix) {
                visit(table)?;
            }
            candidate = prefix.rsplit_once('/').map(|(above, _)| above);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::Prefixes;
    use http::Method;
    use std::ops::ControlFlow;

    fn order(prefixes: &Prefixes, path: &str) -> Vec<usize> {
        let mut found = Vec::new();
        let _ = prefixes.walk(path, &mut |table| {
            found.extend(table.find(&Method::GET));
            ControlFlow::<()>::Continue(())
        });
        found
    }

    #[test]
    fn longest_first_and_cut_at_slashes() {
        let mut prefixes = Prefixes::default();
        for (route, prefix) in ["", "/a", "/a/b", "/a//b", "/c/d/e"].iter().enumerate() {
            prefixes.entry(prefix).add(route, &[]);
        }
        for (path, expected) in [
            ("/", vec![0]),
            ("/a", vec![1, 0]),
            ("/a/", vec![1, 0]),
            ("/ab", vec![0]),
            ("/a/b/c/d/e/f", vec![2, 1, 0]),
            ("/a//b/c", vec![3, 1, 0]),
            ("/c/d", vec![0]),
            ("/c/d/e", vec![4, 0]),
        ] {
            assert_eq!(order(&prefixes, path), expected, "{path}");
        }
        assert_eq!(order(&prefixes, &"/".repeat(60_000)), [0]);
    }
}
