-- role: app
-- Tells whoever listens which tenants' rights changed. $1 tenants. No table is read.
-- Without waiting for the disk: the commit holds a lock on the whole database, and what is told does
-- not outlive the server anyway.
SELECT count(pg_notify('tenancy_authz', tenant::text)), set_config('synchronous_commit', 'off', true)
FROM unnest($1::uuid[]) AS tenant
