-- role: app
-- Stores an event for the platform's receivers. $1 tenant, $2 id (uuid v7), $3 their names, $4 the
-- body that is sent.
INSERT INTO tenancy.webhook_events (tenant_id, id, endpoints, body)
VALUES ($1, $2, $3, $4)
