-- role: operator
-- Foreign keys of tenant tables that write NULL or a default when the row they refer to goes.
-- $1, $2: tenant tables and their tenant columns.
SELECT format('%s.%I', t.rel::regclass, k.conname) AS object,
    format('%s', concat_ws(' and ',
        CASE k.confdeltype WHEN 'n' THEN 'ON DELETE SET NULL' WHEN 'd' THEN 'ON DELETE SET DEFAULT' END,
        CASE k.confupdtype WHEN 'n' THEN 'ON UPDATE SET NULL' WHEN 'd' THEN 'ON UPDATE SET DEFAULT' END)) AS detail,
    format('ALTER TABLE %s DROP CONSTRAINT %I; -- and add it again with ON DELETE RESTRICT or CASCADE', t.rel::regclass, k.conname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_constraint k ON k.conrelid = t.rel AND k.contype = 'f' AND k.conparentid = 0
WHERE k.confdeltype IN ('n', 'd') OR k.confupdtype IN ('n', 'd')
ORDER BY 1
