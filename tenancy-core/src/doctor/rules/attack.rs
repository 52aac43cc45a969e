//! What the attack proves, one rule for each way in.

use crate::doctor::{
    Operation,
    rule::{Check::Attack, Rule, Severity::Error},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN951",
        "foreign_rows_visible",
        Error,
        Attack(Operation::Select),
        "A SELECT without a predicate, sent by the app in one tenant's context, returned another tenant's rows.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN952",
        "foreign_row_inserted",
        Error,
        Attack(Operation::Insert),
        "The app inserted a row for another tenant than the one of its context.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN953",
        "foreign_rows_updated",
        Error,
        Attack(Operation::Update),
        "An UPDATE without a predicate, sent by the app in one tenant's context, reached another tenant's rows.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN954",
        "foreign_rows_deleted",
        Error,
        Attack(Operation::Delete),
        "A DELETE without a predicate, sent by the app in one tenant's context, reached another tenant's rows.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN955",
        "tenant_rewritten",
        Error,
        Attack(Operation::Rewrite),
        "The app gave one of its tenant's rows to another tenant.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN956",
        "foreign_row_upserted",
        Error,
        Attack(Operation::Upsert),
        "INSERT … ON CONFLICT DO UPDATE, sent by the app in one tenant's context, wrote another tenant's row.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN957",
        "rows_without_context",
        Error,
        Attack(Operation::NoContext),
        "The app saw, reached or wrote rows although it had entered no tenant.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN958",
        "context_switch_ignored",
        Error,
        Attack(Operation::Switch),
        "A prepared statement went on to show the rows of the tenant that it was used for before.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN959",
        "foreign_row_referred",
        Error,
        Attack(Operation::Refer),
        "A row of one tenant was made to refer to another tenant's row by a foreign key, which tells that it exists and keeps it from being removed.",
        "SELECT fix FROM tenancy.table_advice('<table>') WHERE rule = 'TEN303';",
    ),
];
