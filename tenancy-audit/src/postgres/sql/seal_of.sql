-- role: app
-- The seal that holds an entry, and what of the entry is sealed. Parameters: tenant, entry.
-- Index: audit_seals_ids; of the seals that reach up to the entry's id, the first that holds it.
SELECT s.number, s.first_entry, s.entries, s.root, s.ids_hash, s.previous, s.log_root, s.sealed_at, s.key_name,
       s.signature, s.ids, s.leaves, l.created_at, l.txid::text AS txid
FROM tenancy.audit_logs l
JOIN LATERAL (
    SELECT * FROM tenancy.audit_seals s
    WHERE s.tenant_id = $1 AND s.id_max >= $2 AND s.id_min <= $2
      AND position(uuid_send($2) IN s.ids) > 0
    ORDER BY s.id_max
    LIMIT 1
) s ON true
WHERE l.tenant_id = $1 AND l.id = $2
