-- role: app
-- What was removed of a tenant's log. Parameters: tenant, the id behind which to go on. Index: primary key.
SELECT id, ranges, reason, removed_at, key_name, signature
FROM tenancy.audit_removals WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT 100
