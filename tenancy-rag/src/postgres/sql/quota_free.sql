-- role: app
-- Gives back what a removed document took. $1 tenant, $2 bytes, $3 documents, $4 chunks.
-- Index: primary key.
UPDATE tenancy.kb_quotas
SET used_bytes = used_bytes - $2, used_docs = used_docs - $3, used_chunks = used_chunks - $4
WHERE tenant_id = $1
