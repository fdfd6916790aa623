//! Every route of the API, in one table.

use http::Method;
use percent_encoding::percent_decode_str;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The process runs.
    Live,
    /// Requests should be sent here.
    Ready,
    /// The description of the API.
    OpenApi,
    /// The process in a few words.
    Status,
    /// The configuration in effect.
    Plan,
    /// All pools.
    Pools,
    /// One pool.
    Pool,
    /// Orders for a server.
    Order,
    /// The cache in numbers.
    Cache,
    /// Takes a response out of the cache.
    Purge,
    /// Client connections in numbers.
    Connections,
    /// Certificates and their dates.
    Certificates,
    /// The level of the process log.
    Log,
    /// Sets it.
    SetLog,
    /// Reads the configuration anew.
    Reload,
    /// Exchanges the process for a new one.
    Upgrade,
    /// Ends the process.
    Stop,
}

/// A method and a path with at most one `{…}` segment.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method; HEAD is answered like GET.
    pub method: Method,
    /// The path.
    pub path: &'static str,
    /// What it does.
    pub action: Action,
    /// Its name in metrics.
    pub name: &'static str,
    /// Whether anybody may ask who reaches the listener: probes have no token.
    pub open: bool,
}

const fn route(method: Method, path: &'static str, action: Action, name: &'static str, open: bool) -> Route {
    Route { method, path, action, name, open }
}

/// The API.
pub const ROUTES: [Route; 17] = [
    route(Method::GET, "/livez", Action::Live, "livez", true),
    route(Method::GET, "/readyz", Action::Ready, "readyz", true),
    route(Method::GET, "/openapi.yaml", Action::OpenApi, "openapi", false),
    route(Method::GET, "/v1/status", Action::Status, "status", false),
    route(Method::GET, "/v1/plan", Action::Plan, "plan", false),
    route(Method::GET, "/v1/pools", Action::Pools, "pools", false),
    route(Method::GET, "/v1/pools/{pool}", Action::Pool, "pool", false),
    route(Method::POST, "/v1/pools/{pool}/servers", Action::Order, "order", false),
    route(Method::GET, "/v1/cache", Action::Cache, "cache", false),
    route(Method::POST, "/v1/purge", Action::Purge, "purge", false),
    route(Method::GET, "/v1/connections", Action::Connections, "connections", false),
    route(Method::GET, "/v1/certificates", Action::Certificates, "certificates", false),
    route(Method::GET, "/v1/log", Action::Log, "log", false),
    route(Method::PUT, "/v1/log", Action::SetLog, "log", false),
    route(Method::POST, "/v1/reload", Action::Reload, "reload", false),
    route(Method::POST, "/v1/upgrade", Action::Upgrade, "upgrade", false),
    route(Method::POST, "/v1/stop", Action::Stop, "stop", false),
];

/// What a request leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This route, with the value of its `{…}` segment.
    Route(&'static str, Action, bool, Option<String>),
    /// The path exists with these methods.
    OtherMethods(String),
    /// No such path.
    Nothing,
}

/// Finds the route of a request.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    let asked = if method == Method::HEAD { &Method::GET } else { method };
    let mut allowed = Vec::new();
    for route in ROUTES {
        let Some(parameter) = matches(route.path, path) else { continue };
        if route.method == *asked {
            return Found::Route(route.name, route.action, route.open, parameter);
        }
        allowed.push(route.method.to_string());
    }
    if allowed.is_empty() { Found::Nothing } else { Found::OtherMethods(allowed.join(", ")) }
}

/// `Some` when the path is one of the pattern; inside, the decoded value of its `{…}` segment.
fn matches(pattern: &str, path: &str) -> Option<Option<String>> {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    let mut parameter = None;
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(parameter),
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {
                parameter = Some(percent_decode_str(given).decode_utf8().ok()?.into_owned());
            }
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Found, find};
    use http::Method;

    #[test]
    fn paths_and_methods() {
        let pool = |name: &str| Found::Route("pool", Action::Pool, false, Some(name.into()));
        assert_eq!(find(&Method::GET, "/v1/pools/app"), pool("app"));
        assert_eq!(find(&Method::HEAD, "/v1/pools/a%2Fb%20c"), pool("a/b c"));
        assert_eq!(find(&Method::POST, "/v1/status"), Found::OtherMethods("GET".into()));
        assert_eq!(find(&Method::DELETE, "/v1/log"), Found::OtherMethods("GET, PUT".into()));
        for nothing in ["", "/", "/v1", "/v1/pools/", "/v1/status/", "/v1/pools/a/b", "/v1/pools/%ff"] {
            assert_eq!(find(&Method::GET, nothing), Found::Nothing, "{nothing}");
        }
        assert_eq!(find(&Method::GET, "/readyz"), Found::Route("readyz", Action::Ready, true, None));
    }
}
