-- role: operator
-- Foreign keys between tenant tables that do not hold the tenant on both sides.
-- $1, $2: tenant tables and their tenant columns.
SELECT format('%s.%I', child.rel::regclass, k.conname) AS object,
    format('a row can refer to another tenant''s row of %s', k.confrelid::regclass) AS detail,
    format('ALTER TABLE %s DROP CONSTRAINT %I, ADD FOREIGN KEY (%I, …) REFERENCES %s (%I, …);',
        child.rel::regclass, k.conname, a.attname, k.confrelid::regclass, b.attname) AS fix
FROM pg_catalog.pg_constraint k
JOIN unnest($1::oid[], $2::int2[]) AS child (rel, col) ON child.rel = k.conrelid
JOIN unnest($1::oid[], $2::int2[]) AS parent (rel, col) ON parent.rel = k.confrelid
JOIN pg_catalog.pg_attribute a ON a.attrelid = child.rel AND a.attnum = child.col
JOIN pg_catalog.pg_attribute b ON b.attrelid = parent.rel AND b.attnum = parent.col
WHERE k.contype = 'f' AND k.conparentid = 0
  AND NOT EXISTS (
      SELECT FROM unnest(k.conkey, k.confkey) AS pair (mine, theirs)
      WHERE pair.mine = child.col AND pair.theirs = parent.col)
ORDER BY 1
