-- role: app
-- Remembers that a receiver wants no more. $1 tenant, $2 endpoint.
INSERT INTO tenancy.webhook_gone (tenant_id, endpoint) VALUES ($1, $2) ON CONFLICT DO NOTHING
