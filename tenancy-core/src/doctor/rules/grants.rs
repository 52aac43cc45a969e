//! What the app is granted.

use crate::doctor::rule::{
    Check::{Reach, Roles, Tables},
    Rule,
    Severity::{Error, Warning},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN201",
        "dangerous_privilege",
        Error,
        Reach(include_str!("../sql/rules/ten201_dangerous_privilege.sql")),
        "TRUNCATE ignores policies and empties all tenants; REFERENCES tells whether a foreign row exists; TRIGGER and MAINTAIN run code or rewrite on the owner's behalf.",
        "REVOKE TRUNCATE, REFERENCES, TRIGGER ON <table> FROM tenancy_app;",
    ),
    Rule::new(
        "TEN202",
        "granted_to_public",
        Error,
        Tables(include_str!("../sql/rules/ten202_granted_to_public.sql")),
        "What PUBLIC may do, every login may do, whether it is meant for this database or not.",
        "REVOKE ALL ON <table> FROM PUBLIC;",
    ),
    Rule::new(
        "TEN203",
        "schema_create",
        Error,
        Roles(include_str!("../sql/rules/ten203_schema_create.sql")),
        "Whoever may create objects can put a function or an operator in front of the one that others call.",
        "REVOKE CREATE ON SCHEMA <schema> FROM PUBLIC, tenancy_app;",
    ),
    Rule::new(
        "TEN204",
        "database_create",
        Error,
        Roles(include_str!("../sql/rules/ten204_database_create.sql")),
        "A schema of its own lets the app create the objects that it may not create elsewhere.",
        "REVOKE CREATE ON DATABASE <database> FROM PUBLIC, tenancy_app;",
    ),
    Rule::new(
        "TEN205",
        "default_privileges",
        Warning,
        Roles(include_str!("../sql/rules/ten205_default_privileges.sql")),
        "A table that is granted the moment it is created is open until somebody protects it.",
        "ALTER DEFAULT PRIVILEGES FOR ROLE <role> REVOKE ALL ON TABLES FROM tenancy_app;",
    ),
    Rule::new(
        "TEN206",
        "grant_option",
        Error,
        Reach(include_str!("../sql/rules/ten206_grant_option.sql")),
        "A privilege that may be passed on ends where nobody looks.",
        "REVOKE GRANT OPTION FOR ALL ON <table> FROM tenancy_app CASCADE;",
    ),
    Rule::new(
        "TEN207",
        "family_table_writable",
        Error,
        Roles(include_str!(
            "../sql/rules/ten207_family_table_writable.sql"
        )),
        "Members, roles and tenants are written by functions that check who may, keep the last owner and tell caches. A direct write does none of it.",
        "REVOKE INSERT, UPDATE, DELETE ON <table> FROM tenancy_app;",
    ),
    Rule::new(
        "TEN208",
        "hash_table_readable",
        Error,
        Roles(include_str!("../sql/rules/ten208_hash_table_readable.sql")),
        "These tables hold all tenants' hashes and identities. Only functions that are given the key may look into them.",
        "REVOKE ALL ON <table> FROM tenancy_app;",
    ),
    Rule::new(
        "TEN209",
        "audit_not_append_only",
        Error,
        Roles(include_str!(
            "../sql/rules/ten209_audit_not_append_only.sql"
        )),
        "A log that its writer can change proves nothing.",
        "REVOKE UPDATE, DELETE, TRUNCATE ON <table> FROM tenancy_app;",
    ),
];
