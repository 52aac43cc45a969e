-- role: app
-- Whether a receiver wants no more. $1 tenant, $2 endpoint. Index: primary key of webhook_gone.
SELECT EXISTS (SELECT FROM tenancy.webhook_gone WHERE tenant_id = $1 AND endpoint = $2)
