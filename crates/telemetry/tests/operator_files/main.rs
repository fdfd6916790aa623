//! What operators load into Grafana and Prometheus speaks of metrics that there are.

mod promql;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dashboard() -> Value {
    serde_json::from_str(&read("grafana-dashboard.json")).unwrap_or_else(|error| panic!("{error}"))
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let dashboard = dashboard();
    let mut asked = 0;
    for panel in panels(&dashboard).iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{} asks nothing", panel["title"]);
        for target in targets {
            let expr = target["expr"].as_str().unwrap();
            promql::check(expr).unwrap_or_else(|fault| panic!("{}: {fault}\n{expr}", panel["title"]));
            let legend = target["legendFormat"].as_str().unwrap();
            promql::check_legend(expr, legend).unwrap_or_else(|fault| panic!("{}: {fault}", panel["title"]));
            asked += 1;
        }
    }
    assert!(asked > 50, "only {asked} queries were found: does the test look at the right place?");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            let query = variable["query"]["query"].as_str().unwrap();
            promql::check(query).unwrap_or_else(|fault| panic!("{query}: {fault}"));
        }
    }
}

/// What Grafana would lay over each other or refuse to load.
#[test]
fn the_dashboard_is_well_formed() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    assert!(!panels(&dashboard).is_empty());
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "the id of {title} is taken");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24 && at("w") > 0 && at("h") > 0, "{title} is outside the grid");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "{title} lies over another panel");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title} is bound to one Grafana");
        }
    }
}

#[test]
fn the_alerts_ask_for_metrics_that_there_are() {
    let rules: serde_yaml::Value = serde_yaml::from_str(&read("prometheus-alerts.yaml")).unwrap();
    let mut names = BTreeSet::new();
    for rule in rules["groups"].as_sequence().unwrap().iter().flat_map(|g| g["rules"].as_sequence().unwrap())
    {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        let expr = rule["expr"].as_str().unwrap();
        promql::check(expr).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert!(rule["labels"]["severity"].is_string(), "{name} does not say how bad it is");
        let summary = rule["annotations"]["summary"].as_str().unwrap();
        let legend = summary.replace("$labels.", "").replace("{{ ", "{{").replace(" }}", "}}");
        promql::check_legend(expr, &legend).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
    assert!(names.len() > 5, "only {names:?}");
}
