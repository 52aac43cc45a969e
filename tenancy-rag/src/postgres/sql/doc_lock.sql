-- role: app
-- A document that is about to get a new version; others who publish it wait.
-- $1 tenant, $2 source, $3 uri. Index: unique uri.
SELECT id, version, generation, content_hash, bytes, chunk_count, title, media_type, allowed_roles
FROM tenancy.kb_docs
WHERE tenant_id = $1 AND source_id = $2 AND uri = $3
FOR UPDATE
