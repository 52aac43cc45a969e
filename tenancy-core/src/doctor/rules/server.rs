//! The server, the record of migrations, the schemas of the family, and readiness for shards.

use crate::doctor::rule::{
    Check::{Catalog, Tables},
    Rule,
    Severity::{Error, Info},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN701",
        "server_outdated",
        Error,
        Catalog(include_str!("../sql/rules/ten701_server_outdated.sql")),
        "Older servers have known holes through which rows, or what statistics say of them, get past policies.",
        "SHOW server_version; -- upgrade to 16.10, 17.6 or 18",
    ),
    Rule::new(
        "TEN801",
        "migration_gap",
        Error,
        Catalog(include_str!("../sql/rules/ten801_migration_gap.sql")),
        "A step that is no longer recorded runs again, or is taken as never run.",
        "SELECT * FROM tenancy.schema_migrations ORDER BY component, version;",
    ),
    Rule::new(
        "TEN802",
        "family_object_of_another_owner",
        Error,
        Catalog(include_str!(
            "../sql/rules/ten802_family_object_of_another_owner.sql"
        )),
        "What another role owns, it can change: policies, bodies of functions, grants.",
        "ALTER TABLE <object> OWNER TO tenancy_owner;",
    ),
    Rule::new(
        "TEN803",
        "family_schema_open",
        Error,
        Catalog(include_str!("../sql/rules/ten803_family_schema_open.sql")),
        "Whoever may create in these schemas can put a function beside the ones that policies call.",
        "REVOKE CREATE ON SCHEMA <schema> FROM <role>;",
    ),
    Rule::new(
        "TEN901",
        "trigger_on_tenant_table",
        Info,
        Tables(include_str!(
            "../sql/rules/ten901_trigger_on_tenant_table.sql"
        )),
        "Distributed tables have no triggers. On one server a trigger is yours to keep, as a second net and not as the first.",
        "DROP TRIGGER <trigger> ON <table>;",
    ),
    Rule::new(
        "TEN902",
        "sequence_not_bigint",
        Info,
        Tables(include_str!("../sql/rules/ten902_sequence_not_bigint.sql")),
        "Distributed tables count in bigint only, and a narrower sequence ends one day.",
        "ALTER SEQUENCE <sequence> AS bigint; ALTER TABLE <table> ALTER COLUMN <column> TYPE bigint;",
    ),
];
