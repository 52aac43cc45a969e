-- role: app
-- Who may write to a source. $1 tenant, $2 source. Index: primary key.
SELECT writer_roles FROM tenancy.kb_sources WHERE tenant_id = $1 AND id = $2
