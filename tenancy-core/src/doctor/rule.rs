use serde::Serialize;

use super::Operation;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; nothing to do on one server.
    Info,
    /// Isolation holds, but something will break, grow slow or stand in the way of sharding.
    Warning,
    /// Isolation is broken, or one careless statement away from it.
    Error,
}

impl Severity {
    /// `info`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that can be wrong.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Its stable id, such as `TEN001`.
    pub id: &'static str,
    /// Its stable name, such as `row_security_off`.
    pub name: &'static str,
    /// How much its findings weigh.
    pub severity: Severity,
    /// Why it matters.
    pub why: &'static str,
    /// The SQL that mends it, with a placeholder for the object. Findings name the object.
    pub fix: &'static str,
    pub(super) check: Check,
}

/// How a rule finds what is wrong: a query over the catalog, by what it has to be told, or one
/// cell of the attack.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// Nothing.
    Catalog(&'static str),
    /// The roles of the app.
    Roles(&'static str),
    /// The tenant tables.
    Tables(&'static str),
    /// The tenant tables and the roles of the app.
    Reach(&'static str),
    /// The functions that reach across tenants.
    Crossing(&'static str),
    /// The functions that reach across tenants, and the roles of the app.
    CrossingReach(&'static str),
    /// The attack.
    Attack(Operation),
}

impl Rule {
    pub(super) const fn new(
        id: &'static str,
        name: &'static str,
        severity: Severity,
        check: Check,
        why: &'static str,
        fix: &'static str,
    ) -> Self {
        Self {
            id,
            name,
            severity,
            why,
            fix,
            check,
        }
    }
}
