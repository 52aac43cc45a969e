-- role: app
-- Sets who may write to a source. $1 tenant, $2 source, $3 roles. Index: primary key.
UPDATE tenancy.kb_sources SET writer_roles = $3 WHERE tenant_id = $1 AND id = $2
