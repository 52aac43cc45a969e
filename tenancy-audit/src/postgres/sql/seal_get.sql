-- role: app
-- One seal with what it holds. Parameters: tenant, number. Index: primary key.
SELECT number, first_entry, entries, root, ids_hash, previous, log_root, sealed_at, key_name, signature, ids, leaves
FROM tenancy.audit_seals WHERE tenant_id = $1 AND number = $2
