-- role: app
-- What was recorded under these keys.
-- Parameters: tenant, hashes of keys. Index: primary key.
SELECT k.key_hash, k.entry_id, k.content_hash FROM tenancy.audit_keys k
WHERE k.tenant_id = $1 AND k.key_hash = ANY ($2)
