-- role: app
-- Vectors for a publication; one that is there stays. $1 tenant, $2 ingestion, $3 roles,
-- $4 hashes, $5 vectors. Index: primary key.
INSERT INTO tenancy.kb_staged (tenant_id, ingestion_id, content_hash, embedding, allowed_roles)
SELECT $1, $2, n.hash, n.embedding, $3
FROM unnest($4::bytea[], $5::vector[]) AS n (hash, embedding)
ON CONFLICT DO NOTHING
