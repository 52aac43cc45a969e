-- role: app
-- Forgets an ingestion that has ended. $1 tenant, $2 id. Index: primary key.
DELETE FROM tenancy.kb_ingestions WHERE tenant_id = $1 AND id = $2 AND stage IN ('done', 'failed')
