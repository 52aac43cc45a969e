-- role: worker
-- The partitions with the bytes each holds, the default one last. Reads the catalog only.
SELECT c.relname::text AS name,
       pg_catalog.pg_relation_size(c.oid) AS bytes,
       pg_catalog.pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_default
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'tenancy.audit_logs'::pg_catalog.regclass
ORDER BY is_default, name
