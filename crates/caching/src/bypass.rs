//! Requests that a route's settings send past the cache.

use http::{HeaderMap, HeaderName};

use crate::key::{Name, cookie};
use crate::no_vary_search::decode;
use crate::policy::{PolicyError, header_name};
use crate::request::BypassReason;
use crate::settings::BypassRule;
use crate::syntax::trim;

/// The compiled `bypass_when`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BypassRules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    subject: Subject,
    equals: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Cookie(Name),
    Header(HeaderName),
    Query(Name),
}

impl BypassRules {
    /// Compiles checked rules.
    pub(crate) fn new(settings: &[BypassRule]) -> Result<Self, PolicyError> {
        let mut rules = Vec::with_capacity(settings.len());
        for rule in settings {
            let equals = rule.equals.as_ref().map(|value| value.as_bytes().to_vec());
            let mut subjects = Vec::new();
            subjects.extend(rule.cookie.as_deref().map(|name| Subject::Cookie(Name::new(name))));
            subjects.extend(rule.query.as_deref().map(|name| Subject::Query(Name::new(name))));
            if let Some(name) = &rule.header {
                subjects.push(Subject::Header(header_name("bypass_when", name)?));
            }
            rules.extend(subjects.into_iter().map(|subject| Rule { subject, equals: equals.clone() }));
        }
        Ok(Self(rules))
    }

    /// The first rule that the request meets. `target` is path and query as the client sent them.
    pub(crate) fn find(&self, headers: &HeaderMap, target: &[u8]) -> Option<BypassReason> {
        self.0.iter().find_map(|rule| rule.meets(headers, target))
    }
}

impl Rule {
    fn meets(&self, headers: &HeaderMap, target: &[u8]) -> Option<BypassReason> {
        let (met, reason) = match &self.subject {
            Subject::Cookie(name) => (
                cookie::pairs(headers)
                    .any(|(found, value)| name.matches(found) && self.is(value.unwrap_or_default())),
                BypassReason::Cookie,
            ),
            Subject::Header(name) => (
                headers.get_all(name).iter().any(|line| self.is(trim(line.as_bytes()))),
                BypassReason::Header,
            ),
            Subject::Query(name) => (self.in_query(name, target), BypassReason::Query),
        };
        met.then_some(reason)
    }

    fn is(&self, value: &[u8]) -> bool {
        self.equals.as_ref().is_none_or(|wanted| wanted == value)
    }

    /// Names and values are compared decoded: the origin decodes them too, and what it takes for the parameter must
    /// not reach the store in another spelling.
    fn in_query(&self, name: &Name, target: &[u8]) -> bool {
        let Some(mark) = target.iter().position(|byte| *byte == b'?') else { return false };
        target[mark + 1..].split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).any(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            name.matches(&decode(&pair[..equals]))
                && self.is(&decode(pair.get(equals + 1..).unwrap_or_default()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CachePolicy;
    use crate::testing::{any_value, headers};
    use proptest::prelude::*;

    fn bypass(rule: &str, pairs: &[(&str, &str)], target: &str) -> Option<BypassReason> {
        let yaml = format!("bypass_when: [{rule}]");
        let policy = CachePolicy::new(&serde_yaml::from_str(&yaml).unwrap()).unwrap();
        policy.bypass(&headers(pairs), target.as_bytes())
    }

    #[test]
    fn by_cookie() {
        let by = |rule, cookie| bypass(rule, &[("cookie", cookie)], "/").is_some();
        for cookie in ["session=1", "a=b; session=1", "a=b;session", "session=", " session = x "] {
            assert!(by("{ cookie: session }", cookie), "{cookie}");
        }
        for cookie in ["", "a=session", "xsession=1", "session2=1", "Session=1"] {
            assert!(!by("{ cookie: session }", cookie), "{cookie}");
        }
        assert!(by("{ cookie: wp_logged_in_* }", "a=b; wp_logged_in_9f=1"));
        assert!(by("{ cookie: mode, equals: edit }", "mode=view; mode=edit"));
        assert!(!by("{ cookie: mode, equals: edit }", "mode=view"));
        let two = [("cookie", "a=b"), ("cookie", "session=1")];
        assert_eq!(bypass("{ cookie: session }", &two, "/"), Some(BypassReason::Cookie));
    }

    #[test]
    fn by_header() {
        let by = |rule, pairs: &[(&str, &str)]| bypass(rule, pairs, "/");
        assert_eq!(by("{ header: X-Preview }", &[("x-preview", "")]), Some(BypassReason::Header));
        assert_eq!(by("{ header: X-Preview }", &[("x-previews", "1")]), None);
        let valued = "{ header: x-mode, equals: edit }";
        assert_eq!(by(valued, &[("x-mode", "view"), ("x-mode", " edit ")]), Some(BypassReason::Header));
        assert_eq!(by(valued, &[("x-mode", "Edit")]), None);
    }

    #[test]
    fn by_query_in_any_spelling() {
        let by = |rule, target| bypass(rule, &[], target).is_some();
        for target in ["/?preview", "/?a=b&preview=1", "/?%70review=1", "/?preview=", "/p?x&preview"] {
            assert!(by("{ query: preview }", target), "{target}");
        }
        for target in ["/", "/?", "/preview", "/?a=preview", "/?Preview", "/?previews=1", "/preview?a"] {
            assert!(!by("{ query: preview }", target), "{target}");
        }
        assert!(by("{ query: edit, equals: 'a b' }", "/?edit=a+b") && by("{ query: t_* }", "/?t_1=2"));
        assert!(!by("{ query: edit, equals: 'a b' }", "/?edit=a"));
    }

    #[test]
    fn any_rule_will_do() {
        let rules = "{ cookie: a }, { header: b }, { query: c }";
        assert_eq!(bypass(rules, &[], "/?c"), Some(BypassReason::Query));
        assert_eq!(bypass(rules, &[], "/"), None);
        assert_eq!(CachePolicy::default().bypass(&headers(&[("cookie", "a")]), b"/?c"), None);
    }

    proptest! {
        #[test]
        fn never_panics(value in any_value(), target in prop::collection::vec(any::<u8>(), 0..40)) {
            let yaml = "bypass_when: [{ cookie: a*, equals: x }, { header: b }, { query: c* , equals: y }]";
            let policy = CachePolicy::new(&serde_yaml::from_str(yaml).unwrap()).unwrap();
            let mut map = HeaderMap::new();
            map.insert("cookie", value.clone());
            let _ = policy.bypass(&map, &target);
            map.insert("b", value);
            prop_assert!(policy.bypass(&map, &target).is_some());
        }
    }
}
