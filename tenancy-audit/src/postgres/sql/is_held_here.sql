-- role: app
-- Whether the tenant is under a legal hold. Parameters: tenant. Index: primary key.
SELECT EXISTS (SELECT FROM tenancy.tenant_holds WHERE tenant_id = $1)
