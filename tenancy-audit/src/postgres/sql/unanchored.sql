-- role: worker
-- The newest seals of the next tenants that a place does not have. Parameters: place, the tenant behind which to
-- go on, how many tenants at most. Index: primary keys.
SELECT tenant_id, number, first_entry, entries, root, ids_hash, previous, log_root, sealed_at, key_name, signature
FROM tenancy.audit_unanchored($1, $2, $3)
ORDER BY tenant_id
