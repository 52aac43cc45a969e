-- role: app
-- A receiver is told again. $1 tenant, $2 endpoint. Index: primary key of webhook_gone.
DELETE FROM tenancy.webhook_gone WHERE tenant_id = $1 AND endpoint = $2
