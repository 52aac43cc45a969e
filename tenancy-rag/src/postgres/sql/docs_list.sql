-- role: app
-- A page of documents that the bound roles may see, oldest first.
-- $1 tenant, $2 source (or NULL), $3 behind this one (or NULL), $4 limit. Index: primary key.
SELECT id, source_id, uri, title, media_type, version, bytes, chunk_count, allowed_roles, updated_at
FROM tenancy.kb_docs
WHERE tenant_id = $1
  AND ($2::uuid IS NULL OR source_id = $2)
  AND ($3::uuid IS NULL OR id > $3)
ORDER BY id
LIMIT $4
