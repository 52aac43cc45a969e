-- role: app
-- Tells whoever listens which tenants' rights changed. $1 tenants. No table is read.
SELECT count(pg_notify('tenancy_authz', tenant::text)) FROM unnest($1::uuid[]) AS tenant
