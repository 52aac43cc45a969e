-- role: app
-- A part of an upload. $1 tenant, $2 ingestion, $3 part, $4 bytes, $5 roles.
INSERT INTO tenancy.kb_uploads (tenant_id, ingestion_id, part, bytes, allowed_roles)
VALUES ($1, $2, $3, $4, $5)
