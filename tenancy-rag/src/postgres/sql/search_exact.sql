-- role: app
-- The nearest chunks by comparing every visible vector. The sum keeps an HNSW out of it.
-- $1 tenant, $2 generation, $3 roles, $4 vector, $5 source (or NULL), $6 limit.
-- Index: primary key of kb_chunks.
WITH best AS MATERIALIZED (
    SELECT c.id, (c.embedding <=> $4::vector) + 0 AS distance
    FROM tenancy.kb_chunks c
    WHERE c.tenant_id = $1 AND c.generation = $2 AND c.allowed_roles && $3
      AND ($5::uuid IS NULL OR c.doc_id IN (
          SELECT s.id FROM tenancy.kb_docs s WHERE s.tenant_id = $1 AND s.source_id = $5))
    ORDER BY distance, c.id
    LIMIT $6
)
SELECT b.id AS chunk_id, c.content, b.distance, c.doc_id, c.version, d.uri, d.title, c.byte_start,
    c.byte_end, c.origin_start, c.origin_end, c.page, c.heading
FROM best b
JOIN tenancy.kb_chunks c ON c.tenant_id = $1 AND c.id = b.id
JOIN tenancy.kb_docs d ON d.tenant_id = $1 AND d.id = c.doc_id AND d.version = c.version
ORDER BY b.distance, b.id
