-- role: app
-- Limits and counters. $1 tenant; $2 to $4 the limits of a tenant that has none of its own.
-- Index: primary key.
SELECT coalesce(limit_bytes, $2) AS limit_bytes, coalesce(limit_docs, $3) AS limit_docs,
    coalesce(limit_chunks, $4) AS limit_chunks, used_bytes, used_docs, used_chunks,
    held_bytes, held_docs, held_chunks
FROM tenancy.kb_quotas
WHERE tenant_id = $1
