//! The documented precedence as a linear search, written from the crate's documentation and sharing no code
//! with the router, gives the same answer as the router.

use super::table::{router, short};
use http::Method;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Rule {
    /// 0 exact, 1 pattern, 2 regex, 3 prefix.
    kind: u8,
    text: &'static str,
    methods: Vec<&'static str>,
}

const EXACT: [&str; 5] = ["/", "/a", "/a/", "/a/b", "/a//b"];
const PATTERNS: [&str; 10] = [
    "/{x}",
    "/{*x}",
    "/a/{x}",
    "/{x}/b",
    "/a/{*x}",
    "/{x}/{y}",
    "/{x}/{*y}",
    "/a/{x}/c",
    "/{x}/b/c",
    "/a/{x}/",
];
const REGEXES: [&str; 5] = ["^/a", "b$", "a.*b", "^/[^/]*$", "c"];
const PREFIXES: [&str; 6] = ["/", "/a", "/a/", "/a/b", "/b", "/a//"];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "PUT"];

fn rule() -> impl Strategy<Value = Rule> {
    let condition = prop_oneof![
        prop::sample::select(&EXACT[..]).prop_map(|text| (0, text)),
        prop::sample::select(&PATTERNS[..]).prop_map(|text| (1, text)),
        prop::sample::select(&REGEXES[..]).prop_map(|text| (2, text)),
        prop::sample::select(&PREFIXES[..]).prop_map(|text| (3, text)),
    ];
    let methods = prop_oneof![
        2 => Just(Vec::new()),
        3 => prop::sample::subsequence(&METHODS[..], 1..3),
    ];
    (condition, methods).prop_map(|((kind, text), methods)| Rule { kind, text, methods })
}

impl Rule {
    fn yaml(&self) -> String {
        let key = ["exact", "pattern", "regex", "path"][usize::from(self.kind)];
        format!("{{{key}: '{}', methods: [{}]}}", self.text, self.methods.join(", "))
    }

    fn covers(&self, path: &str) -> bool {
        match self.kind {
            0 => self.text == path,
            1 => {
                let (pattern, path): (Vec<_>, Vec<_>) =
                    (self.text.split('/').collect(), path.split('/').collect());
                let rest = pattern.last().is_some_and(|last| last.starts_with("{*"));
                let fixed = pattern.len() - usize::from(rest);
                let long_enough = if rest { path.len() > fixed } else { path.len() == fixed };
                long_enough
                    && (0..fixed).all(|i| {
                        if pattern[i].starts_with('{') { !path[i].is_empty() } else { pattern[i] == path[i] }
                    })
            }
            2 => regex::Regex::new(self.text).unwrap().is_match(path),
            _ => format!("{path}/").starts_with(&format!("{}/", self.condition())),
        }
    }

    /// What makes two conditions the same.
    fn condition(&self) -> String {
        match self.kind {
            1 => self.text.replace('y', "x"),
            3 => self.text.strip_suffix('/').unwrap_or(self.text).to_owned(),
            _ => self.text.to_owned(),
        }
    }

    /// 0 lists it, 1 takes HEAD with GET, 2 takes all, none does not take it.
    fn takes(&self, method: &str) -> Option<u8> {
        if self.methods.is_empty() {
            Some(2)
        } else if self.methods.contains(&method) {
            Some(0)
        } else {
            (method == "HEAD" && self.methods.contains(&"GET")).then_some(1)
        }
    }
}

/// The answer of the documentation; captures left out.
fn expected(rules: &[Rule], method: &str, path: &str) -> String {
    let mut best: Option<(Vec<u8>, usize, u8, usize)> = None;
    let mut allow: Vec<&str> = Vec::new();
    for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.covers(path)) {
        allow.extend(&rule.methods);
        if rule.methods.contains(&"GET") {
            allow.push("HEAD");
        }
        let Some(rank) = rule.takes(method) else { continue };
        // The order among conditions of one kind; smaller goes first.
        let within: Vec<u8> = match rule.kind {
            1 => rule
                .text
                .split('/')
                .map(|s| if s.starts_with("{*") { 2 } else { u8::from(s.starts_with('{')) })
                .collect(),
            3 => vec![255 - u8::try_from(rule.condition().len()).unwrap()],
            _ => Vec::new(),
        };
        // Where the first rule with this condition stands: the order among regexes.
        let place = rules
            .iter()
            .position(|other| other.kind == rule.kind && other.condition() == rule.condition())
            .unwrap();
        let mut key = vec![rule.kind];
        key.extend(within);
        let candidate = (key, place, rank, number);
        if best.as_ref().is_none_or(|best| candidate < *best) {
            best = Some(candidate);
        }
    }
    allow.sort_unstable();
    allow.dedup();
    match best {
        Some((_, _, _, number)) => number.to_string(),
        None if allow.is_empty() => "404".to_owned(),
        None => format!("405 {}", allow.join(", ")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn the_router_agrees_with_the_documentation(
        rules in prop::collection::vec(rule(), 0..8),
        paths in prop::collection::vec("(/(a|b|c|)){1,4}", 1..6),
    ) {
        let yaml: Vec<String> = rules.iter().map(Rule::yaml).collect();
        let yaml: Vec<&str> = yaml.iter().map(String::as_str).collect();
        let router = router(&[(&["h"], &yaml)]);
        for path in &paths {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
                let got = short(&router, "h", method, path);
                let number = if got.starts_with("40") { got.as_str() } else { got.split(' ').next().unwrap() };
                let wanted = expected(&rules, method, path);
                prop_assert_eq!(number, wanted.as_str(), "{} {}", method, path);
                let explained = router
                    .explain("h", &method.parse::<Method>().unwrap(), path)
                    .into_iter()
                    .find(|considered| considered.route.is_some() && considered.taken)
                    .and_then(|considered| considered.route);
                prop_assert_eq!(explained, wanted.parse().ok().filter(|_| !wanted.starts_with("40")), "{} {}", method, path);
            }
        }
    }

    /// Whatever is asked, the captures of the winning pattern put back into it make the path.
    #[test]
    fn captures_make_the_path(pattern in prop::sample::select(&PATTERNS[..]), path in "(/(a|b|c|)){1,4}") {
        let router = router(&[(&["h"], &[&format!("{{pattern: '{pattern}'}}")])]);
        if let crate::Outcome::Route(found) = router.find("h", &Method::GET, &path) {
            let filled = found.captures.iter().fold(pattern.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value).replace(&format!("{{*{name}}}"), value)
            });
            prop_assert_eq!(filled, path);
        }
    }
}
