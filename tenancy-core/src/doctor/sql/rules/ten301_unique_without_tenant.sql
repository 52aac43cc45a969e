-- role: operator
-- Unique indexes that span tenants, on tables that the app writes. Those on one uuid have a rule of
-- their own: nobody guesses a uuid.
-- $1, $2: tenant tables and their tenant columns. $3: roles of the app.
SELECT i.indexrelid::regclass::text AS object,
    format('it is unique over all tenants of %s', t.rel::regclass) AS detail,
    format('CREATE UNIQUE INDEX ON %s (%I, …); DROP INDEX %s; -- or a table of its own, written by a function',
        t.rel::regclass, a.attname, i.indexrelid::regclass) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_class c ON c.oid = t.rel AND NOT c.relispartition
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.col
JOIN pg_catalog.pg_index i ON i.indrelid = t.rel AND i.indisunique
WHERE t.col <> ALL ((i.indkey::int2[])[0:i.indnkeyatts - 1])
  AND NOT (i.indnkeyatts = 1 AND EXISTS (
      SELECT FROM pg_catalog.pg_attribute k
      WHERE k.attrelid = t.rel AND k.attnum = i.indkey[0] AND k.atttypid = 'pg_catalog.uuid'::regtype))
  AND EXISTS (
      SELECT FROM unnest($3::oid[]) AS app (role) WHERE has_any_column_privilege(app.role, t.rel, 'INSERT, UPDATE'))
ORDER BY 1
