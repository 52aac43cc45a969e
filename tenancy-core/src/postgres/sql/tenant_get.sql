-- role: app
-- The tenant of the context. $1 tenant. Index: primary key of tenants, tenant_slugs_current.
SELECT t.id, s.slug, t.name, t.status, t.created_at, false AS is_owner
FROM tenancy.tenants t
JOIN tenancy.tenant_slugs s ON s.tenant_id = t.id AND s.former_until IS NULL
WHERE t.id = $1
