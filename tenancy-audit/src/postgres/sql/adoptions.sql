-- role: app
-- The newest adoptions of a tenant's log. Parameters: tenant. Index: primary key.
SELECT id, number, entries, loose, lost_numbers, lost_hashes, reason, adopted_at, key_name, signature
FROM tenancy.audit_adoptions WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1000
