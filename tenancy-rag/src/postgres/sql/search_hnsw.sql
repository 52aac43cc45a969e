-- role: app
-- The nearest chunks that an HNSW proposes, compared exactly. Needs a custom plan, since only that
-- sees that the tenant's partial index fits.
-- $1 tenant, $2 generation, $3 roles, $4 vector, $5 source (or NULL), $6 limit, $7 candidates.
-- Index: kb_chunks_hnsw_<tenant> or kb_chunks_hnsw_global.
WITH candidates AS MATERIALIZED (
    SELECT c.id, c.embedding
    FROM tenancy.kb_chunks c
    WHERE c.tenant_id = $1 AND c.generation = $2 AND c.allowed_roles && $3
      AND ($5::uuid IS NULL OR c.doc_id IN (
          SELECT s.id FROM tenancy.kb_docs s WHERE s.tenant_id = $1 AND s.source_id = $5))
    ORDER BY c.embedding::halfvec(1536) <=> $4::vector::halfvec(1536)
    LIMIT $7
), best AS MATERIALIZED (
    SELECT k.id, k.embedding <=> $4::vector AS distance
    FROM candidates k
    ORDER BY distance, k.id
    LIMIT $6
)
SELECT b.id AS chunk_id, c.content, b.distance, c.doc_id, c.version, d.uri, d.title, c.byte_start,
    c.byte_end, c.origin_start, c.origin_end, c.page, c.heading
FROM best b
JOIN tenancy.kb_chunks c ON c.tenant_id = $1 AND c.id = b.id
JOIN tenancy.kb_docs d ON d.tenant_id = $1 AND d.id = c.doc_id AND d.version = c.version
ORDER BY b.distance, b.id
