-- role: app
-- A document that the bound roles may see. $1 tenant, $2 document. Index: primary key.
SELECT id, source_id, uri, title, media_type, version, bytes, chunk_count, allowed_roles, updated_at
FROM tenancy.kb_docs
WHERE tenant_id = $1 AND id = $2
