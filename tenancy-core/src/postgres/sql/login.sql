-- role: app
-- What the login is, and by which roles it could get around row-level security.
-- No parameters. Reads the catalog only; the roles may not exist yet.
SELECT current_user::text AS name,
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
    (SELECT min(rolname::text) FROM pg_catalog.pg_roles
        WHERE (rolbypassrls OR rolsuper) AND pg_has_role(current_user, oid, 'MEMBER')) AS bypass,
    (SELECT min(rolname::text) FROM pg_catalog.pg_roles
        WHERE rolname IN ('tenancy_owner', 'tenancy_definer', 'tenancy_worker')
          AND rolname <> current_user AND pg_has_role(current_user, oid, 'MEMBER')) AS powerful,
    (SELECT min(c.oid::pg_catalog.regclass::text) FROM pg_catalog.pg_class c
        WHERE c.relforcerowsecurity AND pg_has_role(current_user, c.relowner, 'MEMBER')) AS owned_table,
    (SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_catalog.pg_roles WHERE rolname = 'tenancy_app') AS is_app,
    (SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_catalog.pg_roles WHERE rolname = 'tenancy_worker') AS is_worker
