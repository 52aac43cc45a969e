-- role: app
-- How the next search walks an HNSW, until the transaction ends: a plan for these very values, by
-- the graph, as wide as the candidates, and further where rows are filtered out. Answers whether a
-- valid HNSW covers the tenant. $1 tenant, $2 width of the search, from 1 to 1000.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_sort', 'off', true),
    set_config('hnsw.ef_search', $2, true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true),
    EXISTS (
        SELECT FROM pg_catalog.pg_index i
        WHERE i.indisvalid AND i.indexrelid IN (
            pg_catalog.to_regclass('tenancy.kb_chunks_hnsw_global'),
            pg_catalog.to_regclass(
                'tenancy.kb_chunks_hnsw_' || pg_catalog.replace($1::uuid::text, '-', '')))
    ) AS covered
