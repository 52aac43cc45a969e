//! Views and their kin.

use crate::doctor::rule::{
    Check::{Reach, Tables},
    Rule,
    Severity::{Error, Warning},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN401",
        "view_ignores_policies",
        Error,
        Reach(include_str!(
            "../sql/rules/ten401_view_ignores_policies.sql"
        )),
        "A view reads with the rights of its owner, and so past the policies of whoever asks.",
        "ALTER VIEW <view> SET (security_invoker = true);",
    ),
    Rule::new(
        "TEN402",
        "matview_readable",
        Error,
        Reach(include_str!("../sql/rules/ten402_matview_readable.sql")),
        "A materialized view is a copy of all tenants' rows, and can have no policy.",
        "REVOKE ALL ON <view> FROM PUBLIC, tenancy_app;",
    ),
    Rule::new(
        "TEN403",
        "foreign_table_readable",
        Error,
        Reach(include_str!(
            "../sql/rules/ten403_foreign_table_readable.sql"
        )),
        "A foreign table can have no policy.",
        "REVOKE ALL ON <table> FROM PUBLIC, tenancy_app;",
    ),
    Rule::new(
        "TEN404",
        "rule_on_tenant_table",
        Warning,
        Tables(include_str!("../sql/rules/ten404_rule_on_tenant_table.sql")),
        "What a rule turns a statement into runs with the rights of the table's owner.",
        "DROP RULE <rule> ON <table>;",
    ),
];
