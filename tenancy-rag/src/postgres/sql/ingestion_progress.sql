-- role: app
-- How far an ingestion is; renews its lease. $1 tenant, $2 id, $3 stage, $4 bytes, $5 chunks,
-- $6 ready, $7 embedded, $8 calls, $9 retries, $10 lease in milliseconds. Index: primary key.
UPDATE tenancy.kb_ingestions
SET stage = $3, bytes_received = $4, chunks_total = $5, chunks_ready = $6, chunks_embedded = $7,
    embed_calls = $8, embed_retries = $9, updated_at = clock_timestamp(),
    lease_until = clock_timestamp() + $10::bigint * interval '1 millisecond'
WHERE tenant_id = $1 AND id = $2 AND stage NOT IN ('done', 'failed')
