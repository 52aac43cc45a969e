-- role: operator
-- Whether there is anything to examine: the family's roles, schema and helper, and the server's version.
-- No parameters.
SELECT to_regclass('tenancy.schema_migrations') IS NOT NULL
        AND to_regprocedure('util.current_tenant()') IS NOT NULL
        AND (SELECT count(*) = 4 FROM pg_catalog.pg_roles
             WHERE rolname IN ('tenancy_owner', 'tenancy_definer', 'tenancy_app', 'tenancy_worker')) AS migrated,
    current_setting('server_version') AS server_version
