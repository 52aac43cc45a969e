//! Roles, and what connections bring along.

use crate::doctor::rule::{
    Check::{Catalog, Tables},
    Rule,
    Severity::Error,
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN601",
        "app_bypasses_policies",
        Error,
        Catalog(include_str!(
            "../sql/rules/ten601_app_bypasses_policies.sql"
        )),
        "Policies don't bind superusers and roles with BYPASSRLS, nor whoever can become one.",
        "ALTER ROLE <role> NOSUPERUSER NOBYPASSRLS;",
    ),
    Rule::new(
        "TEN602",
        "app_reaches_owner",
        Error,
        Tables(include_str!("../sql/rules/ten602_app_reaches_owner.sql")),
        "An owner can switch the policies off; the definer and the worker reach across tenants by design.",
        "REVOKE tenancy_owner, tenancy_definer, tenancy_worker FROM <role>;",
    ),
    Rule::new(
        "TEN603",
        "app_attributes",
        Error,
        Catalog(include_str!("../sql/rules/ten603_app_attributes.sql")),
        "CREATEROLE lets the app make itself stronger; REPLICATION lets it read every tenant's changes.",
        "ALTER ROLE <role> NOCREATEROLE NOREPLICATION;",
    ),
    Rule::new(
        "TEN604",
        "app_predefined_role",
        Error,
        Catalog(include_str!("../sql/rules/ten604_app_predefined_role.sql")),
        "These roles read or write tables that were never granted, or files and programs of the server.",
        "REVOKE <predefined role> FROM <role>;",
    ),
    Rule::new(
        "TEN605",
        "family_role_attributes",
        Error,
        Catalog(include_str!(
            "../sql/rules/ten605_family_role_attributes.sql"
        )),
        "The roles that own the tables and the functions are for nobody to log in as, and need no power past their policies.",
        "ALTER ROLE <role> NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION NOLOGIN;",
    ),
    Rule::new(
        "TEN606",
        "context_preset",
        Error,
        Catalog(include_str!("../sql/rules/ten606_context_preset.sql")),
        "A preset tenant turns 'no context, no rows' into 'no context, that tenant's rows'.",
        "ALTER ROLE <role> RESET tenancy.tenant_id;",
    ),
    Rule::new(
        "TEN607",
        "tenant_in_session",
        Error,
        Catalog(include_str!("../sql/rules/ten607_tenant_in_session.sql")),
        "A tenant that outlives its transaction is the next request's tenant.",
        "DISCARD ALL; -- and set the context with SET LOCAL only",
    ),
];
