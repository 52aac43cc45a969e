-- role: app
-- A source by its name. $1 tenant, $2 name. Index: unique name.
SELECT id FROM tenancy.kb_sources WHERE tenant_id = $1 AND name = $2
