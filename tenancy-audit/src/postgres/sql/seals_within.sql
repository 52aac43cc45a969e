-- role: app
-- Seals that may hold entries of a stretch of ids. Parameters: tenant; first and last id; behind which number.
-- Index: primary key.
SELECT number, first_entry, entries, root, ids_hash, previous, log_root, sealed_at, key_name, signature, ids, leaves
FROM tenancy.audit_seals
WHERE tenant_id = $1 AND id_max >= $2 AND id_min <= $3 AND number > $4
ORDER BY number LIMIT 16
