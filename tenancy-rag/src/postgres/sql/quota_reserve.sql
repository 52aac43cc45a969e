-- role: app
-- Reserves room if there is room, in one statement: whoever comes second sees what the first took.
-- $1 tenant, $2 ingestion, $3 bytes, $4 documents, $5 chunks; $6 to $8 the limits of a tenant that
-- has none of its own. No row is changed where a limit stands in the way. The ingestion is locked
-- before the counters, as everywhere. Index: primary keys.
WITH mine AS (
    SELECT i.id FROM tenancy.kb_ingestions i
    WHERE i.tenant_id = $1 AND i.id = $2 AND i.stage NOT IN ('done', 'failed')
    FOR UPDATE
), granted AS (
    UPDATE tenancy.kb_quotas
    SET held_bytes = held_bytes + $3, held_docs = held_docs + $4, held_chunks = held_chunks + $5
    WHERE tenant_id = $1 AND EXISTS (SELECT FROM mine)
      AND ($3 = 0 OR used_bytes + held_bytes + $3 <= coalesce(limit_bytes, $6))
      AND ($4 = 0 OR used_docs + held_docs + $4 <= coalesce(limit_docs, $7))
      AND ($5 = 0 OR used_chunks + held_chunks + $5 <= coalesce(limit_chunks, $8))
    RETURNING tenant_id
)
UPDATE tenancy.kb_ingestions i
SET held_bytes = i.held_bytes + $3, held_docs = i.held_docs + $4, held_chunks = i.held_chunks + $5
FROM granted g
WHERE i.tenant_id = g.tenant_id AND i.id = $2
