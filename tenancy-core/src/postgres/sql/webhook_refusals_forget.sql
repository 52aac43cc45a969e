-- role: app
-- Forgets the refusals of a message. $1 tenant, $2 endpoint, $3 id of the message. Index: primary key
-- of webhook_refusals.
DELETE FROM tenancy.webhook_refusals WHERE tenant_id = $1 AND endpoint = $2 AND message = $3
