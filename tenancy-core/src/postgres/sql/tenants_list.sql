-- role: worker
-- A page of all tenants in the order of their ids. $1 state or NULL, $2 only those due for a purge,
-- $3 after this one or NULL, $4 limit. Index: primary key of tenants.
SELECT id, slug, name, status, created_at, delete_after, held
FROM tenancy.list_tenants($1, $2, $3, $4)
