-- role: app
-- Where the context's tenant is in its life. $1 tenant.
-- Index: primary keys of tenants and tenant_holds.
SELECT t.status, t.status_before, t.status_reason, t.status_by_platform, t.status_since, t.delete_after,
    ARRAY(SELECT h.reference FROM tenancy.tenant_holds h WHERE h.tenant_id = t.id ORDER BY h.reference) AS holds
FROM tenancy.tenants t
WHERE t.id = $1
