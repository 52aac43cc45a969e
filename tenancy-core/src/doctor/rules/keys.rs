//! Keys, references and indexes.

use crate::doctor::rule::{
    Check::{Reach, Tables},
    Rule,
    Severity::{Error, Warning},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN301",
        "unique_without_tenant",
        Error,
        Reach(include_str!(
            "../sql/rules/ten301_unique_without_tenant.sql"
        )),
        "A key that is unique over all tenants answers, by its error, whether another tenant has the value; ON CONFLICT DO NOTHING answers in silence.",
        "CREATE UNIQUE INDEX ON <table> (tenant_id, <columns>); DROP INDEX <index>;",
    ),
    Rule::new(
        "TEN302",
        "uuid_key_without_tenant",
        Warning,
        Reach(include_str!(
            "../sql/rules/ten302_uuid_key_without_tenant.sql"
        )),
        "Nobody guesses a uuid, but foreign keys to it can't hold the tenant, and the table can't be distributed by tenant.",
        "ALTER TABLE <table> ADD UNIQUE (tenant_id, id);",
    ),
    Rule::new(
        "TEN303",
        "reference_without_tenant",
        Error,
        Tables(include_str!(
            "../sql/rules/ten303_reference_without_tenant.sql"
        )),
        "A foreign key is checked past all policies: a row can refer to another tenant's row, and the error or its absence tells whether that row exists.",
        "ALTER TABLE <table> ADD FOREIGN KEY (tenant_id, <column>) REFERENCES <parent> (tenant_id, id);",
    ),
    Rule::new(
        "TEN304",
        "reference_sets_null",
        Warning,
        Tables(include_str!("../sql/rules/ten304_reference_sets_null.sql")),
        "SET NULL and SET DEFAULT write the tenant column too unless told otherwise, and a distributed table accepts neither.",
        "ALTER TABLE <table> ADD FOREIGN KEY (tenant_id, <column>) REFERENCES <parent> ON DELETE RESTRICT;",
    ),
    Rule::new(
        "TEN305",
        "no_tenant_index",
        Warning,
        Tables(include_str!("../sql/rules/ten305_no_tenant_index.sql")),
        "Every statement asks for the tenant first. Without an index that begins with it, each reads the whole table.",
        "CREATE INDEX CONCURRENTLY ON <table> (tenant_id);",
    ),
    Rule::new(
        "TEN306",
        "no_primary_key",
        Warning,
        Tables(include_str!("../sql/rules/ten306_no_primary_key.sql")),
        "A row that has no key can't be referred to, replicated or corrected.",
        "ALTER TABLE <table> ADD PRIMARY KEY (tenant_id, id);",
    ),
    Rule::new(
        "TEN307",
        "key_not_led_by_tenant",
        Warning,
        Tables(include_str!(
            "../sql/rules/ten307_key_not_led_by_tenant.sql"
        )),
        "Led by the tenant, the key serves every policy and keeps a tenant's rows together; behind other columns it does neither.",
        "CREATE UNIQUE INDEX CONCURRENTLY ON <table> (tenant_id, <columns>);",
    ),
    Rule::new(
        "TEN308",
        "invalid_index",
        Warning,
        Tables(include_str!("../sql/rules/ten308_invalid_index.sql")),
        "An index whose CREATE INDEX CONCURRENTLY failed costs every write and serves nothing.",
        "REINDEX INDEX CONCURRENTLY <index>;",
    ),
    Rule::new(
        "TEN309",
        "exclusion_without_tenant",
        Error,
        Reach(include_str!(
            "../sql/rules/ten309_exclusion_without_tenant.sql"
        )),
        "An exclusion over all tenants answers, by its error, what another tenant has.",
        "ALTER TABLE <table> ADD EXCLUDE USING gist (tenant_id WITH =, <columns>);",
    ),
    Rule::new(
        "TEN310",
        "constraint_not_validated",
        Warning,
        Tables(include_str!(
            "../sql/rules/ten310_constraint_not_validated.sql"
        )),
        "Rows from before may break it, and nobody notices.",
        "ALTER TABLE <table> VALIDATE CONSTRAINT <constraint>;",
    ),
    Rule::new(
        "TEN311",
        "index_not_leakproof",
        Warning,
        Tables(include_str!("../sql/rules/ten311_index_not_leakproof.sql")),
        "An operator that is not leakproof may only see rows that the policies have passed, so that its index is never used: measured, 15 ms instead of 0.1 ms.",
        "DROP INDEX CONCURRENTLY <index>; -- and search in a function of tenancy_definer that holds the tenant's condition",
    ),
];
