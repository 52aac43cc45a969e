//! Functions that run with the rights of their owner, and those that every policy calls.

use crate::doctor::rule::{
    Check::{Catalog, Crossing, CrossingReach, Roles},
    Rule,
    Severity::{Error, Warning},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "TEN501",
        "definer_search_path",
        Error,
        Catalog(include_str!("../sql/rules/ten501_definer_search_path.sql")),
        "Names in the function are looked up where its caller says: he puts his own function there, and it runs as the owner.",
        "ALTER FUNCTION <function> SET search_path = pg_catalog, pg_temp;",
    ),
    Rule::new(
        "TEN502",
        "definer_temporary_types",
        Warning,
        Catalog(include_str!(
            "../sql/rules/ten502_definer_temporary_types.sql"
        )),
        "With an empty search_path, names of types are still looked up in the caller's temporary schema first: a domain there runs code as the owner.",
        "ALTER FUNCTION <function> SET search_path = pg_catalog, pg_temp;",
    ),
    Rule::new(
        "TEN503",
        "definer_executable_by_public",
        Error,
        Catalog(include_str!(
            "../sql/rules/ten503_definer_executable_by_public.sql"
        )),
        "Postgres grants EXECUTE on new functions to everybody. With SECURITY DEFINER that hands out the owner's rights.",
        "REVOKE EXECUTE ON FUNCTION <function> FROM PUBLIC;",
    ),
    Rule::new(
        "TEN504",
        "definer_bypasses_policies",
        Error,
        Roles(include_str!(
            "../sql/rules/ten504_definer_bypasses_policies.sql"
        )),
        "Inside such a function no policy holds: one forgotten predicate reads all tenants.",
        "ALTER FUNCTION <function> OWNER TO tenancy_definer;",
    ),
    Rule::new(
        "TEN505",
        "definer_of_another_owner",
        Error,
        Catalog(include_str!(
            "../sql/rules/ten505_definer_of_another_owner.sql"
        )),
        "tenancy_definer sees what its policies list, and nothing else; another owner has rights that nobody listed.",
        "ALTER FUNCTION <function> OWNER TO tenancy_definer;",
    ),
    Rule::new(
        "TEN506",
        "crossing_function_unknown",
        Warning,
        Crossing(include_str!(
            "../sql/rules/ten506_crossing_function_unknown.sql"
        )),
        "Functions that reach across tenants are a closed list, so that a new one is looked at.",
        "REVOKE EXECUTE ON FUNCTION <function> FROM tenancy_worker;",
    ),
    Rule::new(
        "TEN507",
        "crossing_function_for_app",
        Error,
        CrossingReach(include_str!(
            "../sql/rules/ten507_crossing_function_for_app.sql"
        )),
        "Claiming, sweeping and purging reach all tenants' rows. They are for the worker.",
        "REVOKE EXECUTE ON FUNCTION <function> FROM PUBLIC, tenancy_app;",
    ),
    Rule::new(
        "TEN508",
        "context_helper_not_inlinable",
        Warning,
        Catalog(include_str!(
            "../sql/rules/ten508_context_helper_not_inlinable.sql"
        )),
        "A helper that can't be inlined is called for every row, and the planner no longer knows which tenant it plans for.",
        "ALTER FUNCTION <function> SECURITY INVOKER STABLE PARALLEL SAFE RESET ALL;",
    ),
    Rule::new(
        "TEN509",
        "context_helper_changed",
        Error,
        Catalog(include_str!(
            "../sql/rules/ten509_context_helper_changed.sql"
        )),
        "Every policy asks this function which tenant it is. If it answers anything else, none of them holds.",
        "-- as the migration says it: CREATE OR REPLACE FUNCTION util.current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE RETURN nullif(current_setting('tenancy.tenant_id', true), '')::uuid;",
    ),
    Rule::new(
        "TEN510",
        "own_leakproof_function",
        Error,
        Catalog(include_str!(
            "../sql/rules/ten510_own_leakproof_function.sql"
        )),
        "A leakproof function may run before the policies, on every tenant's rows. Whether it really tells nothing, nobody has checked.",
        "ALTER FUNCTION <function> NOT LEAKPROOF;",
    ),
    Rule::new(
        "TEN511",
        "default_execute",
        Error,
        Roles(include_str!("../sql/rules/ten511_default_execute.sql")),
        "A function of the family that everybody may call the moment it is created reaches across tenants until somebody takes that back.",
        "ALTER DEFAULT PRIVILEGES FOR ROLE tenancy_definer REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;",
    ),
];
