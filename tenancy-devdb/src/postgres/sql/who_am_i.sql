-- role: operator
-- The server's version as a number, this login's name, and whether it is a superuser.
SELECT pg_catalog.current_setting('server_version_num')::int4, r.rolname::text, r.rolsuper
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = current_user
