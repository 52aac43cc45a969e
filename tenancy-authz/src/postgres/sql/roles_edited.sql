-- role: operator
-- A page of the roles, over all tenants, that the newest revision of their template did not reach.
-- $1 after this tenant (or NULL), $2 after this role of it (or NULL), $3 limit.
SELECT tenant_id, role_key, version, outcome FROM tenancy.edited_roles($1, $2, $3)
