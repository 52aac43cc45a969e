-- role: app
-- The parts of an upload in their order. $1 tenant, $2 ingestion. Index: primary key.
SELECT bytes FROM tenancy.kb_uploads WHERE tenant_id = $1 AND ingestion_id = $2 ORDER BY part
