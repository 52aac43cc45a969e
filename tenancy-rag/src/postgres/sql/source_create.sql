-- role: app
-- Makes a source unless its name is taken. $1 tenant, $2 id, $3 name. Index: unique name.
INSERT INTO tenancy.kb_sources (tenant_id, id, name) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, name) DO NOTHING
