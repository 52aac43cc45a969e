-- role: app
-- The tenant's row of counters, unless it is there. $1 tenant. Index: primary key.
INSERT INTO tenancy.kb_quotas (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING
