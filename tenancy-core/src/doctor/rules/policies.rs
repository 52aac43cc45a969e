//! What policies say, and for whom.

use crate::doctor::rule::{
    Check::{Reach, Tables},
    Rule,
    Severity::{Error, Warning},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN101",
        "command_without_policy",
        Warning,
        Reach(include_str!(
            "../sql/rules/ten101_command_without_policy.sql"
        )),
        "A command that is granted but admitted by no policy does nothing, without an error: the app reads no rows and wonders.",
        "SELECT tenancy.protect_table('<table>', '{<commands>}');",
    ),
    Rule::new(
        "TEN102",
        "policy_for_public",
        Error,
        Tables(include_str!("../sql/rules/ten102_policy_for_public.sql")),
        "A policy TO PUBLIC widens what every role sees, those that are added later included.",
        "ALTER POLICY <policy> ON <table> TO tenancy_app;",
    ),
    Rule::new(
        "TEN103",
        "policy_for_another_role",
        Warning,
        Reach(include_str!(
            "../sql/rules/ten103_policy_for_another_role.sql"
        )),
        "Each further role with a policy is a further way to the rows, and one that the attack does not take.",
        "DROP POLICY <policy> ON <table>;",
    ),
    Rule::new(
        "TEN104",
        "policy_not_canonical",
        Error,
        Reach(include_str!("../sql/rules/ten104_policy_not_canonical.sql")),
        "Policies are joined by OR: one that asks anything but for the tenant first opens the table, whatever the others say. Only the one expression can be checked by eye, estimated by the planner and sharded.",
        "ALTER POLICY <policy> ON <table> USING (tenant_id = util.current_tenant());",
    ),
    Rule::new(
        "TEN105",
        "policy_always_true",
        Error,
        Reach(include_str!("../sql/rules/ten105_policy_always_true.sql")),
        "A policy that is true shows every tenant's rows to every tenant.",
        "DROP POLICY <policy> ON <table>;",
    ),
    Rule::new(
        "TEN106",
        "policy_restrictive",
        Warning,
        Tables(include_str!("../sql/rules/ten106_policy_restrictive.sql")),
        "Citus silently turns a restrictive policy into a permissive one, which then opens what it was to close.",
        "DROP POLICY <policy> ON <table>; -- and put its condition behind AND in the permissive policies",
    ),
    Rule::new(
        "TEN107",
        "policy_queries",
        Warning,
        Tables(include_str!("../sql/rules/ten107_policy_queries.sql")),
        "A subquery in a policy runs for each row: measured, a hundred times slower than a setting. It also reads tables whose own policies may answer nothing.",
        "ALTER POLICY <policy> ON <table> USING (tenant_id = util.current_tenant());",
    ),
    Rule::new(
        "TEN108",
        "several_policies",
        Warning,
        Reach(include_str!("../sql/rules/ten108_several_policies.sql")),
        "Permissive policies are joined by OR, so that a second one can only widen the first.",
        "DROP POLICY <policy> ON <table>;",
    ),
];
