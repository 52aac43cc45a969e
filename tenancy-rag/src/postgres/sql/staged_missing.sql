-- role: app
-- Which texts have no vector yet, neither staged nor in a chunk that the bound roles may see.
-- $1 tenant, $2 ingestion, $3 generation, $4 hashes.
-- Index: primary key of kb_staged, kb_chunks_hash.
SELECT n.hash
FROM unnest($4::bytea[]) AS n (hash)
WHERE NOT EXISTS (
        SELECT FROM tenancy.kb_staged s
        WHERE s.tenant_id = $1 AND s.ingestion_id = $2 AND s.content_hash = n.hash)
  AND NOT EXISTS (
        SELECT FROM tenancy.kb_chunks c
        WHERE c.tenant_id = $1 AND c.content_hash = n.hash AND c.generation = $3)
