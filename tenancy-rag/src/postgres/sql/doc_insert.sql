-- role: app
-- The first version of a document. No row if somebody was faster.
-- $1 tenant, $2 id, $3 source, $4 uri, $5 title, $6 media type, $7 generation, $8 hash, $9 bytes,
-- $10 chunks, $11 roles. Index: unique uri.
INSERT INTO tenancy.kb_docs (tenant_id, id, source_id, uri, title, media_type, version, generation,
    content_hash, bytes, chunk_count, allowed_roles)
VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
