use super::*;
use crate::key::{self, KeyPolicy};
use crate::testing::{any_value, headers};
use percent_encoding::percent_decode;
use proptest::prelude::*;

fn rule(value: &str) -> SearchRule {
    SearchRule::of(&headers(&[("no-vary-search", value)]))
}

fn names(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

#[test]
fn the_drafts_valid_examples() {
    let of = |params, ignores_order| SearchRule { params, ignores_order };
    assert_eq!(rule("params=(\"a\")"), of(Params::AllBut(names(&["a"])), false));
    assert_eq!(rule("except=(\"x\")"), of(Params::Only(names(&["x"])), false));
    assert_eq!(rule("except=()"), of(Params::Only(vec![]), false));
    assert_eq!(rule("key-order"), of(Params::default(), true));
    assert_eq!(rule("key-order=?1"), rule("key-order"));
    assert_eq!(rule("except=(\"x\"), key-order"), rule("key-order, except=(\"x\")"));
    assert_eq!(rule("params=(\"b\" \"a\" \"b\")"), rule("params=(\"a\" \"b\")"));
    assert_eq!(rule("params=(\"%C3%A9+%E6%B0%97\")"), of(Params::AllBut(names(&["é 気"])), false));
    for exact in ["", "params=()", "key-order=?0", "key-order=?0, params=()", "other=1", "KEY-ORDER=?1"] {
        assert!(rule(exact).is_exact(), "{exact}");
    }
    assert!(SearchRule::of(&HeaderMap::new()).is_exact());
}

#[test]
fn the_drafts_invalid_examples_change_nothing() {
    for value in [
        "key-order=\"not a boolean\"",
        "key-order=(\"a\")",
        "key-order=1, params=(\"a\")",
        "params=\"not an inner list\"",
        "params=(not-a-string)",
        "params=(\"a\" b)",
        "params=?0",
        "params=?1",
        "params",
        "params=?1, except=(\"x\")",
        "params, except=(\"x\")",
        "params=(\"a\"), except=(\"x\")",
        "params=(), except=()",
        "except=\"not an inner list\"",
        "except=(not-a-string)",
        "except=?1",
        "params=(\"a\"",
        "params=(\"a\"),",
        "params=(\"\u{e9}\")",
    ] {
        assert!(rule(value).is_exact(), "{value}");
    }
}

#[test]
fn unknown_members_and_parameters_are_ignored_and_lines_are_joined() {
    assert_eq!(rule("params=(\"a\";x=1);y, future=(1 2)"), rule("params=(\"a\")"));
    let two = headers(&[("no-vary-search", "key-order"), ("no-vary-search", "params=(\"a\")")]);
    assert_eq!(SearchRule::of(&two), rule("key-order, params=(\"a\")"));
}

#[test]
fn a_rule_that_names_too_much_is_ignored() {
    let of = |n: usize| {
        let list: Vec<String> = (0..n).map(|i| format!("\"p{i}\"")).collect();
        rule(&format!("params=({})", list.join(" ")))
    };
    assert!(!of(MAX_PARAMS).is_exact());
    assert!(of(MAX_PARAMS + 1).is_exact());
}

#[test]
fn the_drafts_table_of_equivalent_queries() {
    let order = rule("key-order");
    for (a, b) in [
        ("/", "/?"),
        ("/?a=x", "/?%61=%78"),
        ("/?a=\u{e9}", "/?a=%C3%A9"),
        ("/?a=%f6", "/?a=%ef%bf%bd"),
        ("/?a=x&&&&", "/?a=x"),
        ("/?a=", "/?a"),
        ("/?a=%20", "/?a= &"),
        ("/?a=+", "/?a= &"),
    ] {
        assert!(order.equivalent(a.as_bytes(), b.as_bytes()), "{a} {b}");
        assert!(!SearchRule::default().equivalent(a.as_bytes(), b.as_bytes()), "{a} {b}");
    }
}

#[test]
fn what_counts_tells_queries_apart() {
    let same = |value: &str, a: &str, b: &str| rule(value).equivalent(a.as_bytes(), b.as_bytes());
    assert!(same("params=(\"utm\")", "/p?utm=1&id=2", "/p?id=2&utm=9&utm=8"));
    assert!(!same("params=(\"utm\")", "/p?utm=1&id=2", "/p?id=3&utm=1"));
    assert!(!same("params=(\"utm\")", "/p?id=2", "/q?id=2"), "the path always counts");
    assert!(!same("params=(\"utm\")", "/p?UTM=1", "/p"));
    assert!(same("except=(\"id\")", "/p?a=1&id=2", "/p?id=2&b"));
    assert!(!same("except=(\"id\")", "/p?id=2", "/p"));
    assert!(same("except=()", "/p?a=1&id=2", "/p"));
    assert!(!same("except=(\"a\" \"b\")", "/p?a=1&b=2", "/p?b=2&a=1"), "order counts unless `key-order`");
    assert!(same("key-order", "/p?a=1&b=2&a=3", "/p?b=2&a=1&a=3"));
    assert!(!same("key-order", "/p?a=1&a=3", "/p?a=3&a=1"), "the order within one name counts");
    assert!(!same("key-order", "/p?a=1", "/p?a=1&a=1"));
    assert!(!same("key-order", "/p?a=b&c", "/p?a=b%26c"));
    assert!(!same("key-order", "/p?a%3Db", "/p?a=b"));
    assert!(same("params=(\"é 気\")", "/p", "/p") && !same("params=(\"a\")", "/p?%zz=1", "/p?zz=1"));
}

#[test]
fn a_query_of_a_thousand_parameters_is_compared_as_it_is_spelled() {
    let long = |last: &str| format!("/p?{}{last}", "x&".repeat(1500));
    assert!(!rule("except=()").equivalent(long("a").as_bytes(), long("b").as_bytes()));
    assert!(rule("except=()").equivalent(long("a").as_bytes(), long("a").as_bytes()));
}

fn learned() -> SearchRules {
    SearchRules::new(2, 7)
}

#[test]
fn the_latest_rule_of_a_path_counts() {
    let mut rules = learned();
    let found = |rules: &SearchRules, target: &str| {
        rules.find("https", "h", target.as_bytes()).map(|known| known.rule.as_ref().clone())
    };
    assert!(rules.is_empty() && found(&rules, "/p").is_none());
    rules.learn("https", "h", b"/p?a=1", &rule("key-order"));
    for target in ["/p", "/p?", "/p?b=2"] {
        assert_eq!(found(&rules, target), Some(rule("key-order")), "{target}");
    }
    for (scheme, authority, target) in
        [("http", "h", "/p"), ("https", "i", "/p"), ("https", "h", "/p/"), ("https", "h", "/P")]
    {
        assert_eq!(rules.find(scheme, authority, target.as_bytes()), None);
    }
    rules.learn("https", "H:443", b"/p", &rule("except=()"));
    assert_eq!(found(&rules, "/p?x"), Some(rule("except=()")));
    rules.learn("https", "h", b"/p", &SearchRule::default());
    assert_eq!(found(&rules, "/p?x"), Some(rule("except=()")), "silence takes nothing back");
    assert_eq!(rules.len(), 1);
}

#[test]
fn the_table_is_bounded_and_forgets_the_oldest() {
    let mut rules = learned();
    for path in [b"/1", b"/2", b"/1", b"/3"] {
        rules.learn("http", "h", path, &rule("key-order"));
    }
    assert_eq!(rules.len(), 2);
    assert!(rules.find("http", "h", b"/1").is_none() && rules.find("http", "h", b"/2").is_some());
    for n in 0..1000 {
        rules.learn("http", "h", format!("/{n}").as_bytes(), &rule("except=()"));
    }
    assert_eq!((rules.len(), rules.order.len()), (2, 2));
    let mut none = SearchRules::new(0, 0);
    none.learn("http", "h", b"/1", &rule("key-order"));
    assert!(none.is_empty());
}

#[test]
fn keys_by_a_rule() {
    let policy = KeyPolicy::default();
    let mut rules = learned();
    rules.learn("http", "h", b"/p", &rule("params=(\"u\")"));
    let key = |rules: &SearchRules, target: &'static str| {
        policy.key_by("http", "h", target.as_bytes(), rules.find("http", "h", target.as_bytes()))
    };
    let first = key(&rules, "/p?u=1&a=2");
    assert_eq!(first.primary, key(&rules, "/p?a=2").primary);
    assert_eq!(first.target.as_ref(), b"/p?u=1&a=2", "what is forwarded stays as it is");
    assert_ne!(first.primary, key(&rules, "/p?a=3").primary);
    assert_ne!(first.primary, key::frame("http", "h", b"/p?a=2"));
    assert_eq!(key(&rules, "/q?a=2").primary, key::frame("http", "h", b"/q?a=2"));
    // Another rule, and the same one again: what was stored in between stays out of reach.
    rules.learn("http", "h", b"/p", &rule("except=()"));
    rules.learn("http", "h", b"/p", &rule("params=(\"u\")"));
    assert_ne!(key(&rules, "/p?a=2").primary, first.primary);
}

#[test]
fn a_response_with_another_rule_serves_its_own_query_only() {
    let mut rules = learned();
    rules.learn("http", "h", b"/p", &rule("params=(\"u\")"));
    let known = rules.find("http", "h", b"/p").unwrap();
    assert_eq!(known.realm(&rule("params=(\"u\")"), "/p?u=1"), "");
    assert_eq!(known.realm(&SearchRule::default(), "/p?u=1"), "/p?u=1");
    assert_eq!(known.realm(&rule("except=()"), "/p?u=1"), "/p?u=1");
}

/// The draft's algorithm, step by step, on strings.
fn reference(value: &(bool, Option<(bool, Vec<String>)>), a: &str, b: &str) -> bool {
    let (ignores_order, list) = value;
    let decode = |text: &str| {
        let blanks = text.replace('+', " ");
        percent_decode(blanks.as_bytes()).decode_utf8_lossy().into_owned()
    };
    let no_vary = matches!(list, None | Some((false, _)));
    let listed: Vec<String> = list.iter().flat_map(|(_, names)| names.iter().map(|n| decode(n))).collect();
    if !ignores_order && no_vary && listed.is_empty() {
        return a == b;
    }
    let parse = |target: &str| {
        let query = target.split_once('?').map_or("", |(_, query)| query).to_owned();
        let mut pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .filter(|(name, _)| listed.contains(name) != no_vary)
            .collect();
        if *ignores_order {
            pairs.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
        }
        pairs
    };
    let path = |target: &str| target.split('?').next().map(str::to_owned);
    path(a) == path(b) && parse(a) == parse(b)
}

fn written(value: &(bool, Option<(bool, Vec<String>)>)) -> String {
    let mut members = Vec::new();
    members.extend(value.0.then(|| "key-order".to_owned()));
    members.extend(value.1.iter().map(|(only, names)| {
        let list: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        format!("{}=({})", if *only { "except" } else { "params" }, list.join(" "))
    }));
    members.join(", ")
}

proptest! {
    #[test]
    fn agrees_with_the_draft(
        order in any::<bool>(),
        list in prop::option::of((any::<bool>(), prop::collection::vec("[ab+]|%6[1-3]|%f[0-9]|%", 0..3))),
        a in "/[pq](\\?([abc]|[&=+%]|%6[1-3]|%[fg]6){0,8})?", b in "/[pq](\\?([abc]|[&=+%]|%6[1-3]|%[fg]6){0,8})?",
    ) {
        let value = (order, list);
        let rule = rule(&written(&value));
        prop_assert_eq!(rule.equivalent(a.as_bytes(), b.as_bytes()), reference(&value, &a, &b), "{}", written(&value));
        // Shuffled pairs meet often enough to try the equal side too.
        let (path, query) = a.split_once('?').unwrap_or((&a, ""));
        let mut pairs: Vec<&str> = query.split('&').collect();
        pairs.reverse();
        let turned = format!("{path}?{}", pairs.join("&"));
        prop_assert_eq!(rule.equivalent(a.as_bytes(), turned.as_bytes()), reference(&value, &a, &turned));
    }

    #[test]
    fn equivalence_is_one(value in any_value(), targets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 3)) {
        let mut map = HeaderMap::new();
        map.insert(NO_VARY_SEARCH, value);
        for rule in [SearchRule::of(&map), rule("key-order, params=(\"a\")"), rule("except=(\"a\")")] {
            let same = |i: usize, j: usize| rule.equivalent(&targets[i], &targets[j]);
            prop_assert!(same(0, 0));
            prop_assert_eq!(same(0, 1), same(1, 0));
            prop_assert!(!(same(0, 1) && same(1, 2)) || same(0, 2));
            prop_assert_eq!(same(0, 1), rule.canonical(&targets[0]) == rule.canonical(&targets[1]));
        }
    }
}
