-- role: app
-- The next entries of a tenant in the order of their ids. Parameters: tenant, the id behind which to go on.
-- Index: primary key.
SELECT id, txid::text AS txid FROM tenancy.audit_logs WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT 4096
