-- role: operator
-- Every vector index of the chunks: valid, ready, its size and how often it was used.
-- No parameters. Reads the catalog only.
SELECT c.relname::text AS name, i.indisvalid AS valid, i.indisready AS ready,
    pg_catalog.pg_relation_size(c.oid) AS bytes,
    coalesce(s.idx_scan, 0) AS scans
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am a ON a.oid = c.relam
LEFT JOIN pg_catalog.pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
WHERE i.indrelid = 'tenancy.kb_chunks'::pg_catalog.regclass AND a.amname IN ('hnsw', 'ivfflat')
ORDER BY c.relname
