-- role: operator
-- Audit logs whose entries the app may change or remove. Any table named audit_logs counts.
-- $1: roles of the app.
SELECT c.oid::regclass::text AS object,
    format('`%s` may change or remove entries', app.role::regrole) AS detail,
    format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM %s;', c.oid::regclass, app.role::regrole) AS fix
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest($1::oid[]) AS app (role)
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
  AND (c.relname = 'audit_logs' OR EXISTS (
      SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) AS above (rel)
      JOIN pg_catalog.pg_class p ON p.oid = above.rel
      WHERE p.relname = 'audit_logs'))
  AND (has_any_column_privilege(app.role, c.oid, 'UPDATE') OR has_table_privilege(app.role, c.oid, 'DELETE, TRUNCATE'))
ORDER BY 1, 2
