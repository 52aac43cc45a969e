-- role: app
-- The first generation of a tenant's vectors, unless it has one.
-- $1 tenant, $2 model, $3 dimensions. Index: primary key.
INSERT INTO tenancy.kb_generations (tenant_id, generation, model, dimensions, active)
VALUES ($1, 1, $2, $3, true)
ON CONFLICT DO NOTHING
