use schemars::JsonSchema;
use seawall_config::{Diagnostics, OneOrMany, Path};
use serde::{Deserialize, Serialize};

/// More tries than this only add load to what is already failing.
const MAX_ATTEMPTS: u32 = 10;

/// When a request is sent again, to another server where there is one.
///
/// A request that never left (no connection) may be sent again whatever its method; one that left only if its method
/// is idempotent (RFC 9110 section 9.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySettings {
    /// Further tries after the first; 0 means never.
    pub attempts: u32,
    /// Statuses of an answer that ask for another try, such as `[502, 503, 504]`. By default none.
    pub on_statuses: OneOrMany<u16>,
    /// How many retries there may be in all.
    pub budget: BudgetSettings,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { attempts: 2, on_statuses: OneOrMany::default(), budget: BudgetSettings::default() }
    }
}

/// Keeps retries from multiplying the load on servers that fail: a retry is taken from what requests have put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// Retries each hundred requests pay for.
    pub percent: u32,
    /// Retries a second allowed however few requests there are.
    pub min_per_second: u32,
    /// Retries that can be saved up for a bad moment; beyond it nothing is saved.
    pub burst: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 3, burst: 100 }
    }
}

impl RetrySettings {
    /// Reports what cannot work.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.attempts > MAX_ATTEMPTS {
            out.error(&at.key("attempts"), format!("{} retries of one request", self.attempts))
                .hint(format!("write 0 to {MAX_ATTEMPTS}"));
        }
        let statuses = at.key("on_statuses");
        for (i, status) in self.on_statuses.iter().enumerate() {
            if !(400..=599).contains(status) {
                out.error(&statuses.index(i), format!("{status} is not an error status"))
                    .hint("write statuses from 400 to 599, such as 502, 503, 504");
            }
        }
        if self.attempts == 0 && !self.on_statuses.is_empty() {
            out.warning(&statuses, "`on_statuses` does nothing with `attempts: 0`").on_key();
        }
        let budget = at.key("budget");
        if self.budget.percent > 100 {
            out.error(&budget.key("percent"), "more than 100 percent").hint("write 0 to 100");
        }
        if self.budget.burst == 0 && self.attempts > 0 {
            out.error(&budget.key("burst"), "with a burst of 0 no retry would ever be allowed")
                .hint("write `attempts: 0` to have no retries");
        }
        if self.budget.percent == 0 && self.budget.min_per_second == 0 && self.attempts > 0 {
            out.warning(&budget, "after the first retries none will ever be allowed again")
                .hint("set `percent` or `min_per_second`");
        }
    }
}
