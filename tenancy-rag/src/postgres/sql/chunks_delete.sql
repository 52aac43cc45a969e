-- role: app
-- Chunks that the new version does not have. $1 tenant, $2 ids. Index: primary key.
DELETE FROM tenancy.kb_chunks WHERE tenant_id = $1 AND id = ANY ($2)
