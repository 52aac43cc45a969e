-- role: app
-- Sets the limits. $1 tenant, $2 bytes, $3 documents, $4 chunks. Index: primary key.
UPDATE tenancy.kb_quotas SET limit_bytes = $2, limit_docs = $3, limit_chunks = $4
WHERE tenant_id = $1
