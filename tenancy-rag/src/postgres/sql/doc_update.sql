-- role: app
-- A later version of a document. $1 tenant, $2 id, $3 title, $4 media type, $5 version,
-- $6 generation, $7 hash, $8 bytes, $9 chunks, $10 roles. Index: primary key.
UPDATE tenancy.kb_docs
SET title = $3, media_type = $4, version = $5, generation = $6, content_hash = $7, bytes = $8,
    chunk_count = $9, allowed_roles = $10, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2
