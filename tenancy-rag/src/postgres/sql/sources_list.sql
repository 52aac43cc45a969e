-- role: app
-- A page of sources. $1 tenant, $2 behind this name (or NULL), $3 limit. Index: unique name.
SELECT id, name, writer_roles, created_at FROM tenancy.kb_sources
WHERE tenant_id = $1 AND ($2::text IS NULL OR name > $2)
ORDER BY name
LIMIT $3
