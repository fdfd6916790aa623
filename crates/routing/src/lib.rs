//! Host, path and method to a route; rewrites, redirects, header changes.
//!
//! # Which route a request takes
//!
//! The **host** chooses the site, the first of:
//! 1. a site that names the host exactly;
//! 2. the site with the longest wildcard above it: for `a.b.example.com` that is `*.b.example.com`, then
//!    `*.example.com`, then `*.com`. A wildcard stands for one or more labels and never for none;
//! 3. the default site (`default: true`, or the host `*`).
//!
//! With none of them the host is unknown (421). A site that was chosen is final: a request for which it has
//! no route is not looked for in another site.
//!
//! Within the site the **path** chooses the route, the first of:
//! 1. `exact`: the whole path, a trailing slash counts;
//! 2. `pattern`: compared segment by segment from the left, a literal segment goes before `{name}` and that
//!    before `{*rest}`. `{name}` is one segment and not empty, `{*rest}` is what remains, perhaps nothing.
//!    So for `/a/b/c` the pattern `/a/{x}/{y}` goes before `/{x}/b/c`;
//! 3. `regex`: in the order of the file. It is searched for in the path; anchor it with `^` and `$`;
//! 4. `path`: the longest prefix, cut at a slash. `/app` and `/app/` are one prefix: both cover `/app`,
//!    `/app/` and `/app/x`, neither covers `/apple`.
//!
//! Among routes with the same path condition the **method** chooses: one that lists the method, then (for
//! HEAD) one that lists GET, then one without `methods`; in the order of the file where two are equal. `GET`
//! always includes `HEAD`, as RFC 9110 §9.3.2 has it. A route that does not take the method is passed over
//! and the search goes on to the next condition that covers the path. When nothing is left, the answer is
//! 405 with `Allow` if some route covered the path, and 404 if none did.
//!
//! All of it works on the path that [`normalize_path`] made and the host that [`normalize_host`] made: what
//! is routed on, keyed on and forwarded is one and the same text.
//!
//! ```
//! use http::Method;
//! use seawall_routing::{Outcome, RouteMatch, RouterBuilder, SiteRoutes};
//!
//! let mut site = SiteRoutes::new("shop");
//! site.hosts.push("*.example.com".parse().unwrap());
//! site.route(RouteMatch { pattern: Some("/users/{id}".into()), ..RouteMatch::default() }, "users");
//! site.route(RouteMatch { path: Some("/".into()), ..RouteMatch::default() }, "everything else");
//! let mut builder = RouterBuilder::new();
//! builder.site(site);
//! let router = builder.build().unwrap();
//!
//! let Outcome::Route(found) = router.find("www.example.com", &Method::GET, "/users/7") else { panic!() };
//! assert_eq!((*found.site, *found.route), ("shop", "users"));
//! assert_eq!(found.captures.get("id"), Some("7"));
//! ```

mod captures;
mod condition;
mod headers;
mod host;
mod host_pattern;
mod lint;
mod method;
mod path;
mod path_regex;
mod pattern;
mod redirect;
mod rewrite;
mod route_match;
mod router;
mod static_response;
mod template;
mod text_unit;

pub use captures::Captures;
pub use condition::{Condition, ConditionError};
pub use headers::{CompiledHeaderOps, HeaderOps, HeaderOpsError, HeaderTarget};
pub use host::{HostError, MAX_HOST_BYTES, normalize_host};
pub use host_pattern::HostPattern;
pub use lint::{RouteView, SiteView, check_sites};
pub use method::MethodName;
pub use path::{EncodedSlashes, PathError, PathSettings, normalize_path};
pub use pattern::PatternError;
pub use redirect::{Redirect, RedirectError, RedirectSettings, RequestParts};
pub use rewrite::{Rewrite, RewriteError, RewriteSettings};
pub use route_match::{MatchError, Matcher, RouteMatch};
pub use router::{Allow, Considered, Found, Outcome, Router, RouterBuilder, RouterError, SiteRoutes};
pub use static_response::{CompiledStatic, StaticError, StaticResponse};
pub use template::TemplateError;
