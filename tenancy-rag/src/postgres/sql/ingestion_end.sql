-- role: app
-- Ends an ingestion: what it holds is given back, what is stored instead is counted, and parts and
-- staged vectors go. No row if it had
-- ended before, or if more would be stored than was reserved. $1 tenant, $2 id, $3 `done` or `failed`,
-- $4 document, $5 version, $6 error code, $7 error message, $8 bytes, $9 documents and $10 chunks
-- more than before. Index: primary keys.
WITH ended AS (
    UPDATE tenancy.kb_ingestions
    SET stage = $3, doc_id = $4, doc_version = $5, error_code = $6, error_message = $7,
        updated_at = clock_timestamp()
    WHERE tenant_id = $1 AND id = $2 AND stage NOT IN ('done', 'failed')
    RETURNING held_bytes, held_docs, held_chunks
), uploads AS (
    DELETE FROM tenancy.kb_uploads WHERE tenant_id = $1 AND ingestion_id = $2
), staged AS (
    DELETE FROM tenancy.kb_staged WHERE tenant_id = $1 AND ingestion_id = $2
)
UPDATE tenancy.kb_quotas q
SET held_bytes = q.held_bytes - e.held_bytes,
    held_docs = q.held_docs - e.held_docs,
    held_chunks = q.held_chunks - e.held_chunks,
    used_bytes = q.used_bytes + $8,
    used_docs = q.used_docs + $9,
    used_chunks = q.used_chunks + $10
FROM ended e
WHERE q.tenant_id = $1 AND $8 <= e.held_bytes AND $9 <= e.held_docs AND $10 <= e.held_chunks
