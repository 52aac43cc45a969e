-- role: app
-- What a search has to know: generation, model, how many chunks there are, how many of them the
-- bound roles see and whether the tenant has a valid HNSW of its own. The last two are looked at
-- from $2 chunks on. $1 tenant. Index: kb_generations_active, primary keys.
SELECT g.generation, g.model, g.dimensions,
    coalesce(q.used_chunks, 0) AS chunks,
    CASE WHEN q.used_chunks >= $2
        THEN (SELECT coalesce(sum(d.chunk_count), 0) FROM tenancy.kb_docs d WHERE d.tenant_id = $1)
        ELSE coalesce(q.used_chunks, 0) END AS visible,
    CASE WHEN q.used_chunks >= $2
        THEN EXISTS (
            SELECT FROM pg_catalog.pg_index i
            WHERE i.indisvalid AND i.indexrelid = pg_catalog.to_regclass(
                'tenancy.kb_chunks_hnsw_' || pg_catalog.replace($1::uuid::text, '-', '')))
        ELSE false END AS has_hnsw
FROM tenancy.kb_generations g
LEFT JOIN tenancy.kb_quotas q ON q.tenant_id = g.tenant_id
WHERE g.tenant_id = $1 AND g.active
