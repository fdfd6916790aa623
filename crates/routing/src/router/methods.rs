use http::Method;

/// The routes that share one path condition, by method.
#[derive(Debug, Default)]
pub(crate) struct MethodTable {
    named: Vec<Named>,
    /// The route without methods.
    any: Option<usize>,
}

#[derive(Debug)]
struct Named {
    method: Method,
    route: usize,
    /// HEAD that came with GET; a route that lists HEAD takes its place.
    implied: bool,
}

impl MethodTable {
    /// Adds a route, in the order of the file. What an earlier route has taken it keeps.
    pub(crate) fn add(&mut self, route: usize, methods: &[Method]) {
        if methods.is_empty() {
            self.any.get_or_insert(route);
        }
        for method in methods {
            self.name(method, route, false);
        }
        if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
            self.name(&Method::HEAD, route, true);
        }
    }

    fn name(&mut self, method: &Method, route: usize, implied: bool) {
        match self.named.iter_mut().find(|own| own.method == *method) {
            Some(own) if own.implied && !implied => {
                own.route = route;
                own.implied = false;
            }
            Some(_) => {}
            None => self.named.push(Named { method: method.clone(), route, implied }),
        }
    }

    /// The route that takes `method`.
    pub(crate) fn find(&self, method: &Method) -> Option<usize> {
        self.named.iter().find(|own| own.method == *method).map(|own| own.route).or(self.any)
    }

    /// The methods that are listed.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &Method> {
        self.named.iter().map(|own| &own.method)
    }

    /// The route that takes all methods that are not listed.
    pub(crate) fn any(&self) -> Option<usize> {
        self.any
    }
}

#[cfg(test)]
mod tests {
    use super::MethodTable;
    use http::Method;

    #[test]
    fn listed_goes_before_implied_before_any() {
        let mut table = MethodTable::default();
        table.add(0, &[]);
        table.add(1, &[Method::GET]);
        table.add(2, &[Method::GET, Method::HEAD]);
        table.add(3, &[]);
        assert_eq!(table.find(&Method::GET), Some(1));
        assert_eq!(table.find(&Method::HEAD), Some(2));
        assert_eq!(table.find(&Method::POST), Some(0));
        assert_eq!(table.any(), Some(0));
    }

    #[test]
    fn get_includes_head() {
        let mut table = MethodTable::default();
        table.add(0, &[Method::GET]);
        assert_eq!(table.find(&Method::HEAD), Some(0));
        assert_eq!(table.find(&Method::POST), None);
    }
}
