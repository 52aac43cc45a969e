-- role: operator
-- Constraints of tenant tables that rows from before may break.
-- $1, $2: tenant tables and their tenant columns.
SELECT format('%s.%I', t.rel::regclass, k.conname) AS object,
    'the constraint is NOT VALID' AS detail,
    format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', t.rel::regclass, k.conname) AS fix
FROM unnest($1::oid[], $2::int2[]) AS t (rel, col)
JOIN pg_catalog.pg_constraint k ON k.conrelid = t.rel AND NOT k.convalidated
ORDER BY 1
