-- role: app
-- How the next search walks an HNSW, until the transaction ends: a plan for these very values, by
-- the graph, as wide as the candidates, and further where rows are filtered out.
-- $1 width of the search, from 1 to 1000.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_sort', 'off', true),
    set_config('hnsw.ef_search', $1, true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true)
