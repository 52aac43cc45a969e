-- role: app
-- The next adoptions of a tenant's log. Parameters: tenant; the adoption behind which to go on. Index: primary key.
SELECT id, number, entries, loose, lost_numbers, lost_hashes, reason, adopted_at, key_name, signature
FROM tenancy.audit_adoptions WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT 10
