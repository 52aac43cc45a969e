-- role: app
-- The generation that searches look at. $1 tenant. Index: kb_generations_active.
SELECT generation, model, dimensions FROM tenancy.kb_generations WHERE tenant_id = $1 AND active
