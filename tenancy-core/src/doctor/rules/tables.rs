//! Tables, partitions and their tenant columns.

use crate::doctor::rule::{
    Check::{Reach, Tables},
    Rule,
    Severity::{Error, Warning},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN001",
        "row_security_off",
        Error,
        Tables(include_str!("../sql/rules/ten001_row_security_off.sql")),
        "Without row-level security every query that forgets its tenant reads and writes all tenants' rows.",
        "SELECT tenancy.protect_table('<table>');",
    ),
    Rule::new(
        "TEN002",
        "row_security_not_forced",
        Error,
        Tables(include_str!(
            "../sql/rules/ten002_row_security_not_forced.sql"
        )),
        "Policies don't bind a table's owner unless they are forced: migrations, functions and views of the owner see all tenants.",
        "ALTER TABLE <table> FORCE ROW LEVEL SECURITY;",
    ),
    Rule::new(
        "TEN003",
        "tenant_column_nullable",
        Error,
        Tables(include_str!(
            "../sql/rules/ten003_tenant_column_nullable.sql"
        )),
        "A row without a tenant belongs to nobody: no policy shows it, no export holds it, no deletion of a tenant removes it.",
        "ALTER TABLE <table> ALTER COLUMN <column> SET NOT NULL;",
    ),
    Rule::new(
        "TEN004",
        "tenant_column_type",
        Error,
        Tables(include_str!("../sql/rules/ten004_tenant_column_type.sql")),
        "A tenant is a uuid. Another type needs a cast in every policy, which keeps indexes from being used, and admits spellings that are equal but not the same.",
        "ALTER TABLE <table> ALTER COLUMN <column> TYPE uuid USING <column>::text::uuid;",
    ),
    Rule::new(
        "TEN005",
        "partition_unprotected",
        Error,
        Tables(include_str!(
            "../sql/rules/ten005_partition_unprotected.sql"
        )),
        "The policies of a partitioned table don't bind whoever reads a partition by its own name.",
        "ALTER TABLE <partition> ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
    ),
    Rule::new(
        "TEN006",
        "partition_granted",
        Error,
        Reach(include_str!("../sql/rules/ten006_partition_granted.sql")),
        "Whoever may read a partition by its own name goes around the policies of the partitioned table.",
        "REVOKE ALL ON <partition> FROM PUBLIC, tenancy_app;",
    ),
    Rule::new(
        "TEN007",
        "child_without_tenant",
        Error,
        Reach(include_str!("../sql/rules/ten007_child_without_tenant.sql")),
        "Rows that hang on a tenant's rows are a tenant's rows. Without the column nothing can protect them.",
        "ALTER TABLE <table> ADD COLUMN tenant_id uuid; -- fill it, SET NOT NULL, then tenancy.protect_table",
    ),
    Rule::new(
        "TEN008",
        "shared_table_writable",
        Warning,
        Reach(include_str!(
            "../sql/rules/ten008_shared_table_writable.sql"
        )),
        "What one tenant writes into a shared table, all tenants read.",
        "REVOKE INSERT, UPDATE, DELETE ON <table> FROM tenancy_app;",
    ),
    Rule::new(
        "TEN009",
        "unlogged",
        Warning,
        Tables(include_str!("../sql/rules/ten009_unlogged.sql")),
        "An unlogged table is empty after a crash, and is missing on replicas.",
        "ALTER TABLE <table> SET LOGGED;",
    ),
    Rule::new(
        "TEN010",
        "tenant_default",
        Error,
        Tables(include_str!("../sql/rules/ten010_tenant_default.sql")),
        "A fixed default files rows under a tenant that nobody named.",
        "ALTER TABLE <table> ALTER COLUMN <column> DROP DEFAULT;",
    ),
];
