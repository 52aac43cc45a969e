-- role: app
-- Makes a source unless its name is taken. $1 tenant, $2 id, $3 name, $4 writers. Index: unique name.
INSERT INTO tenancy.kb_sources (tenant_id, id, name, writer_roles) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, name) DO NOTHING
