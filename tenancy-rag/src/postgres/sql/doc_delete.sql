-- role: app
-- Removes a document; its text and chunks go with it. $1 tenant, $2 document. Index: primary key.
DELETE FROM tenancy.kb_docs WHERE tenant_id = $1 AND id = $2
RETURNING bytes, chunk_count
