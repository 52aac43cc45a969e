-- role: app
-- An ingestion that the caller started, or whose document he may read. $1 tenant, $2 id.
-- Index: primary key.
SELECT id, source_id, uri, title, media_type, allowed_roles, stage, bytes_received, chunks_total,
    chunks_ready, chunks_embedded, embed_calls, embed_retries, held_bytes, held_docs, held_chunks, doc_id, doc_version, error_code,
    error_message, created_at, updated_at
FROM tenancy.kb_ingestions
WHERE tenant_id = $1 AND id = $2
