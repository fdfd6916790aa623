use seawall_config::{Diagnostics, Path};

use super::{RouteView, SiteView, check_sites};
use crate::{HostPattern, MethodName, RedirectSettings, RouteMatch};

struct Site {
    hosts: Vec<HostPattern>,
    default: bool,
    routes: Vec<(RouteMatch, Option<RedirectSettings>)>,
}

fn site(hosts: &[&str]) -> Site {
    Site { hosts: hosts.iter().map(|h| h.parse().unwrap()).collect(), default: false, routes: Vec::new() }
}

impl Site {
    fn route(mut self, kind: &str, text: &str, methods: &[&str]) -> Self {
        let methods: Vec<MethodName> = methods.iter().map(|m| serde_yaml::from_str(m).unwrap()).collect();
        let one = |wanted: &str| (kind == wanted).then_some(text);
        let matching =
            RouteMatch::from_parts(one("exact"), one("path"), one("pattern"), one("regex"), &methods);
        self.routes.push((matching, None));
        self
    }

    fn redirect(mut self, to: &str) -> Self {
        let last = self.routes.last_mut().unwrap();
        last.1 = Some(RedirectSettings { to: Some(to.into()), ..RedirectSettings::default() });
        self
    }
}

fn findings(sites: &[Site]) -> Vec<String> {
    let root = Path::root().key("sites");
    let views: Vec<SiteView<'_>> = sites
        .iter()
        .enumerate()
        .map(|(i, site)| SiteView {
            at: root.index(i),
            hosts: &site.hosts,
            default: site.default,
            routes: site
                .routes
                .iter()
                .enumerate()
                .map(|(j, (matching, redirect))| RouteView {
                    at: root.index(i).key("routes").index(j),
                    matching: matching.clone(),
                    redirect: redirect.as_ref(),
                    rewrite: None,
                })
                .collect(),
        })
        .collect();
    let mut out = Diagnostics::default();
    check_sites(&views, &mut out);
    out.iter().map(|found| format!("{}: {}", found.path, found.message)).collect()
}

#[test]
fn sound_sites_pass() {
    let sites = [
        site(&["a.example"]).route("path", "/", &[]).route("exact", "/x", &["GET"]).route(
            "exact",
            "/x",
            &["POST"],
        ),
        site(&["*.a.example"]).route("exact", "/old", &[]).redirect("/new"),
    ];
    assert_eq!(findings(&sites), [""; 0]);
}

#[test]
fn a_host_belongs_to_one_site() {
    let sites = [site(&["a.example"]).route("path", "/", &[]), site(&["a.example"]).route("path", "/", &[])];
    assert_eq!(findings(&sites), ["sites[1].hosts[0]: the host `a.example` is named twice"]);
}

#[test]
fn there_is_one_default_site() {
    let mut sites =
        [site(&["a.example"]).route("path", "/", &[]), site(&["b.example"]).route("path", "/", &[])];
    sites[0].default = true;
    sites[1].default = true;
    assert_eq!(findings(&sites), ["sites[1].default: there are two default sites"]);
}

#[test]
fn a_site_nobody_reaches_is_told() {
    assert_eq!(
        findings(&[site(&[]).route("path", "/", &[])]),
        ["sites[0]: the site has no hosts, so no request reaches it"]
    );
}

#[test]
fn shadowed_routes_are_told_and_split_methods_are_not() {
    let sites = [site(&["a.example"]).route("path", "/app", &[]).route("path", "/app/", &[])];
    assert_eq!(findings(&sites).len(), 1, "{:?}", findings(&sites));
    let sites = [site(&["a.example"]).route("exact", "/x", &["GET"]).route("exact", "/x", &[])];
    assert_eq!(findings(&sites), [""; 0]);
    let sites = [site(&["a.example"]).route("exact", "/x", &["GET", "POST"]).route("exact", "/x", &["GET"])];
    assert_eq!(findings(&sites).len(), 1);
}

#[test]
fn a_redirect_to_itself_is_told() {
    let sites = [site(&["a.example"]).route("exact", "/x", &[]).redirect("/x")];
    assert_eq!(findings(&sites), ["sites[0].routes[0].redirect: the redirect leads to its own path `/x`"]);
}
